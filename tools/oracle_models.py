"""Writes tests/vectors/models: the checkpoints of the zoo, each with the reference's intermediates beside it.

    NAME/config.json, *.safetensors, ...       the checkpoint in Hugging Face form
    NAME/expect/CASE/case.json, *.npy          one prompt and every named value of the reference
"""

import json
import platform

import numpy as np
import PIL
import torch
import transformers
from PIL import Image

import oracle_golden
from oracle_checkpoint import fp8_linears, parameters, quantise, write_checkpoint, write_json
from oracle_reference import Reference, greedy, input_maxima, quantise_inputs, run_lm, run_vision
from oracle_tokenizer import SPECIALS, open_tokenizer
from oracle_zoo import CHECKPOINTS, GOLDEN

N_GREEDY = 12
N_STORED = 8                # last rows kept of the decoder's values; an error in earlier rows reaches these

# max |ours - reference| over max |reference|, f32 activations (spec/vision.md 8.3, spec/nemotron-h.md 10.5).
TOLERANCES = {"vision.embed": 1e-5, "vision.layer": 2e-5, "vision.out": 2e-5, "projector.out": 5e-5,
              "lm.layer": 5e-5, "lm.norm": 5e-5, "lm.logits": 1e-4}
# An activation beside a rounding boundary may fall on the other side of it; E4M3 steps are 1/16 and more.
W8A8_TOLERANCES = {"lm.layer": 2e-2, "lm.norm": 2e-2, "lm.logits": 2e-2}


def versions():
    return {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
            "numpy": np.__version__, "pillow": PIL.__version__}


# Prompts --------------------------------------------------------------------------------------------------

def random_ids(vocab, n, seed):
    return np.random.default_rng(seed).integers(3, vocab, n).tolist()


def text_prompts(c):
    """One prompt shorter than a chunk and one of three and a half chunks of the checkpoint's own length.
    Where there are images, theirs are the long prompts."""
    long = 3 * c.lm.chunk + c.lm.chunk // 2 + 1
    if c is GOLDEN:
        return {"short": oracle_golden.PROMPT[:7], "prompt21": oracle_golden.PROMPT, "long": random_ids(128, long, 5)}
    short = {"short": random_ids(c.lm.vocab, 7, 1)}
    return short if c.vision else short | {"long": random_ids(c.lm.vocab, long, 2)}


# Parts of a prompt: a string, or the number of tiles of an image.
IMAGE_PROMPTS = {
    "one-tile": [1, "\nWhat is this?"],
    "three-tiles": ["The chart: ", 3, "\nDescribe this picture, and the 7 numbers in it."],
    "two-images": ["Image-1: ", 1, "\nImage-2: ", 1, "\nWhat is in the image?"],
}


def prompt_ids(parts, tokenizer, rows_per_tile):
    """Ids of a prompt from its parts; row k of the packed image rows is -1-k."""
    ids, n_rows = [SPECIALS.index("<s>")], 0
    for part in parts:
        if isinstance(part, str):
            ids += tokenizer.encode(part, add_special_tokens=False).ids
            continue
        rows = range(n_rows, n_rows + part * rows_per_tile)
        ids += [SPECIALS.index("<img>"), *(-1 - k for k in rows), SPECIALS.index("</img>")]
        n_rows += len(rows)
    return ids


# Pixels ---------------------------------------------------------------------------------------------------

