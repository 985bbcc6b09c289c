"""Writes a checkpoint of the zoo in Hugging Face form: random parameters, names, config, files.

Parameters live under one canonical set of names (`backbone.*`, `lm_head.weight`, and InternVL's original
names for the vision side); a file's own names are derived from those on the way out.
"""

import json
import math
import re
import struct
import zlib

import numpy as np
import torch
from safetensors.torch import save_file

from oracle_tokenizer import IMG_CONTEXT, write_tokenizer

TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LAYER_TYPES = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
NEW_LAYER_TYPES = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}

FP8_MAX = 448.0


# Parameters ---------------------------------------------------------------------------------------------

def lm_shapes(lm):
    """Canonical name -> shape of every tensor of the decoder."""
    h, d = lm.d_model, lm.d_inner
    shapes = {"backbone.embeddings.weight": (lm.vocab, h)}
    for i, kind in enumerate(lm.pattern):
        layer = {"norm.weight": (h,)} | {f"mixer.{k}": s for k, s in mixer_shapes(lm, kind, h, d).items()}
        shapes |= {f"backbone.layers.{i}.{k}": s for k, s in layer.items()}
    return shapes | {"backbone.norm_f.weight": (h,), "lm_head.weight": (lm.vocab, h)}


def mixer_shapes(lm, kind, h, d):
    if kind == "M":
        rows = d + lm.d_conv + lm.mamba_heads
        shapes = {"in_proj.weight": (rows, h), "conv1d.weight": (lm.d_conv, 1, 4), "conv1d.bias": (lm.d_conv,),
                  "A_log": (lm.mamba_heads,), "D": (lm.mamba_heads,), "dt_bias": (lm.mamba_heads,),
                  "norm.weight": (d,), "out_proj.weight": (h, d)}
        return shapes | ({"in_proj.bias": (rows,), "out_proj.bias": (h,)} if lm.biases else {})
    if kind == "*":
        q, kv = lm.n_heads * lm.head_dim, lm.n_kv * lm.head_dim
        return {"q_proj.weight": (q, h), "k_proj.weight": (kv, h), "v_proj.weight": (kv, h), "o_proj.weight": (h, q)}
    if kind == "-":
        shapes = {"up_proj.weight": (lm.d_mlp, h), "down_proj.weight": (h, lm.d_mlp)}
        return shapes | ({"up_proj.bias": (lm.d_mlp,), "down_proj.bias": (h,)} if lm.biases else {})
    moe = lm.moe
    shapes = {"gate.weight": (moe.n_experts, h), "gate.e_score_correction_bias": (moe.n_experts,),
              "shared_experts.up_proj.weight": (moe.d_shared, h), "shared_experts.down_proj.weight": (h, moe.d_shared)}
    for e in range(moe.n_experts):
        shapes |= {f"experts.{e}.up_proj.weight": (moe.d_expert, h), f"experts.{e}.down_proj.weight": (h, moe.d_expert)}
    return shapes


def vision_shapes(v):
    d, grid = v.d_vit, v.image_size // v.patch
    layer = {"norm1.weight": (d,), "norm1.bias": (d,), "attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,),
             "attn.proj.weight": (d, d), "attn.proj.bias": (d,), "ls1": (d,), "ls2": (d,),
             "norm2.weight": (d,), "norm2.bias": (d,), "mlp.fc1.weight": (v.d_mlp, d), "mlp.fc1.bias": (v.d_mlp,),
             "mlp.fc2.weight": (d, v.d_mlp), "mlp.fc2.bias": (d,)}
    shapes = {"embeddings.class_embedding": (1, 1, d), "embeddings.position_embedding": (1, 1 + grid * grid, d),
              "embeddings.patch_embedding.weight": (d, 3, v.patch, v.patch), "embeddings.patch_embedding.bias": (d,)}
    shapes |= {f"encoder.layers.{i}.{k}": s for i in range(v.n_layers) for k, s in layer.items()}
    return {f"vision_model.{k}": s for k, s in shapes.items()}


def projector_shapes(vision, projector, lm):
    d_in, d_mid = 4 * vision.d_vit, projector.d_mid
    if projector.kind == "B":
        return {"mlp1.0.weight": (d_in,), "mlp1.1.weight": (d_mid, d_in), "mlp1.3.weight": (lm.d_model, d_mid)}
    return {"mlp1.0.weight": (d_in,), "mlp1.0.bias": (d_in,), "mlp1.1.weight": (d_mid, d_in), "mlp1.1.bias": (d_mid,),
            "mlp1.3.weight": (lm.d_model, d_mid), "mlp1.3.bias": (lm.d_model,)}


def shapes_of(c):
    shapes = lm_shapes(c.lm)
    if c.vision:
        shapes |= vision_shapes(c.vision) | projector_shapes(c.vision, c.projector, c.lm)
    return shapes


