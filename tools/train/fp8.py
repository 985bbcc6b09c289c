"""The FP8 form of a model directory, and what it costs.

    python fp8.py write DIR OUT                         ModelOpt's layout: E4M3 linears, weight_scale and input_scale beside them
    python fp8.py compare DIR OUT --library libtessera.so --out fp8.json
    python fp8.py captions DIR OUT --library libtessera.so --pictures 600     captions alone, of so many pictures in all

Quantised are the linears of decoder, projector and encoder; the vocabulary tables, the patch embedding and everything small stay in
BF16. weight_scale is amax/448 of the tensor, input_scale amax/448 of what the linear saw in the PyTorch model on pictures of the
training split; for down_proj, whose input has a long tail, the 99.99th percentile of the absolute values instead of amax.
"""
import argparse
import json
import os
import shutil

import numpy as np
import torch

import data
import export
from chat import PLACE, Coder
from model import Linear, normalise

SAMPLES = 128
PER_SAMPLE = 8192      # values of a down_proj's input that are kept for its percentile
CAPTION = "Describe this image."
LABELS = {"weights": "FP8 weights", "activations": "FP8 weights and activations"}


@torch.no_grad()
def calibrate(net):
    """name of a linear -> (limit of its input, largest input over root mean square)"""
    peak, tail, power, hooks = {}, {}, {}, []

    def watch(name):
        def look(_, args):
            x = args[0].detach().flatten()
            peak[name] = max(peak.get(name, 0.0), float(x.max()), -float(x.min()))
            n, s = power.get(name, (0, 0.0))
            power[name] = n + x.numel(), s + float(x.norm()) ** 2
            if name.endswith("down_proj"):
                tail.setdefault(name, []).append(x[torch.randint(len(x), (PER_SAMPLE,), generator=g)].abs())
        return look

    g = torch.Generator().manual_seed(0)
    for name, m in net.named_modules():
        if isinstance(m, Linear) and not name.endswith("lm_head"):
            hooks.append(m.register_forward_pre_hook(watch(name)))
    coder, n, i = Coder(), 0, 0
    while n < SAMPLES:
        s = data.mixed(coder, "C", "train", 5 * 10 ** 8 + i)
        i += 1
        if s is None or not len(s["tiles"]):
            continue
        n += 1
        rows, _ = net.rows(normalise(torch.from_numpy(s["tiles"])))
        ids = torch.tensor([s["ids"] + [0] * (-len(s["ids"]) % 64)])
        row = torch.full_like(ids, -1)
        row[ids == PLACE] = torch.arange(int((ids == PLACE).sum()))
        net.decode(net.embed(ids, row, rows), torch.ones_like(ids))
    for h in hooks:
        h.remove()
    return {k: (float(torch.cat(tail[k]).quantile(.9999)) if k in tail else peak[k], peak[k] / (power[k][1] / power[k][0]) ** .5) for k in peak}


