"""Evaluate a model directory on generated pictures: greedy answers, every question on its own on the state after the picture.

    python eval.py DIR --pictures 60 [--held fonts,layouts,vocab,phrasing] [--families bar,sign] [--control blank|shuffled] [--out metrics.json] [--show 20]

The split is `test`: seeds that training never sees. Answers come from the PyTorch
reference (float32 arithmetic on the BF16 weights), or with --runtime libtessera.so from the C runtime.
"""
import argparse
import json
import random
import re
import time

import numpy as np
import torch

import data
import export
import words as W
from chat import Coder
from model import MEAN, STD, normalise
from tiles import make_tiles

CHARTS = {"bar", "line", "pie"}


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        prev, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            prev, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, prev + (x != y))
    return row[-1]


def number(s):
    m = re.fullmatch(r"-?\d+(\.\d+)?%?", s.strip())
    return float(s.strip().rstrip("%")) if m else None


def same(family, want, got):
    if want.strip().lower() == got.strip().lower():
        return True
    if family in CHARTS:
        a, b = number(want), number(got)
        return a is not None and b is not None and abs(a - b) <= .05 * abs(a)
    return False


class Machine:
    """One picture at a time: encode once, then any number of questions on copies of the state."""

    def __init__(self, path):
        self.net, self.c = export.load(path)
        self.net.eval()
        self.coder = Coder(f"{path}/tokenizer.json")

    @torch.no_grad()
    def look(self, bgr):
        tiles, _ = make_tiles(np.ascontiguousarray(np.dstack([bgr, bgr[..., :1]])), data.MAX_TILES)
        rows, _ = self.net.rows(normalise(torch.from_numpy(tiles)))
        full = self.coder.prompt(len(tiles), "X")
        cut = len(full) - len(self.coder.cached("X") + self.coder.nl + [11] + self.coder.assistant)
        ids = torch.tensor([full[:cut]])
        row = torch.full_like(ids, -1)
        row[ids == 18] = torch.arange(int((ids == 18).sum()))
        _, cache = self.net.prefill(self.net.embed(ids, row, rows))
        return cache

    @torch.no_grad()
    def answer(self, cache, question, limit=260):
        co = self.coder
        ids = torch.tensor([co.cached(question) + co.nl + [11] + co.assistant])
        x = self.net.embed(ids, torch.full_like(ids, -1), None)
        out, _ = self.net.generate(x, limit, cache)
        return co.text(out), len(out) >= limit


def questions(r, d, family, stage):
    """Up to five (kind, question, reference) of one document."""
    ts = data.turns(r, d, family, stage, many=True)
    short, cap, rd, js = [], None, None, None
    for q, a in ts:
        if q in data.CAPTION:
            cap = ("caption", q, a)
        elif a.startswith("{"):
            js = ("json", q, a)
        elif d.read is not None and a == d.read:
            rd = ("read", q, a)
        elif "\n" not in a:
            short.append(("absent" if a == "not shown" else "field", q, a))
    neg = [t for t in short if t[0] == "absent"]
    pos = [t for t in short if t[0] != "absent"]
    out = pos[:3] + (neg[:1] if r.p(.5) else [])
    if cap and r.p(.5):
        out.append(cap)
    if rd and len(d.read) < 500:
        out.append(rd)
    if js:
        out.append(js)
    return out[:5]


def truth(d):
    t = " ".join([a for _, a in d.qa] + d.captions + [v for _, v in d.fields] + [d.read or ""] + ([str(x) for row in d.items[2] for x in row] if d.items else []))
    return set(re.findall(r"[\w.,:/'&-]*\w", t.lower())) | set(re.findall(r"\w+", t.lower()))


def ci(v, n=400):
    v = np.asarray(v, float)
    if not len(v):
        return None
    g = np.random.default_rng(0)
    b = v[g.integers(0, len(v), (n, len(v)))].mean(1)
    return [round(float(v.mean()), 4), round(float(np.quantile(b, .025)), 4), round(float(np.quantile(b, .975)), 4), len(v)]