def random_values(name, shape, rng):
    """Values that hide nothing: library initialisers leave biases, CLS, positions and norms at 0 or 1."""
    uniform = lambda lo, hi: rng.uniform(lo, hi, shape)
    normal = lambda std: rng.normal(0.0, std, shape)
    if name.endswith("A_log"):
        return uniform(0, 2)
    if name.endswith("dt_bias"):
        return uniform(-8, 0)
    if name.endswith("e_score_correction_bias"):
        return uniform(-0.25, 0.25)
    if name.endswith("conv1d.weight"):
        return uniform(-0.5, 0.5)
    if re.search(r"(norm\d?|norm_f|mlp1\.0)\.weight$|\.D$|\.ls\d$", name):
        return uniform(0.75, 1.25)
    if name.endswith(".bias"):
        return uniform(-0.25, 0.25)
    if name.endswith("class_embedding") or name.endswith("position_embedding"):
        return normal(0.5)
    if name.endswith("embeddings.weight"):
        return normal(1.0)
    return normal(1.5 / math.sqrt(np.prod(shape[1:])))


def parameters(c):
    """Canonical name -> tensor in the type the file stores. Each tensor has a seed of its own."""
    out = {}
    for name, shape in shapes_of(c).items():
        rng = np.random.default_rng([zlib.crc32(c.name.encode()), zlib.crc32(name.encode())])
        dtype = torch.float32 if ".gate." in name else TORCH_DTYPES[c.dtype]     # routers are f32 on disk
        out[name] = torch.from_numpy(random_values(name, shape, rng)).to(torch.float32).to(dtype)
    return out


# Names ----------------------------------------------------------------------------------------------------

NATIVE_VISION = [
    ("embeddings.class_embedding", "embeddings.cls_token"),
    ("embeddings.position_embedding", "embeddings.position_embeddings"),
    ("embeddings.patch_embedding.", "embeddings.patch_embeddings.projection."),
    ("encoder.layers.", "encoder.layer."), (".norm1.", ".layernorm_before."), (".norm2.", ".layernorm_after."),
    (".attn.proj.", ".attention.projection_layer."), (".ls1", ".lambda_1"), (".ls2", ".lambda_2"),
]
NATIVE_PROJECTOR = {"mlp1.0.": "layer_norm.", "mlp1.1.": "linear_1.", "mlp1.3.": "linear_2."}


def native_vision(params):
    """The vision tower's tensors under transformers' names, q, k and v apart."""
    out = {}
    for name, value in params.items():
        if not name.startswith("vision_model."):
            continue
        name = name.removeprefix("vision_model.")
        for ours, native in NATIVE_VISION:
            name = name.replace(ours, native)
        if ".attn.qkv." in name:
            for part, rows in zip("qkv", value.chunk(3)):
                out[name.replace(".attn.qkv.", f".attention.{part}_proj.")] = rows.contiguous()
        else:
            out[name] = value
    return out


def native_projector(params):
    return {NATIVE_PROJECTOR[name[:7]] + name[7:]: value for name, value in params.items() if name.startswith("mlp1.")}


def stack_experts(params, lm):
    """Replace per-expert tensors by [n_experts, out, in] ones, as transformers v5 keeps them."""
    out = {name: value for name, value in params.items() if ".experts." not in name}
    for i, kind in enumerate(lm.pattern):
        for part in ("up_proj", "down_proj") if kind == "E" else ():
            mixer = f"backbone.layers.{i}.mixer"
            out[f"{mixer}.experts.{part}"] = torch.stack(
                [params[f"{mixer}.experts.{e}.{part}.weight"] for e in range(lm.moe.n_experts)])
    return out


def lm_only(params):
    return {name: value for name, value in params.items() if name.startswith(("backbone.", "lm_head."))}


def file_tensors(c, params):
    """The tensors under the names this checkpoint's files use."""
    spelling = c.spelling
    lm = lm_only(params)
    if spelling.stacked_experts:
        lm = stack_experts(lm, c.lm)
    inside = spelling.lm.startswith("language_model.")       # then the head sits inside the wrapper too
    out = {}
    for name, value in lm.items():
        if name.startswith("lm_head."):
            out[("language_model." if inside else "") + name] = value
        else:
            out[name.replace("backbone.", spelling.lm, 1)] = value
    if not c.vision:
        return out
    if spelling.vision == "chat":
        return {n: v for n, v in params.items() if n.startswith(("vision_model.", "mlp1."))} | out
    lead = "model." if spelling.vision == "native" else ""
    out |= {f"{lead}vision_tower.{n}": v for n, v in native_vision(params).items()}
    return out | {f"{lead}multi_modal_projector.{n}": v for n, v in native_projector(params).items()}


