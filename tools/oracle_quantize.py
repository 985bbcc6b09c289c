#!/usr/bin/env python3
"""What `tessera quantize` should write, by torch and transformers; and a look at what it did write.

    oracle.py quantize [--check]             tests/vectors/quantize: hashes of codes, scales, largest inputs
    oracle_quantize.py SOURCE QUANTISED      compare every tensor, and read the directory as its loaders would

Weights: torch's own cast to float8_e4m3fn of float(W) / (amax / 448). Inputs: forward hooks of transformers' model in f32.
"""

import fnmatch
import hashlib
import json
import re
import struct
import sys
from pathlib import Path

import torch
from safetensors import safe_open

FP8_MAX = 448.0
MODELS = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "models"
PLACEHOLDER = Path(__file__).resolve().parent.parent / "tests" / "placeholder"

DECODER = r"\.layers\.\d+\.mixer\.((shared_experts\.|experts\.(\d+\.)?)?(up|down)_proj|in_proj|out_proj|[qkvo]_proj)(\.weight)?$"
VISION = r"(attn\.(qkv|proj)|mlp\.fc[12]|attention\.\w+|projection_layer)\.weight$"
PROJECTOR = r"(mlp1\.[13]|linear_[12])\.weight$"
EVERYTHING = (DECODER, VISION, PROJECTOR, r"lm_head\.weight$")


# Weights --------------------------------------------------------------------------------------------------

def read_all(folder):
    tensors = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}
    return tensors


def matrices(tensors, patterns):
    """(stem, matrix) of every linear to quantise; stacked experts one by one."""
    for name, value in tensors.items():
        if not any(re.search(p, name) for p in patterns) or value.dim() not in (2, 3):
            continue
        if value.dim() == 3:
            head, tail = name.rsplit(".", 1)
            for e in range(value.shape[0]):
                yield f"{head}.{e}.{tail}", value[e]
        else:
            yield name.removesuffix(".weight"), value


def quantised(weight):
    weight = weight.float()
    scale = weight.abs().max() / FP8_MAX
    return (weight / scale).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn), scale


def bits(scalar):
    return struct.unpack("<I", struct.pack("<f", float(scalar)))[0]


def digest(codes):
    return hashlib.sha256(codes.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


# Inputs ---------------------------------------------------------------------------------------------------

def raise_to(seen, name, value):
    seen[name] = max(seen.get(name, 0.0), float(value))


def watch_experts(seen, name, module):
    """Both inputs of the experts: `up` of any, `down` of those that rows chose, one largest value for all."""
    def hook(_module, args):
        rows, chosen = args[0], args[1]
        raise_to(seen, f"{name}.up_proj", rows.abs().max())
        for row, experts in zip(rows, chosen):
            hidden = torch.einsum("emn,n->em", module.up_proj[experts], row)
            raise_to(seen, f"{name}.down_proj", torch.relu(hidden).square().max())
    return module.register_forward_pre_hook(hook)


def input_maxima(model, sequences):
    """The largest input of every linear of the decoder, by the name it has below `layers`; of keys and values, under NAME.out,
    the largest output."""
    seen = {}
    for name, module in model.model.named_modules():
        if name.endswith("mixer.experts"):
            watch_experts(seen, name, module)
        elif isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _m, args, name=name: raise_to(seen, name, args[0].abs().max()))
            if name.endswith(("k_proj", "v_proj")):
                module.register_forward_hook(lambda _m, _i, out, name=name: raise_to(seen, name + ".out", out.abs().max()))
    for ids in sequences:
        for mixer in model.model.layers:
            if hasattr(mixer.mixer, "chunk_size"):
                mixer.mixer.chunk_size = len(ids)
        model(input_ids=torch.as_tensor(ids, dtype=torch.long)[None])
    return seen


def input_max_of(seen, stem):
    below = "layers." + stem.split(".layers.", 1)[1] if ".layers." in stem else stem
    return seen.get(re.sub(r"experts\.\d+\.", "experts.", below))


# Vectors --------------------------------------------------------------------------------------------------

