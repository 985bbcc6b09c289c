#!/usr/bin/env python3
"""Write a checkpoint of Nemotron-H-8B's shape whose weights are holes in a sparse file.

For measuring how long opening takes: the headers, sizes and a tokenizer of the real one's size are there, but the
file takes no room on the disk. Needs nothing but Python.

    tools/sparse_checkpoint.py OUT && tessera info -m OUT
"""
import json
import pathlib
import random
import struct
import sys

PATTERN = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
D, FF, VOCAB, HEADS, KV, HEAD = 4096, 21504, 131072, 32, 8, 128
MAMBA_HEADS, MAMBA_HEAD, GROUPS, STATE, CONV = 128, 64, 8, 128, 4
INNER = MAMBA_HEADS * MAMBA_HEAD
CHANNELS = INNER + 2 * GROUPS * STATE
SHARDS = 4

CONFIG = {
    "model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"], "torch_dtype": "bfloat16",
    "vocab_size": VOCAB, "hidden_size": D, "hybrid_override_pattern": PATTERN, "num_attention_heads": HEADS,
    "num_key_value_heads": KV, "attention_head_dim": HEAD, "intermediate_size": FF, "mlp_hidden_act": "relu2",
    "mamba_num_heads": MAMBA_HEADS, "mamba_head_dim": MAMBA_HEAD, "ssm_state_size": STATE, "n_groups": GROUPS,
    "conv_kernel": CONV, "use_conv_bias": True, "chunk_size": 128, "rms_norm_eps": 1e-5,
    "time_step_limit": [0.0, 1e30], "max_position_embeddings": 8192, "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}


def tensors():
    """Name and shape of every tensor, in file order."""
    yield "backbone.embeddings.weight", [VOCAB, D]
    for i, kind in enumerate(PATTERN):
        layer, mixer = f"backbone.layers.{i}", f"backbone.layers.{i}.mixer"
        yield f"{layer}.norm.weight", [D]
        if kind == "M":
            yield f"{mixer}.in_proj.weight", [INNER + CHANNELS + MAMBA_HEADS, D]
            yield f"{mixer}.conv1d.weight", [CHANNELS, 1, CONV]
            yield f"{mixer}.conv1d.bias", [CHANNELS]
            for name in ("A_log", "D", "dt_bias"):
                yield f"{mixer}.{name}", [MAMBA_HEADS]
            yield f"{mixer}.norm.weight", [INNER]
            yield f"{mixer}.out_proj.weight", [D, INNER]
        elif kind == "*":
            yield f"{mixer}.q_proj.weight", [HEADS * HEAD, D]
            yield f"{mixer}.k_proj.weight", [KV * HEAD, D]
            yield f"{mixer}.v_proj.weight", [KV * HEAD, D]
            yield f"{mixer}.o_proj.weight", [D, HEADS * HEAD]
        else:
            yield f"{mixer}.up_proj.weight", [FF, D]
            yield f"{mixer}.down_proj.weight", [D, FF]
    yield "backbone.norm_f.weight", [D]
    yield "lm_head.weight", [VOCAB, D]


def write_shard(path, part):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in part:
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def write_tokenizer(path):
    """As many tokens and merges as the real one, merges spelled as pairs: about 17 MB."""
    rng = random.Random(1)
    alphabet = [chr(b) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b else None for b in range(256)]
    spare = iter(range(256, 512))
    alphabet = [c or chr(next(spare)) for c in alphabet]
    added = ["<unk>", "<s>", "</s>"] + [f"<SPECIAL_{i}>" for i in range(3, 1000)]
    vocab = {text: i for i, text in enumerate(added)}
    for c in alphabet:
        vocab[c] = len(vocab)
    words, merges = list(alphabet), []
    while len(vocab) < VOCAB:
        left, right = (words[rng.randrange(min(len(words), 20000))] for _ in range(2))
        if len(left + right) <= 12 and left + right not in vocab:
            vocab[left + right] = len(vocab)
            words.append(left + right)
            merges.append([left, right])
    for word in words[256:]:
        if len(merges) >= 269443:
            break
        for cut in range(1, len(word)):
            if word[:cut] in vocab and word[cut:] in vocab and [word[:cut], word[cut:]] != merges[-1]:
                merges.append([word[:cut], word[cut:]])
                break
    pattern = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
               r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
               r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    path.write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": text, **flags} for i, text in enumerate(added)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": vocab, "merges": merges},
    }, ensure_ascii=False))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    everything = list(tensors())
    each = -(-len(everything) // SHARDS)
    where = {}
    for i in range(SHARDS):
        name = f"model-{i + 1:05d}-of-{SHARDS:05d}.safetensors"
        part = everything[i * each:(i + 1) * each]
        write_shard(out / name, part)
        where.update({tensor: name for tensor, _ in part})
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    (out / "config.json").write_text(json.dumps(CONFIG, indent=1))
    (out / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    write_tokenizer(out / "tokenizer.json")


if __name__ == "__main__":
    main()