def picture(width, height, seed):
    """A picture with slopes, edges and a little noise, in integers alone."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 8, (height, width, 3))
    rgb = np.stack([x * 255 // width, y * 255 // height, (x * y + 37 * seed) // 16 % 256], axis=-1)
    inside = (x - width // 3) ** 2 + (y - height // 2) ** 2 < (min(width, height) // 4) ** 2
    rgb[inside] = 255 - rgb[inside]
    return np.clip(rgb + noise - 4, 0, 255).astype(np.uint8)


def synthetic_tiles(n, side, seed):
    return np.stack([picture(side, side, seed + i) for i in range(n)])


def best_grid(width, height, side, max_tiles):
    """InternVL's rule in doubles (spec/vision.md section 3)."""
    grids = [(i, j) for i in range(1, max_tiles + 1) for j in range(1, max_tiles + 1) if i * j <= max_tiles]
    best, best_difference = (1, 1), float("inf")
    for i, j in sorted(grids, key=lambda g: (g[0] * g[1], g)):
        difference = abs(width / height - i / j)
        if difference < best_difference:
            best, best_difference = (i, j), difference
        elif difference == best_difference and width * height > 0.5 * side * side * i * j:
            best = (i, j)
    return best


def cut_tiles(image, side, max_tiles):
    """InternVL's dynamic_preprocess with a thumbnail: u8 [n, side, side, 3]."""
    cols, rows = best_grid(*image.size, side, max_tiles)
    sheet = image.resize((cols * side, rows * side), Image.BICUBIC)
    boxes = [(c * side, r * side, (c + 1) * side, (r + 1) * side) for r in range(rows) for c in range(cols)]
    tiles = [sheet.crop(box) for box in boxes]
    if len(tiles) > 1:
        tiles.append(image.resize((side, side), Image.BICUBIC))
    return np.stack([np.asarray(tile) for tile in tiles])


# Cases ----------------------------------------------------------------------------------------------------

def significant(x, digits=4):
    return float(f"{x:.{digits}g}")


def stage_of(name):
    return name.rsplit(".", 1)[0] if name[-2:].isdigit() else name


def write_case(folder, c, arrays, margins, tolerances=TOLERANCES, all_rows=False, **more):
    """`rows` in case.json is the half-open range of the prompt's rows that the decoder's files hold."""
    folder.mkdir(parents=True)
    n_rows = len(arrays["prompt.ids"])
    first = 0 if all_rows else max(0, n_rows - N_STORED)
    for name, value in arrays.items():
        rows = value[first:] if stage_of(name) in ("lm.layer", "lm.norm", "lm.logits") else value
        np.save(folder / f"{name}.npy", np.ascontiguousarray(rows))
    stages = {stage_of(name) for name in arrays}
    lm = c.lm
    write_json(folder / "case.json", {
        "model": c.name, "n_rows": n_rows, "rows": [first, n_rows], "chunk_size": lm.chunk,
        "sizes": {"d_model": lm.d_model, "n_vocab": lm.vocab, "n_layers": len(lm.pattern), "pattern": lm.pattern},
        "tolerances": {stage: tolerances[stage] for stage in sorted(stages) if stage in tolerances},
        "greedy_margins": [significant(m) for m in margins], **more, "made_by": versions()})


def lm_arrays(model, ids, image_rows=None):
    """The decoder's values for one prompt, its ids and its greedy continuation; and that one's margins."""
    new_ids, margins = greedy(model, ids, image_rows, N_GREEDY)
    arrays = {"prompt.ids": np.array(ids, dtype=np.int32), **run_lm(model, ids, image_rows), "greedy.ids": new_ids}
    return arrays, margins


def write_text_cases(folder, c, ref):
    for case, ids in text_prompts(c).items():
        arrays, margins = lm_arrays(ref.lm, ids)
        write_case(folder / "expect" / case, c, arrays, margins, all_rows=case == "prompt21")


