#!/usr/bin/env python3
"""The full-size check: random checkpoints of real shapes, their reference, and the comparison with Tessera.

    oracle_full.py make    lm     --model M          Nemotron-H-4B's shapes, text only: 9 GB of bf16
    oracle_full.py make    vision --model M          InternViT-300M and projector A before a two-layer decoder
    oracle_full.py run     lm     --model M --out O  the reference, float32, one layer in memory at a time
    tessera trace -m M --dtype f32 --ids "$(cat M/prompt.txt)" -o T           (lm)
    tessera trace -m M --dtype f32 --image M/tile.png -p "" -o T              (vision)
    oracle_full.py compare --out O --trace T

`--layers N` keeps the first N layers of the network in question, to try the way out in seconds.
"""

import argparse
import json
import math
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.models.nemotron_h.modeling_nemotron_h import NemotronHBlock, NemotronHRMSNorm

from oracle_checkpoint import (
    config_of, file_tensors, preprocessor_config, random_values, shapes_of, write_json)
from oracle_models import picture
from oracle_reference import Reference, lm_hf_config, run_vision
from oracle_tokenizer import write_tokenizer
from oracle_zoo import Checkpoint, Decoder, Projector, Spelling, Vision

PATTERN_4B = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"

FULL = {
    "lm": Checkpoint(
        "full-lm", "Nemotron-H-4B's shapes", "bfloat16",
        Decoder(PATTERN_4B, 131072, 3072, 32, 8, 128, 12288, 112, 64, 8, 128, chunk=128)),
    "vision": Checkpoint(
        "full-vision", "InternViT-300M's shape and projector A", "bfloat16",
        Decoder("M-", 320, 1024, 8, 2, 64, 256, 16, 32, 2, 32, chunk=128),
        Vision(1024, 24, 16, 4096, 14, 448, 448), Projector("A", 1024), Spelling(lm="language_model.backbone.")),
}

N_PROMPT = 96


def checkpoint(which, n_layers):
    c = FULL[which]
    if not n_layers:
        return c
    if which == "vision":
        return replace(c, vision=replace(c.vision, n_layers=n_layers))
    return replace(c, lm=replace(c.lm, pattern=c.lm.pattern[:n_layers]))


# Making ---------------------------------------------------------------------------------------------------

def big_values(name, shape):
    """Random bf16 values; matrices are drawn in place, since float64 of the largest would take 3 GB."""
    seed = zlib.crc32(name.encode())
    if len(shape) != 2:
        return torch.from_numpy(random_values(name, shape, np.random.default_rng(seed))).bfloat16()
    std = 1.0 if name.endswith("embeddings.weight") else 1.5 / math.sqrt(shape[1])
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, std, generator=generator)


def group_of(name):
    """The shard a tensor goes to: the two big tables and every layer have their own."""
    if name.startswith("backbone.layers."):
        return ".".join(name.split(".")[:3])
    return name.removeprefix("backbone.").split(".")[0]


def make(c, folder):
    folder.mkdir(parents=True)
    groups = {}
    for name, shape in shapes_of(c).items():
        groups.setdefault(group_of(name), {})[name] = shape
    weight_map, total = {}, 0
    for i, shapes in enumerate(groups.values()):
        tensors = file_tensors(c, {name: big_values(name, shape) for name, shape in shapes.items()})
        file = f"model-{i + 1:05d}-of-{len(groups):05d}.safetensors"
        save_file(tensors, folder / file, {"format": "pt"})
        weight_map |= {name: file for name in tensors}
        total += sum(2 * value.numel() for value in tensors.values())
        print(f"{file}: {', '.join(sorted({group_of(n) for n in shapes}))}")
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    write_json(folder / "config.json", config_of(c))
    write_inputs(c, folder)


def write_inputs(c, folder):
    if c.vision:
        write_json(folder / "preprocessor_config.json", preprocessor_config(c))
        write_tokenizer(folder, c)
        Image.fromarray(picture(c.vision.tile, c.vision.tile, 1)).save(folder / "tile.png")
    else:
        ids = np.random.default_rng(4).integers(1000, c.lm.vocab, N_PROMPT)
        (folder / "prompt.txt").write_text(",".join(map(str, ids)) + "\n")


# Running --------------------------------------------------------------------------------------------------

class Weights:
    """Reads tensors of a sharded checkpoint a few at a time."""

    def __init__(self, folder):
        self.folder = folder
        self.files = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]

    def read(self, name):
        with safe_open(self.folder / self.files[name], framework="pt") as shard:
            return shard.get_tensor(name)

    def module(self, module, prefix):
        """Fill a module built on the meta device with a prefix's tensors, in float32."""
        tensors = {n: self.read(prefix + n).float() for n in module.state_dict()}
        module.load_state_dict(tensors, strict=True, assign=True)
        return module.eval()


