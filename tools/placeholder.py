"""Writes tests/placeholder: a tiny checkpoint of random weights that stands in until a trained one is shipped.

    python tools/placeholder.py tests/placeholder

Its form (config keys, tensor names, tokenizer, prompt format) is that of the model it stands in for; its sizes are
small, its words mean nothing, and config.json says "tessera_placeholder": true, which the program repeats on stderr.
The same file comes out every time.
"""

import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np
from safetensors import TensorSpec, serialize_file
from tokenizers import Tokenizer

SPECIALS = (["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
             "[/TOOL_RESULTS]", "[TOOL_CALLS]"] + [f"<SPECIAL_{i}>" for i in range(10, 16)] +
            ["<Image>", "</Image>", "<image>"] + [f"<tile_{i:02d}>" for i in range(1, 13)] + ["<tile_global_thumbnail>"])
EOS = SPECIALS.index("</s>")

# The family's own split (spec of the decoder, section 7.3).
PRE_TOKENIZER = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

WORDS = """the of and in is on with for this that what image picture photo page chart line bar table text word number
red blue green black white small large left right above below between one two three seven item total date name
price sign tree house street water sky light""".split()
CAPITALISED = ["What", "Describe", "User", "Assistant", "System"]

SEED = 18                   # of 36 tried, the one whose answers to thirteen pictures and two prompts took 1 to 39 tokens

VISION = {"d": 32, "layers": 2, "heads": 2, "mlp": 128, "tile": 224, "patch": 14}
PROJECTOR = {"mid": 96}
LM = {"d": 64, "pattern": "M*-M-", "heads": 4, "kv": 2, "head_dim": 16, "mlp": 160, "mamba_heads": 8, "mamba_head_dim": 16,
      "state": 16, "groups": 2, "conv": 4}


# Tokenizer ------------------------------------------------------------------------------------------------