def summary(a, held, res, base):
    out = dict(model=a.dir.rstrip("/").split("/")[-1], by="C runtime" if a.runtime else "PyTorch", held=held, control=a.control, clean=a.clean, split="test", version=data.VERSION, pictures=a.pictures,
               families={f: {k: ci(v) for k, v in s.items() if v} for f, s in res.items()},
               all={k: ci(sum((s[k] for s in res.values()), [])) for k in next(iter(res.values())) if any(s[k] for s in res.values())})
    common = {}
    for f, g in base.items():
        per = {}
        for q, w in g:
            per[w] = per.get(w, 0) + 1
        common[f] = round(max(per.values()) / max(1, len(g)), 4) if per else None
    out["most_frequent_answer"] = common
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("dir")
    ap.add_argument("--pictures", type=int, default=60, help="per family")
    ap.add_argument("--held", default="")
    ap.add_argument("--families", default="")
    ap.add_argument("--control", default="")
    ap.add_argument("--clean", action="store_true", help="no degradation")
    ap.add_argument("--out")
    ap.add_argument("--show", type=int, default=0)
    ap.add_argument("--stage", default="C")
    ap.add_argument("--runtime", help="libtessera.so: ask the C runtime instead of PyTorch")
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(1)
    held = [x for x in a.held.split(",") if x]
    if a.runtime:
        from runtime import Runtime
        m = Runtime(a.runtime, a.dir, a.threads)
    else:
        m = Machine(a.dir)
    from train import light
    res, shown, t0 = {}, 0, time.time()
    base = {}
    for fam in (a.families.split(",") if a.families else data.FAMILIES):
        s = res.setdefault(fam, {k: [] for k in ("field", "absent", "said_absent", "cer", "lines", "json_ok", "json_keys", "json_field", "caption_true", "caption_kind", "run_on")})
        golds = base.setdefault(fam, [])
        last = None
        for i in range(a.pictures):
            r, d, f, st = data.document(fam, a.stage, "test", i, held)
            px, _, par = data.disturb(r, d, fam, a.clean)
            qs = questions(r, d, f, st)
            see = np.ascontiguousarray(px[..., :3])
            if not a.clean:      # the light that the trainer adds on the device, here on the whole picture and with a fixed seed
                g = torch.Generator().manual_seed(i)
                x = light(torch.from_numpy(see[None, ..., ::-1].copy()), torch.from_numpy(par[None]), torch.randn(1, *see.shape, generator=g))
                x = x[0].permute(1, 2, 0) * torch.tensor(STD) + torch.tensor(MEAN)
                see = (x * 255).round().clamp(0, 255).to(torch.uint8).numpy()[..., ::-1]
            if a.control == "blank":
                see = np.full_like(see, 255)
            elif a.control == "shuffled":
                see, last = (last if last is not None else see[::-1].copy()), see
            cache = m.look(see)
            know = truth(d)
            for kind, q, want in qs:
                got, cut = m.answer(cache, q)
                s["run_on"].append(cut or len(got) > 2 * len(want) + 20)
                if kind in ("field", "absent"):
                    ok = same(fam, want, got)
                    s[kind].append(ok)
                    golds.append((q, want))
                    if got.strip() == "not shown":
                        s["said_absent"].append(kind == "absent")
                elif kind == "read":
                    s["cer"].append(min(1.0, distance(want, got) / max(1, len(want))))
                    w, g_ = want.split("\n"), got.split("\n")
                    s["lines"] += [k < len(g_) and g_[k] == x for k, x in enumerate(w)]
                    ok = want == got
                elif kind == "json":
                    w = json.loads(want)
                    try:
                        o = json.loads(got)
                        s["json_ok"].append(isinstance(o, dict))
                        o = o if isinstance(o, dict) else {}
                    except ValueError:
                        s["json_ok"].append(False)
                        o = {}
                    s["json_keys"].append(list(o) == list(w))
                    s["json_field"] += [o.get(k, "\0") == v for k, v in w.items()]
                    ok = o == w
                else:
                    facts = [x for x in re.findall(r"[\w.,:/'&-]*\w", got) if any(ch.isdigit() for ch in x)]
                    names = re.findall(r"(?<![.\"] )(?<!^)\b[A-Z]\w+", got)
                    ok = all(x.lower() in know for x in facts + names)
                    s["caption_true"].append(ok)
                    s["caption_kind"].append(d.kind.split()[-1].lower() in got.lower() if d.kind not in ("scene", "text", "nothing", "page of text") else ok)
                if shown < a.show and not ok:
                    shown += 1
                    print(f"[{fam} {i} {kind}] {q}\n   want {want!r}\n   got  {got!r}")
        print(fam, {k: (ci(v)[0], len(v)) for k, v in s.items() if v}, f"{time.time() - t0:.0f}s", flush=True)
        if a.out:
            with open(a.out, "w") as f:
                json.dump(summary(a, held, res, base), f, indent=1)
    out = summary(a, held, res, base)
    print(json.dumps(out["all"]))
    if a.out:
        with open(a.out, "w") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