def write_case(out_dir, folder, patterns, sequences, seen):
    linears = {}
    for stem, weight in matrices(read_all(folder), patterns):
        codes, scale = quantised(weight)
        linears[stem] = {"codes": digest(codes), "weight_scale": bits(scale), "input_max": input_max_of(seen, stem)}
        if stem.endswith(("k_proj", "v_proj")) and "mixer" in stem:
            linears[stem]["output_max"] = input_max_of(seen, stem + ".out")
    (out_dir / folder.name).mkdir()
    case = {"made_by": {"torch": torch.__version__}, "ids": sequences, "linears": linears}
    (out_dir / folder.name / "case.json").write_text(json.dumps(case, indent=1) + "\n")


@torch.no_grad()
def main(out_dir):
    from oracle_models import parameters_of, random_ids
    from oracle_reference import Reference
    from oracle_zoo import CHECKPOINTS
    for c in CHECKPOINTS:
        if c.name not in ("golden", "text-runs", "text-moe", "text-f16", "chat-b"):
            continue
        sequences = [[int(i) for i in random_ids(c.lm.vocab, n, n)] for n in (33, 7, 20)]
        seen = input_maxima(Reference(c, parameters_of(c)).lm, sequences)
        everything = EVERYTHING if c.name == "chat-b" else (DECODER,)
        if c.name == "chat-b":
            seen = {}                               # its calibration sees a picture too
        write_case(out_dir, MODELS / c.name, everything, sequences, seen)
    write_case(out_dir, PLACEHOLDER, (DECODER,), [], {})


# A directory ----------------------------------------------------------------------------------------------

def excluded(module, patterns):
    """As vLLM's ModelOpt configuration decides: the name itself, a part of it, or a wildcard."""
    return any(p == module or p in module or fnmatch.fnmatch(module, p) for p in patterns)


def look(source, folder):
    old, new = read_all(source), read_all(folder)
    config = json.loads((folder / "config.json").read_text())
    q = config.pop("quantization_config")
    assert config == json.loads((source / "config.json").read_text())
    older = json.loads((folder / "hf_quant_config.json").read_text())["quantization"]
    assert q["quant_method"] == "modelopt" and q["quant_algo"] == older["quant_algo"] == "FP8"
    assert q["ignore"] == older["exclude_modules"]
    kv_scales = {n for n in new if n.endswith((".k_scale", ".v_scale"))}
    assert older["kv_cache_quant_algo"] == ("FP8" if kv_scales else None) and ("kv_cache_scheme" in q) == bool(kv_scales)
    if kv_scales:
        attention = {n.removesuffix(".q_proj.weight") for n in old if n.endswith("mixer.q_proj.weight")}
        assert kv_scales == {f"{a}.{x}_proj.{x}_scale" for a in attention for x in "kv"}
        assert all(new[n].dtype == torch.float32 and new[n].shape == () and new[n] > 0 for n in kv_scales)

    n_quantised, ignored = 0, q["ignore"]
    for stem, weight in matrices(old, EVERYTHING):
        name = stem + ".weight"
        if stem + ".weight_scale" not in new:
            assert excluded(stem, ignored), f"{stem} stays and is not excluded"
            continue
        codes, scale = quantised(weight)
        assert not excluded(stem, ignored), f"{stem} is quantised and excluded"
        assert new[name].dtype == torch.float8_e4m3fn and new[name].shape == weight.shape
        assert torch.equal(new[name].view(torch.uint8), codes.view(torch.uint8)), f"{stem}: other codes"
        for suffix in ("weight_scale", "input_scale"):
            value = new[f"{stem}.{suffix}"]
            assert value.dtype == torch.float32 and value.shape == () and value > 0
        assert bits(new[f"{stem}.weight_scale"]) == bits(scale), f"{stem}: another scale"
        n_quantised += 1
    rest = [n for n in new if new[n].dtype != torch.float8_e4m3fn and not n.endswith("_scale")]
    for name in rest:
        assert new[name].dtype == old[name].dtype and torch.equal(new[name], old[name]), f"{name} changed"
    assert 3 * n_quantised + len(kv_scales) + len(rest) == len(new)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        where = json.loads(index.read_text())["weight_map"]
        assert where.keys() == new.keys() and all((folder / file).exists() for file in where.values())
    for path in source.iterdir():
        if path.is_file() and path.name != "config.json" and "safetensors" not in path.name:
            assert (folder / path.name).read_bytes() == path.read_bytes(), f"{path.name} changed"
    print(f"{folder}: {n_quantised} matrices in FP8 as torch rounds them, {len(rest)} tensors and all files as they were")


if __name__ == "__main__":
    look(Path(sys.argv[1]), Path(sys.argv[2]))