def byte_alphabet():
    """GPT-2's byte -> character map, in byte order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(0x100 + others.index(b)) for b in range(256)]


def vocab_and_merges():
    """The specials, the 256 bytes, then every beginning of every word, so that merges lead to each."""
    tokens, merges = SPECIALS + byte_alphabet(), []
    seen = set(tokens)
    for word in CAPITALISED + ["Ġ" + word for word in WORDS]:
        for end in range(2, len(word) + 1):
            if word[:end] not in seen:
                seen.add(word[:end])
                tokens.append(word[:end])
                merges.append([word[:end - 1], word[end - 1]])
    return tokens, merges


def tokenizer_json():
    tokens, merges = vocab_and_merges()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PRE_TOKENIZER}, "behavior": "Isolated", "invert": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bos = {"type": "TemplateProcessing",
           "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": s, **flags} for i, s in enumerate(SPECIALS)],
        "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": bos, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges},
    }


# Config ---------------------------------------------------------------------------------------------------

def config(n_vocab):
    v, m = VISION, LM
    vision = {
        "model_type": "intern_vit_6b", "architectures": ["InternVisionModel"], "hidden_size": v["d"],
        "num_hidden_layers": v["layers"], "num_attention_heads": v["heads"], "intermediate_size": v["mlp"],
        "image_size": v["tile"], "patch_size": v["patch"], "num_channels": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-6,
        "norm_type": "layer_norm", "qkv_bias": True, "qk_normalization": False, "torch_dtype": "bfloat16",
    }
    llm = {
        "model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"], "torch_dtype": "bfloat16",
        "vocab_size": n_vocab, "hidden_size": m["d"], "num_hidden_layers": len(m["pattern"]),
        "hybrid_override_pattern": m["pattern"], "num_attention_heads": m["heads"], "num_key_value_heads": m["kv"],
        "head_dim": m["head_dim"], "intermediate_size": m["mlp"], "mlp_hidden_act": "relu2",
        "mamba_num_heads": m["mamba_heads"], "mamba_head_dim": m["mamba_head_dim"], "ssm_state_size": m["state"],
        "n_groups": m["groups"], "conv_kernel": m["conv"], "chunk_size": 128, "mamba_hidden_act": "silu",
        "use_conv_bias": True, "use_bias": False, "mlp_bias": False, "attention_bias": False, "layer_norm_epsilon": 1e-5,
        "time_step_limit": [0.0, 1e30], "tie_word_embeddings": False, "max_position_embeddings": 4096,
        "bos_token_id": 1, "eos_token_id": EOS, "pad_token_id": 0,
    }
    return {
        "model_type": "internvl_chat", "architectures": ["InternVLChatModel"], "torch_dtype": "bfloat16",
        "tessera_placeholder": True, "force_image_size": v["tile"], "downsample_ratio": 0.5, "ps_version": "v2",
        "select_layer": -1, "template": "nemotron-h-aligned", "image_tag_type": "nvlm", "dynamic_image_size": True,
        "use_thumbnail": True, "min_dynamic_patch": 1, "max_dynamic_patch": 10, "pad2square": False,
        "img_context_token": "<image>", "img_context_token_id": SPECIALS.index("<image>"),
        "norm_mean": [0.485, 0.456, 0.406], "norm_std": [0.229, 0.224, 0.225], "vit_hidden_size": v["d"],
        "projector_hidden_size": PROJECTOR["mid"], "vision_config": vision, "llm_config": llm,
    }


# Weights --------------------------------------------------------------------------------------------------

def vision_shapes():
    d, mlp, patch = VISION["d"], VISION["mlp"], VISION["patch"]
    side = VISION["tile"] // patch
    layer = {"norm1.weight": (d,), "norm1.bias": (d,), "attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,),
             "attn.proj.weight": (d, d), "attn.proj.bias": (d,), "ls1": (d,), "ls2": (d,), "norm2.weight": (d,),
             "norm2.bias": (d,), "mlp.fc1.weight": (mlp, d), "mlp.fc1.bias": (mlp,), "mlp.fc2.weight": (d, mlp),
             "mlp.fc2.bias": (d,)}
    shapes = {"embeddings.class_embedding": (1, 1, d), "embeddings.position_embedding": (1, 1 + side * side, d),
              "embeddings.patch_embedding.weight": (d, 3, patch, patch), "embeddings.patch_embedding.bias": (d,)}
    shapes |= {f"encoder.layers.{i}.{k}": s for i in range(VISION["layers"]) for k, s in layer.items()}
    return {f"vision_model.{k}": s for k, s in shapes.items()}


def projector_shapes():
    d_in, mid = 4 * VISION["d"], PROJECTOR["mid"]
    return {"mlp1.0.weight": (d_in,), "mlp1.1.weight": (mid, d_in), "mlp1.3.weight": (LM["d"], mid)}


def mixer_shapes(kind):
    d, heads = LM["d"], LM["mamba_heads"]
    if kind == "M":
        inner = heads * LM["mamba_head_dim"]
        conv = inner + 2 * LM["groups"] * LM["state"]
        return {"in_proj.weight": (inner + conv + heads, d), "conv1d.weight": (conv, 1, LM["conv"]), "conv1d.bias": (conv,),
                "A_log": (heads,), "D": (heads,), "dt_bias": (heads,), "norm.weight": (inner,),
                "out_proj.weight": (d, inner)}
    if kind == "*":
        q, kv = LM["heads"] * LM["head_dim"], LM["kv"] * LM["head_dim"]
        return {"q_proj.weight": (q, d), "k_proj.weight": (kv, d), "v_proj.weight": (kv, d), "o_proj.weight": (d, q)}
    return {"up_proj.weight": (LM["mlp"], d), "down_proj.weight": (d, LM["mlp"])}


def lm_shapes(n_vocab):
    shapes = {"backbone.embeddings.weight": (n_vocab, LM["d"])}
    for i, kind in enumerate(LM["pattern"]):
        shapes[f"backbone.layers.{i}.norm.weight"] = (LM["d"],)
        shapes |= {f"backbone.layers.{i}.mixer.{k}": s for k, s in mixer_shapes(kind).items()}
    shapes |= {"backbone.norm_f.weight": (LM["d"],), "lm_head.weight": (n_vocab, LM["d"])}
    return {f"language_model.{k}": s for k, s in shapes.items()}


def head_rows(tokens, values):
    """Whole words are likelier than their beginnings, and control tokens never come; the end of the answer is the
    likeliest single token, so that answers are short."""
    words = {"Ġ" + word for word in WORDS}
    scale = [1.0 if token in words else 0.25 for token in tokens]
    scale[:len(SPECIALS)] = [0.0] * len(SPECIALS)
    scale[EOS] = 1.8
    return values * np.array(scale)[:, None]


def values_of(name, shape, tokens):
    """One seed per tensor; ranges as trained networks have them (steps dt from 1e-3 to 0.1, a from -1 to -8)."""
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    if name.endswith("A_log"):
        return np.log(rng.uniform(1, 8, shape))
    if name.endswith("dt_bias"):
        return np.log(np.expm1(np.exp(rng.uniform(math.log(1e-3), math.log(0.1), shape))))
    if name.endswith((".bias", "position_embedding", "class_embedding")):
        return rng.normal(0, 0.1, shape)
    if len(shape) == 1:
        return rng.uniform(0.75, 1.25, shape)               # norms, layer scales, D
    if name.endswith("lm_head.weight"):
        return head_rows(tokens, rng.normal(0, 1, shape))
    if name.endswith("embeddings.weight"):
        return rng.normal(0, 1, shape)
    gain = 3 if ".mixer." in name else 1.5                  # the decoder's layers outweigh the last token: fewer loops
    return rng.normal(0, gain / math.sqrt(np.prod(shape[1:])), shape)


def to_bf16(values):
    """Round to nearest, ties to even: the upper halves of the floats."""
    bits = np.asarray(values, dtype="<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_weights(path, tokens):
    shapes = vision_shapes() | projector_shapes() | lm_shapes(len(tokens))
    arrays = {name: to_bf16(values_of(name, shape, tokens)) for name, shape in shapes.items()}
    specs = {name: TensorSpec(dtype="bfloat16", shape=shapes[name], data_ptr=array.ctypes.data, data_len=array.nbytes)
             for name, array in arrays.items()}             # numpy knows no bf16; the bits are given as they are
    serialize_file(specs, str(path), metadata={"format": "pt"})
    path.chmod(0o644)                       # the library leaves 0600
    return sum(array.size for array in arrays.values())


# Files ----------------------------------------------------------------------------------------------------

CARD = """# The placeholder