def on_meta(make_module):
    with torch.device("meta"):
        return make_module()


def run_lm_by_layers(c, weights, ids, save):
    lm, n = c.lm, len(ids)
    config = lm_hf_config(lm)
    mask = torch.full((n, n), torch.finfo(torch.float32).min).triu(1)[None, None]
    rows = weights.read("backbone.embeddings.weight")[ids].float()[None]
    save("lm.embed", rows[0])
    for i, kind in enumerate(lm.pattern):
        block = weights.module(on_meta(lambda: NemotronHBlock(config, i)), f"backbone.layers.{i}.")
        if kind == "M":
            block.mixer.time_step_limit, block.mixer.chunk_size = lm.dt_limit, n
        rows = block(rows, attention_mask=mask if kind == "*" else None)
        save(f"lm.layer.{i:02d}", rows[0])
    rows = weights.module(on_meta(lambda: NemotronHRMSNorm(lm.d_model, lm.eps)), "backbone.norm_f.")(rows)
    save("lm.norm", rows[0])
    save("lm.logits", rows[0] @ weights.read("lm_head.weight").float().T)


def run_whole_vision(c, folder, save):
    """The encoder fits in memory whole; its decoder is only there to make a complete checkpoint."""
    params = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as shard:
            params |= {n.replace("language_model.", "", 1): shard.get_tensor(n) for n in shard.keys()}
    tile = np.asarray(Image.open(folder / "tile.png").convert("RGB"))[None]
    for name, value in run_vision(Reference(c, params), tile).items():
        save(name, torch.from_numpy(value))


def run(c, folder, out):
    out.mkdir(parents=True, exist_ok=True)

    def save(name, value):
        np.save(out / f"{name}.npy", value.contiguous().numpy())
        print(f"{name}: max |x| {float(value.abs().max()):.4g}", flush=True)

    if c.vision:
        run_whole_vision(c, folder, save)
    else:
        ids = torch.tensor([int(i) for i in (folder / "prompt.txt").read_text().split(",")])
        run_lm_by_layers(c, Weights(folder), ids, save)


# Comparing ------------------------------------------------------------------------------------------------

def top1(reference, ours, tolerance):
    """Agreement of the best token over the rows whose margin is wider than an error of `tolerance` on both sides."""
    two = np.partition(reference, -2, axis=-1)[:, -2:]
    decided = two[:, 1] - two[:, 0] > 2 * tolerance * np.abs(reference).max()
    equal = reference.argmax(-1) == ours.argmax(-1)
    return int((equal & decided).sum()), int(decided.sum()), int(equal.sum())


def compare(out, trace, tolerance):
    """Print the distance of every intermediate; false when one is beyond the tolerance or a clear choice differs."""
    good = True
    for path in sorted(out.glob("*.npy")):
        reference, ours = np.load(path), np.load(trace / path.name).astype(np.float32)
        if reference.shape != ours.shape:
            print(f"{path.stem}: shape {ours.shape}, wanted {reference.shape}")
            good = False
            continue
        worst = float(np.abs(reference - ours).max())
        rel = worst / float(np.abs(reference).max())
        good &= rel <= tolerance
        print(f"{path.stem:16} max-abs {worst:.3e}  rel {rel:.3e}{'' if rel <= tolerance else '  BEYOND'}")
        if path.stem == "lm.logits":
            agree, decided, equal = top1(reference, ours, tolerance)
            good &= agree == decided
            print(f"{'top-1':16} {agree} of {decided} clear choices, {equal} of {len(reference)} in all")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("make", "run", "compare"))
    parser.add_argument("which", choices=tuple(FULL), nargs="?", default="lm")
    parser.add_argument("--model", type=Path, help="the checkpoint's folder")
    parser.add_argument("--out", type=Path, help="the reference's .npy files")
    parser.add_argument("--trace", type=Path, help="the folder tessera trace wrote")
    parser.add_argument("--layers", type=int, help="keep the first N layers only")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of max |reference| (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    needed = {"make": ("model",), "run": ("model", "out"), "compare": ("out", "trace")}[args.mode]
    missing = [f"--{name}" for name in needed if getattr(args, name) is None]
    if missing:
        parser.error(f"{args.mode} needs {' and '.join(missing)}")
    if args.mode == "compare":
        return 0 if compare(args.out, args.trace, args.tolerance) else 1
    c = checkpoint(args.which, args.layers)
    if args.mode == "make":
        make(c, args.model)
    else:
        run(c, args.model, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