def write(src, out):
    from safetensors.torch import load_file, save_file
    net, _ = export.load(src)
    net.eval()
    seen = calibrate(net)
    os.makedirs(out, exist_ok=True)
    index, total = {}, 0
    for name in sorted(os.listdir(src)):
        if name.endswith(".safetensors"):
            tensors = {}
            for k, w in load_file(f"{src}/{name}").items():
                base = k.removesuffix(".weight")
                if base in seen:
                    scale = w.float().abs().max() / 448
                    tensors[k] = (w.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
                    tensors[f"{base}.weight_scale"] = scale
                    tensors[f"{base}.input_scale"] = torch.tensor(seen[base][0] / 448)
                else:
                    tensors[k] = w
            save_file(tensors, f"{out}/{name}", metadata={"format": "pt"})
            index.update({k: name for k in tensors})
            total += sum(t.numel() * t.element_size() for t in tensors.values())
        elif name.endswith(".json") and name != "model.safetensors.index.json":
            shutil.copyfile(f"{src}/{name}", f"{out}/{name}")
    export.write_json(f"{out}/model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})
    export.write_json(f"{out}/hf_quant_config.json", {"producer": {"name": "modelopt", "version": "written by fp8.py"}, "quantization": {
        "quant_algo": "FP8", "kv_cache_quant_algo": None, "exclude_modules": ["language_model.lm_head", "*embed*", "*conv1d"]}})
    far = sorted(((v[1], k) for k, v in seen.items()), reverse=True)
    print(f"{len(seen)} linears, {total} bytes; largest input over its root mean square: " + ", ".join(f"{k} {v:.0f}" for v, k in far[:5]))
    return dict(linears=len(seen), bytes=total, peak_over_rms={k: round(v[1], 1) for k, v in sorted(seen.items())})


def deltas(a, b, n=1000):
    """metric -> [b - a, low, high, answers]: the same questions, 95% by a paired bootstrap over pictures."""
    pairs = {}
    for side, records in enumerate((a, b)):
        for r in records:
            for k, (x, y) in r["m"].items():
                e = pairs.setdefault(k, {}).setdefault((r["condition"], r["family"], r["number"]), [0.0] * 5)
                e[2 * side] += x
                e[2 * side + 1] += y
                e[4] += side == 0
    out, g = {}, np.random.default_rng(0)
    for k, e in pairs.items():
        v = np.array(list(e.values()))
        s = v[g.integers(0, len(v), (n, len(v)))].sum(1)
        s = s[(s[:, 1] > 0) & (s[:, 3] > 0)]
        d, t = s[:, 2] / s[:, 3] - s[:, 0] / s[:, 1], v.sum(0)
        if len(d) and t[1] and t[3]:
            out[k] = [round(float(x), 4) for x in (t[2] / t[3] - t[0] / t[1], *np.quantile(d, (.025, .975)))] + [int(t[4])]
    return out


def compare(src, out, library, per, workers):
    from eval import hashes, jobs, run
    todo = jobs(("known", "fonts", "all"), data.FAMILIES, per, False)
    plain = run(library, src, todo, workers)
    res = dict(model=hashes(src), fp8=hashes(out), questions=len(plain), conditions=["known", "fonts", "all"], delta={})
    for how, switch in (("weights", "off"), ("activations", "on")):
        got = run(library, out, todo, workers, switch)
        res["delta"][how] = deltas(plain, got)
        res["delta"][how]["same"] = round(sum(x["got"] == y["got"] for x, y in zip(plain, got)) / len(plain), 4)
        print(LABELS[how], "minus BF16, points:", {k: round(100 * v[0], 2) for k, v in res["delta"][how].items() if k != "same"}, "same answer", res["delta"][how]["same"])
    return res


def described(job):
    """The caption of one picture, as a record; `eval.start` has opened the model."""
    import eval
    import pictures
    from score import score
    condition, family, n = job
    see, _, d = pictures.picture(condition, family, n)
    got, cut = eval.machine.answer(eval.machine.look(see), CAPTION, 160)
    return dict(condition=condition, family=family, number=n, got=got, m=score(d, family, "caption", CAPTION, d.captions[0], got, cut))


def captions(src, out, library, n, workers):
    import multiprocessing as mp
    from eval import start
    families, conditions = list(data.FAMILIES), ("known", "fonts", "all")
    todo = [(conditions[i // len(families) % 3], families[i % len(families)], 7000 + i) for i in range(n)]
    sides = []
    for path, switch in ((src, "off"), (out, "on")):
        with mp.get_context("spawn").Pool(workers, start, (library, path, switch)) as pool:
            sides.append(pool.map(described, todo, 4))
    d = deltas(*sides)
    d["same"] = round(sum(a["got"] == b["got"] for a, b in zip(*sides)) / n, 4)
    print({k: v for k, v in d.items() if k.startswith("caption") or k == "same"})
    return dict(captions=d)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=("write", "compare", "captions"))
    ap.add_argument("dir")
    ap.add_argument("fp8")
    ap.add_argument("--library")
    ap.add_argument("--pictures", type=int, default=6, help="per family and condition, twice as many under held-out fonts")
    ap.add_argument("--workers", type=int, default=2)
    ap.add_argument("--out")
    a = ap.parse_args()
    if a.what == "write":
        res = write(a.dir, a.fp8)
    else:
        res = dict(compare=compare, captions=captions)[a.what](a.dir, a.fp8, os.path.abspath(a.library), a.pictures, a.workers)
    if a.out:
        old = {}
        if os.path.exists(a.out):
            with open(a.out) as f:
                old = json.load(f)
        with open(a.out, "w", encoding="utf-8") as f:
            json.dump({**old, **res}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