# Scope

This checkpoint holds random weights. It was not trained; its captions and answers are random words.
It stands in for the default model until a trained one is shipped, so that the whole way from a picture to words
can be built, run and tested: {n_parameters} parameters, drawn by `tools/placeholder.py`.

# Form

The form is that of the model it stands in for: tiles of 224 pixels, at most 10 and a thumbnail; InternViT with
{vision_layers} layers; projector B; a hybrid decoder of pattern `{pattern}`; NVLM tile tags; a byte-level BPE
vocabulary of {n_vocab}. `config.json` carries `"tessera_placeholder": true`, and the program says so when it runs it.
In the output layer the rows of whole words and of the end of an answer were drawn larger than the others, and of 36
seeds one was kept that gave short answers; nothing else was arranged.

# Licence

MIT, as the rest of the tree.
"""


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tokens, _ = vocab_and_merges()
    text = json.dumps(tokenizer_json(), ensure_ascii=False, separators=(",", ":"))
    Tokenizer.from_str(text)                # refuses what the library would refuse
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "pad_token": "<unk>", "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False,
        "model_max_length": 4096})
    write_json(folder / "generation_config.json", {
        "bos_token_id": 1, "eos_token_id": [EOS, SPECIALS.index("<SPECIAL_11>")], "pad_token_id": 0, "do_sample": False})
    write_json(folder / "config.json", config(len(tokens)))
    n_parameters = write_weights(folder / "model.safetensors", tokens)
    (folder / "CARD.md").write_text(CARD.format(
        n_parameters=n_parameters, vision_layers=VISION["layers"], pattern=LM["pattern"], n_vocab=len(tokens)),
        encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