def write_image_case(folder, c, ref, parts, tiles, **more):
    ids = prompt_ids(parts, open_tokenizer(folder.parent.parent), c.vision.n_patches // 4)
    seen = run_vision(ref, tiles)
    if len(tiles) > 1:          # the single tile tells the layers apart; here the order of tiles is in question
        seen = {name: seen[name] for name in ("vision.out", "projector.out")}
    arrays, margins = lm_arrays(ref.lm, ids, seen["projector.out"])
    write_case(folder, c, {"tiles": tiles, **seen, **arrays}, margins, parts=parts, **more)


def write_image_cases(folder, c, ref):
    for seed, (case, parts) in enumerate(IMAGE_PROMPTS.items()):
        n_tiles = sum(part for part in parts if isinstance(part, int))
        tiles = synthetic_tiles(n_tiles, c.vision.tile, 10 * seed)
        write_image_case(folder / "expect" / case, c, ref, parts, tiles)


def write_png_case(folder, c, ref):
    """From the bytes of a file: PNG, grid, resize, crop, thumbnail, answer."""
    png = folder / "expect" / "png.png"
    png.parent.mkdir(exist_ok=True)
    Image.fromarray(picture(120, 79, 3)).save(png)
    image = Image.open(png).convert("RGB")
    tiles = cut_tiles(image, c.vision.tile, max_tiles=6)
    write_image_case(folder / "expect" / "png", c, ref, [len(tiles), "\nDescribe this image."], tiles,
                     image="../png.png", grid=best_grid(*image.size, c.vision.tile, 6), max_tiles=6)


def write_w8a8_case(folder, c, params):
    model = quantise_inputs(Reference(c, params).lm, params)
    arrays, margins = lm_arrays(model, text_prompts(c)["long"])
    write_case(folder / "expect" / "long-w8a8", c, arrays, margins, W8A8_TOLERANCES, fp8_activations=True)


# Golden ---------------------------------------------------------------------------------------------------

def experts_per_position(model, ids):
    chosen = []
    gate = model.model.layers[GOLDEN.lm.pattern.index("E")].mixer.gate
    hook = gate.register_forward_hook(lambda _m, _a, result: chosen.extend(result[2].tolist()))
    model(input_ids=torch.tensor(ids)[None])
    hook.remove()
    return chosen


def write_golden(folder, ref, params):
    oracle_golden.check_generator(params)
    ids = oracle_golden.PROMPT
    found = oracle_golden.disagreement(run_lm(ref.lm, ids), experts_per_position(ref.lm, ids))
    assert found["logits"] < 2e-5 and found["argmax_equal"] and found["experts_equal"], found
    write_json(folder / "golden.json", oracle_golden.APPENDIX)
    print(f"  golden: transformers against the appendix: {json.dumps(found)}")


# All ------------------------------------------------------------------------------------------------------

def fp8_parameters(c):
    """Calibrate on one prompt, then quantise; the attention layers get KV scales, one of them unequal input scales."""
    params = parameters(c)
    ref = Reference(c, params)
    maxima = input_maxima(ref.lm, fp8_linears(c), random_ids(c.lm.vocab, 40, 9))
    attention = f"backbone.layers.{c.lm.pattern.rindex('*')}.mixer"
    maxima[f"{attention}.k_proj"] *= 0.75
    params = quantise(params, maxima)
    for i in [i for i, kind in enumerate(c.lm.pattern) if kind == "*"]:
        params[f"backbone.layers.{i}.mixer.k_proj.k_scale"] = torch.tensor(0.03125)
        params[f"backbone.layers.{i}.mixer.v_proj.v_scale"] = torch.tensor(0.0625)
    return params


def parameters_of(c):
    if c is GOLDEN:
        return oracle_golden.parameters(c)
    return fp8_parameters(c) if c.fp8 else parameters(c)


def write_model(folder, c):
    params = parameters_of(c)
    write_checkpoint(folder, c, params)
    ref = Reference(c, params)
    write_text_cases(folder, c, ref)
    if c.vision:
        write_image_cases(folder, c, ref)
    if c.name == "chat-a":
        write_png_case(folder, c, ref)
    if c.fp8:
        write_w8a8_case(folder, c, params)
    if c is GOLDEN:
        write_golden(folder, ref, params)


def main(out_dir):
    """Write every checkpoint into out_dir, a folder that has none of them yet."""
    for c in CHECKPOINTS:
        print(f"  {c.name}: {c.about}")
        write_model(out_dir / c.name, c)
