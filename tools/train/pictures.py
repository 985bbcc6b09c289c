"""The pictures and questions of the evaluation: a pure function of (condition, family, number) and the generator's version.

A condition says what training never saw: nothing ("known": only the seed is new), one axis of words.AXES, all of them, or the
degradations that training leaves out. Every condition has seeds of its own, all of the split `test`.
"""
import numpy as np
import torch

import data
import words as W
from fam_text import READ
from model import MEAN, STD

CONDITIONS = {"known": (), **{a: (a,) for a in W.AXES}, "all": W.AXES, "degraded": ()}
START = {c: 1_000_000 * k for k, c in enumerate(CONDITIONS)}
BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) + .5) / 16


def harsh(r, a):
    """Two of: skew of 4 to 6 degrees, a third of the contrast, halftone, JPEG of quality 15 to 25. [h, w, 3] u8."""
    import cv2
    ways = r.sample(("skew", "contrast", "halftone", "jpeg"), 2)
    h, w = a.shape[:2]
    if "skew" in ways:
        m = cv2.getRotationMatrix2D((w / 2, h / 2), r.uniform(4, 6) * r.choice((-1, 1)), .9)
        a = cv2.warpAffine(a, m, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if "contrast" in ways:
        k, v = r.uniform(.25, .4), r.uniform(90, 165)
        a = np.clip(a * k + v * (1 - k), 0, 255).astype(np.uint8)
    if "halftone" in ways:
        t = np.tile(BAYER, (h // 4 + 1, w // 4 + 1))[:h, :w, None]
        lo, hi = float(a.min()), float(a.max())
        a = np.where((a - lo) / max(1, hi - lo) > t, hi, lo).astype(np.uint8)
    if "jpeg" in ways:
        _, b = cv2.imencode(".jpg", a, [cv2.IMWRITE_JPEG_QUALITY, r.randint(15, 25)])
        a = cv2.imdecode(b, cv2.IMREAD_COLOR)
    return a


def shed_light(a, par, seed):
    """What the trainer does on the device to tiles, here to the whole picture, with noise of a fixed seed."""
    from train import light
    x = torch.from_numpy(np.ascontiguousarray(a[None, ..., ::-1]))
    x = light(x, torch.from_numpy(par[None]), torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)))[0]
    x = x.permute(1, 2, 0) * torch.tensor(STD) + torch.tensor(MEAN)
    return (x * 255).round().clamp(0, 255).to(torch.uint8).numpy()[..., ::-1]


def picture(condition, family, number, clean=False):
    """([h, w, 3] u8 in B, G, R order; its random source; its document)."""
    seed = START[condition] + number
    r, d, *_ = data.document(family, "C", "test", seed, CONDITIONS[condition])
    a, _, par = data.disturb(r, d, family, clean or condition == "degraded")
    a = np.ascontiguousarray(a[..., :3])
    if condition == "degraded":
        a = harsh(r, a)
    elif not clean:
        a = shed_light(a, par, seed)
    return np.ascontiguousarray(a), r, d


def questions(r, d, family):
    """Up to five (kind, question, reference): what is there, what is not, the caption, the whole text, JSON."""
    of = {k: [] for k in ("field", "absent", "caption", "read", "json")}
    for q, a in data.turns(r, d, family, "C", many=True):
        if q in data.CAPTION:
            kind = "caption"
        elif a.startswith("{"):
            kind = "json"
        elif q in READ and d.read is not None:
            kind = "read"
        elif "\n" in a:
            continue      # lists of fields and CSV are longer than an answer should be
        else:
            kind = "absent" if a == "not shown" else "field"
        of[kind].append((kind, q, a))
    vague = family in data.VAGUE
    out = of["absent"][:3 if vague else r.p(.5)]
    if vague or r.p(.5):
        out += of["caption"][:1]
    if d.read and len(d.read) < 500:
        out += of["read"][:1]
    out += of["json"][:1]
    return (of["field"][:5 - len(out)] + out)[:5]