# Config ---------------------------------------------------------------------------------------------------

LIMITS = {
    "bare": lambda lo, hi: [lo, hi],                         # json writes inf as a bare Infinity
    "string": lambda lo, hi: [lo, "Infinity"],
    "object": lambda lo, hi: [lo, {"__float__": "Infinity"}],
    "big": lambda lo, hi: [lo, 1e30],
}


def pattern_key(pattern, how):
    if how == "string":
        return {"hybrid_override_pattern": pattern, "num_hidden_layers": len(pattern)}
    if how == "array":
        return {"hybrid_override_pattern": list(pattern), "num_hidden_layers": len(pattern)}
    if how == "layers_block_type":
        return {"layers_block_type": [LAYER_TYPES[c] for c in pattern]}
    return {"layer_types": [NEW_LAYER_TYPES[c] for c in pattern]}


def lm_config(c):
    """The decoder's part of config.json, spelt as this checkpoint spells it."""
    lm, spelling = c.lm, c.spelling
    config = {
        "model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"], "torch_dtype": c.dtype,
        "vocab_size": lm.vocab, "hidden_size": lm.d_model, "intermediate_size": lm.d_mlp,
        "num_attention_heads": lm.n_heads, "num_key_value_heads": lm.n_kv, "head_dim": lm.head_dim,
        "mamba_num_heads": lm.mamba_heads, "mamba_head_dim": lm.mamba_head_dim, "n_groups": lm.n_groups,
        "ssm_state_size": lm.d_state, "conv_kernel": 4, "chunk_size": lm.chunk, "layer_norm_epsilon": lm.eps,
        "use_conv_bias": True, "use_bias": lm.biases, "mlp_bias": lm.biases, "attention_bias": False,
        "mlp_hidden_act": "relu2", "mamba_hidden_act": "silu", "tie_word_embeddings": False,
        "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }
    if lm.moe:
        config |= {"n_routed_experts": lm.moe.n_experts, "num_experts_per_tok": lm.moe.n_used,
                   "moe_intermediate_size": lm.moe.d_expert, "moe_shared_expert_intermediate_size": lm.moe.d_shared,
                   "n_shared_experts": 1, "routed_scaling_factor": lm.moe.scale, "norm_topk_prob": True}
    if spelling.limit != "absent":
        config["time_step_limit"] = LIMITS[spelling.limit](*lm.dt_limit)
    config = {spelling.rename.get(key, key): value for key, value in config.items()}
    return config | pattern_key(lm.pattern, spelling.pattern) | spelling.extra


def chat_config(c):
    """InternVL's original (remote code) form around the decoder's config."""
    v = c.vision
    vision = {
        "model_type": "intern_vit_6b", "architectures": ["InternVisionModel"], "hidden_size": v.d_vit,
        "num_hidden_layers": v.n_layers, "num_attention_heads": v.n_heads, "intermediate_size": v.d_mlp,
        "image_size": v.image_size, "patch_size": v.patch, "num_channels": 3, "hidden_act": "gelu",
        "layer_norm_eps": 1e-6, "norm_type": "layer_norm", "qkv_bias": True, "qk_normalization": False,
        "drop_path_rate": 0.1, "dropout": 0.0, "attention_dropout": 0.0, "torch_dtype": c.dtype,
    }
    return {
        "model_type": "internvl_chat", "architectures": ["InternVLChatModel"], "torch_dtype": c.dtype,
        "force_image_size": v.tile, "downsample_ratio": 0.5, "ps_version": v.shuffle, "select_layer": v.select_layer,
        "template": "internvl2_5", "dynamic_image_size": True, "use_thumbnail": True, "min_dynamic_patch": 1,
        "max_dynamic_patch": 6, "pad2square": False, "vision_config": vision, "llm_config": lm_config(c),
    } | c.spelling.top


def native_config(c):
    v = c.vision
    vision = {
        "model_type": "internvl_vision", "hidden_size": v.d_vit, "num_hidden_layers": v.n_layers,
        "num_attention_heads": v.n_heads, "attention_bias": True, "use_qk_norm": False, "intermediate_size": v.d_mlp,
        "hidden_act": "gelu", "norm_type": "layer_norm", "layer_norm_eps": 1e-6,
        "image_size": [v.image_size] * 2, "patch_size": [v.patch] * 2, "num_channels": 3,
        "use_absolute_position_embeddings": True, "layer_scale_init_value": 0.1, "use_mean_pooling": True,
    }
    return {
        "model_type": "internvl", "architectures": ["InternVLForConditionalGeneration"], "dtype": c.dtype,
        "downsample_ratio": 0.5, "projector_hidden_act": "gelu", "vision_feature_layer": v.select_layer,
        "vision_feature_select_strategy": "default", "tie_word_embeddings": False, "image_token_id": IMG_CONTEXT,
        "image_seq_length": v.n_patches // 4, "vision_config": vision, "text_config": lm_config(c),
    } | c.spelling.top


def config_of(c):
    if not c.vision:
        return lm_config(c)
    return chat_config(c) if c.spelling.vision == "chat" else native_config(c)


def preprocessor_config(c):
    v = c.vision
    common = {"do_normalize": True, "do_resize": True, "resample": 3,
              "image_mean": list(v.norm[0]), "image_std": list(v.norm[1])}
    if c.spelling.vision == "chat":
        return common | {"crop_size": v.tile, "size": v.tile, "do_center_crop": True,
                         "feature_extractor_type": "CLIPFeatureExtractor"}
    return common | {"size": {"height": v.tile, "width": v.tile}, "do_rescale": True, "rescale_factor": 1 / 255,
                     "do_convert_rgb": True, "crop_to_patches": True, "min_patches": 1, "max_patches": 6,
                     "image_processor_type": "GotOcr2ImageProcessor"}


# FP8 ------------------------------------------------------------------------------------------------------

def fp8_linears(c):
    """Canonical names (without .weight) of the quantised linears: all of them but the last layer's and lm_head."""
    last = f"backbone.layers.{len(c.lm.pattern) - 1}."
    return [name.removesuffix(".weight") for name, shape in lm_shapes(c.lm).items()
            if "_proj.weight" in name and len(shape) == 2 and not name.startswith(last)]


def round_up(value, digits=2):
    """To a few significant digits, so that the scale does not depend on the last bits of a machine's arithmetic."""
    step = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return math.ceil(value / step) * step


def quantise(params, amax_in):
    """ModelOpt's export: E4M3 weights with F32 scalars for weight and input (spec/nemotron-h.md 6.3)."""
    out = dict(params)
    for name, amax in amax_in.items():
        weight = params[name + ".weight"].float()
        scale = weight.abs().max() / FP8_MAX
        out[name + ".weight"] = (weight / scale).to(torch.float8_e4m3fn)
        out[name + ".weight_scale"] = scale.reshape(1) if name.endswith("o_proj") else scale    # both are accepted
        out[name + ".input_scale"] = torch.tensor(round_up(amax) / FP8_MAX, dtype=torch.float32)
    return out


def dequantise(params):
    """What W8A16 multiplies by: float(weight) * weight_scale, everything else as it is."""
    out = {}
    for name, value in params.items():
        if value.dtype == torch.float8_e4m3fn:
            out[name] = value.float() * params[name + "_scale"]
        elif not name.endswith("_scale"):
            out[name] = value
    return out


def hf_quant_config(c):
    last = f"backbone.layers.{len(c.lm.pattern) - 1}.mixer*"
    return {"producer": {"name": "modelopt", "version": "0.29.0"},
            "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": None, "exclude_modules": ["lm_head", last]}}


# Files ----------------------------------------------------------------------------------------------------

def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_shards(folder, tensors, n_shards=3):
    names = sorted(tensors)
    nbytes = lambda name: tensors[name].numel() * tensors[name].element_size()
    total = sum(map(nbytes, names))
    shards, done = [[] for _ in range(n_shards)], 0
    for name in names:
        shards[min(done * n_shards // total, n_shards - 1)].append(name)
        done += nbytes(name)
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{n_shards:05d}.safetensors"
        save_file({name: tensors[name] for name in shard}, folder / file, {"format": "pt"})
        weight_map |= {name: file for name in shard}
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_unaligned(path, tensors):
    """A valid file whose header is not padded, so that no tensor is aligned; library writers never make one."""
    header, blob = {"__metadata__": {"format": "pt"}}, b""
    for name, value in tensors.items():
        raw = value.contiguous().view(torch.uint8).numpy().tobytes()
        dtype = {torch.float16: "F16", torch.float32: "F32"}[value.dtype]
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(header, separators=(",", ":"))
    if len(text) % 2 == 0:
        text += " "
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + blob)


def write_tensors(folder, tensors, how):
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    if how == "shards":
        write_shards(folder, tensors)
    elif how == "unaligned":
        write_unaligned(folder / "model.safetensors", tensors)
    else:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def write_checkpoint(folder, c, params):
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config_of(c))
    eos = [2, 11] if c.vision else 2        # published files have either form
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": eos, "pad_token_id": 0})
    write_tensors(folder, file_tensors(c, params), c.spelling.files)
    if c.fp8:
        write_json(folder / "hf_quant_config.json", hf_quant_config(c))
    if c.vision:
        write_json(folder / "preprocessor_config.json", preprocessor_config(c))
        write_tokenizer(folder, c)
