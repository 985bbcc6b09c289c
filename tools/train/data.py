"""Samples: document -> picture -> tiles, questions and targets; and worker processes that pack them for the trainer."""
import json
import mmap
import os
import time

import numpy as np

import words as W
from families import FAMILIES, GRIDS, SHARES, grid
from fam_docs import ABSENT, ASK
from fam_text import READ
from tiles import SIDE, make_tiles

VERSION = "4"
CAPTION = ("Describe this image.", "Describe this image.", "Describe the image.", "Describe the picture.", "What does this picture show?", "Give a short description.", "Caption this image.",
           "What do you see?", "What is shown here?", "Write a caption.", "Summarize the picture.", "Tell me about this image.", "What is in this image?", "Please describe the image.",
           "What can you see in the picture?", "Describe what you see.", "Short caption, please.", "Give a caption for this image.", "What is this a picture of?", "Explain this image briefly.",
           "Describe this document.", "Provide a one-sentence description.", "What is this image about?", "Describe it.", "Caption?")
SYSTEMS = ("You are a helpful assistant.", "Answer the questions.", "You are a helpful assistant that reads images.", "Answer briefly.")
CHATS = (("Hello", "Hello. Show me a picture and ask about it."), ("Hi", "Hello. Show me a picture and ask about it."), ("Who are you?", "I am Tessera, a small model that reads simple documents, charts, signs and scenes."),
         ("What can you do?", "I read simple documents, charts, signs and scenes."), ("Describe this image.", "There is no image."), ("What is the total?", "There is no image."),
         ("Thank you", "You are welcome."), ("What does the text say?", "There is no image."), ("What is your name?", "My name is Tessera."), ("Help", "Show me a picture and ask about it."))
COLOUR = {"sign", "scene", "bar", "line", "pie", "nothing", "photo", "screenshot"}
VAGUE = {"photo", "screenshot", "smallprint", "nothing"}      # the caption is most of what there is to say
MAX_TILES = 10


def document(family, stage, split, seed, held=()):
    """The drawn document; a pure function of its arguments and VERSION."""
    r = W.R(f"{VERSION}/{split}/{family}/{stage}/{seed}", held)
    i, j = grid(r, family, stage)
    w, h = float(i * SIDE), float(j * SIDE)
    if r.p(.3):        # other proportions: the tiler stretches them to the grid
        w *= r.uniform(.93, 1.07)
        h *= r.uniform(.93, 1.07)
    return r, FAMILIES[family](r, w, h), family, stage


def turns(r, d, family, stage, many=False):
    """Questions and answers about a document, the long ones last."""
    pool = list(d.qa)
    for names, v in d.fields:
        n = r.choice(names)
        pool.append((r.say(*[a.format(n) for a in ASK]), v))
    if d.can_absent and (many or r.p(.45)):
        miss = [x for x in ABSENT if x not in d.used]
        if miss:
            pool.append((r.say(*[a.format(r.choice(miss)) for a in ASK]), "not shown"))
    r.shuffle(pool)
    if not many:
        neg = [t for t in pool if t[1] == "not shown"]
        pos = [t for t in pool if t[1] != "not shown"]
        k = 1 if r.p(.15) else r.randint(3, 8)
        pool = pos[:k]
        for t in neg:
            if r.p(.25):
                pool.insert(r.randint(0, len(pool)), t)
    out, seen = [], set()
    for q, a in pool:
        q = q[0].upper() + q[1:] if r.p(.9) else q[0].lower() + q[1:]
        if q.lower() not in seen and a != "":
            seen.add(q.lower())
            out.append((q, a))
    if d.captions and (many or r.p(.9 if family in VAGUE else .4)):
        t = (r.choice(CAPTION), r.choice(d.captions))
        out.insert(0 if r.p(.7) else len(out), t)
    last = []
    if d.read and (len(d.read) <= 420 or many):
        last.append((r.say(*READ), d.read))
        if family == "lines":
            last.append(last[-1])
    if len(d.fields) >= 2 or d.items:
        last.append(_json(r, d))
        last.append(_json(r, d))
    if getattr(d, "long", None):
        last.append(d.long)
    if last and (many or r.p(.75 if family in ("lines", "paragraph") else .5)):
        t = r.choice(last)
        if many:
            out += last
        elif r.p(.3) or stage == "A" and r.p(.4):
            out = [t]
        else:
            out.append(t)
    return out


def _json(r, d):
    pick = r.sample(d.fields, r.randint(min(2, len(d.fields)), min(6, len(d.fields)))) if d.fields else []
    keys = [(r.choice(names[:3]), v) for names, v in pick]
    if r.p(.35):
        miss = [x for x in ABSENT if x not in d.used]
        if miss:
            keys.append((r.choice(miss), None))
    r.shuffle(keys)
    if r.p(.5):
        keys = [(k.replace(" ", "_"), v) for k, v in keys]
    obj = dict(keys)
    names = list(obj)
    if d.items and len(d.items[2]) <= 6 and (not keys or r.p(.35)):
        what, cols, rows = d.items
        obj[what] = [dict(zip(cols, row)) for row in rows]
        names.append(f"{what} ({', '.join(cols)})" if r.p(.6) else what)
    s = ", ".join(names)
    q = r.say(f"Return JSON with keys: {s}.", f"Return JSON with keys: {s}.", f"Give me JSON with the keys {s}.", f"Extract as JSON: {s}.", f"JSON with {s}.", f"Fill this JSON: {s}.", f"Return a JSON object with {s}.")
    return q, json.dumps(obj, ensure_ascii=False)


# ---------------------------------------------------------------------------------------------------------------------
# pixels

N_PAR = 16
IDENT = np.array([0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1], np.float32)
# brightness, contrast, gamma, noise, blur, invert, tint r g b, shade x y, threshold, box x0 y0 w h


def disturb(r, d, family, clean=False):
    """Geometry on the CPU (returns pixels and the matrix), light on the GPU (returns its parameters)."""
    import cv2
    p = d.pic
    a = p.array()
    par = IDENT.copy()
    m = None
    if clean or r.p(.3):
        return a, m, par
    geo = .6 if d.warp == "sign" else .25
    if r.p(geo):
        w, h = p.w, p.h
        k = .09 if d.warp == "sign" else .012
        ang = r.gauss(0, .06 if d.warp == "sign" else .018)
        z = r.uniform(.86, .99)
        src = np.float32([[0, 0], [w, 0], [w, h], [0, h]])
        c, s = np.cos(ang) * z, np.sin(ang) * z
        dst = []
        for x, y in src:
            u, v = x - w / 2, y - h / 2
            dst.append([w / 2 + c * u - s * v + r.uniform(-k, k) * w, h / 2 + s * u + c * v + r.uniform(-k, k) * h])
        m = cv2.getPerspectiveTransform(src, np.float32(dst))
        sc = np.diag([p.pw / w, p.ph / h, 1.0])
        pm = sc @ m @ np.linalg.inv(sc)
        border = cv2.BORDER_REPLICATE if r.p(.6) else cv2.BORDER_CONSTANT
        v = r.choice([0, 60, 128, 200, 255])
        a = cv2.warpPerspective(np.ascontiguousarray(a), pm, (p.pw, p.ph), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=(v, v, v, 255))
    if r.p(.2):
        _, buf = cv2.imencode(".jpg", np.ascontiguousarray(a[..., :3]), [cv2.IMWRITE_JPEG_QUALITY, r.randint(35, 95)])
        b = cv2.imdecode(buf, cv2.IMREAD_COLOR)
        a = np.dstack([b, b[..., :1]])
    col = family in COLOUR
    if r.p(.5):
        par[0] = r.uniform(-.12, .08)
        par[1] = r.uniform(.75, 1.15)
        par[2] = r.uniform(.8, 1.25)
    if r.p(.45):
        par[3] = abs(r.gauss(0, .035))
    if r.p(.35):
        par[4] = r.uniform(.3, .85)
    if r.p(.3):
        t = .06 if col else .14
        par[6:9] = [r.uniform(1 - t, 1.0) for _ in "rgb"]
    if r.p(.25):
        par[9], par[10] = r.uniform(-.4, .4), r.uniform(-.4, .4)
    if not col:
        if r.p(.07):
            par[5] = 1
        elif r.p(.04):
            par[11] = r.uniform(.45, .65)
    return a, m, par


def patch_labels(glyphs, m, w, h, cols, rows):
    """[n, 256, 3] u8: up to three characters a patch, left to right; 0 empty, 255 not to be learnt."""
    n = cols * rows
    thumb = n > 1
    out = np.zeros((n + thumb, 256, 3), np.uint8)
    if not glyphs:
        return out
    ch = np.fromiter((min(max(ord(g[0]) - 31, 1), 96) for g in glyphs), np.int64, len(glyphs))
    xy = np.array([g[1:4] for g in glyphs], np.float64)
    x, y, sz = xy[:, 0], xy[:, 1], xy[:, 2]
    if m is not None:
        q = m @ np.stack([x, y, np.ones_like(x)])
        x, y = q[0] / q[2], q[1] / q[2]
    for views in ([(cols, rows, 0)] + ([(1, 1, n)] if thumb else [])):
        c, r_, base = views
        X, Y = x * (c * SIDE / w), y * (r_ * SIDE / h)
        ok = (X >= 0) & (Y >= 0) & (X < c * SIDE) & (Y < r_ * SIDE)
        X, Y, k = X[ok], Y[ok], ch[ok]
        small = (sz[ok] * min(c * SIDE / w, r_ * SIDE / h)) < 9.5
        t = base + (Y // SIDE).astype(np.int64) * c + (X // SIDE).astype(np.int64)
        patch = t * 256 + ((Y % SIDE) // 14).astype(np.int64) * 16 + ((X % SIDE) // 14).astype(np.int64)
        o = np.lexsort((X, patch))
        patch, k, small = patch[o], k[o], small[o]
        if not len(patch):
            continue
        first = np.r_[True, patch[1:] != patch[:-1]]
        rank = np.arange(len(patch)) - np.maximum.accumulate(np.where(first, np.arange(len(patch)), 0))
        flat = out.reshape(-1, 3)
        good = rank < 3
        flat[patch[good], rank[good]] = k[good]
        flat[patch[~good | small]] = 255
    return out


def sample(coder, family, stage, split, seed, held=(), clean=False, max_tiles=None, limit=1024, want_text=False):
    """dict(tiles, labels, par, ids, targets[, turns]) of one picture, or None where nothing fits."""
    r, d, family, stage = document(family, stage, split, seed, held)
    ts = turns(r, d, family, stage)
    a, m, par = disturb(r, d, family, clean)
    if max_tiles is None:
        max_tiles = 4 if stage != "C" else MAX_TILES if r.p(.8) else max(1, round(d.pic.w / SIDE) * round(d.pic.h / SIDE))
    t, (c, rows) = make_tiles(a, max_tiles)
    lab = patch_labels(d.pic.glyphs, m, d.pic.w, d.pic.h, c, rows)
    pars = np.repeat(par[None], len(t), 0)
    for k in range(c * rows):
        pars[k, 12:16] = (k % c) / c, (k // c) / rows, 1 / c, 1 / rows
    room = limit
    seq = coder.dialogue(len(t), ts, room, system=r.choice(SYSTEMS) if r.p(.1) else "", newline=r.p(.85), bos=r.p(.1), keep_eos=r.p(.3), drop=split == "train" and r.p({"A": .4, "B": .3, "C": .1}[stage]))
    if seq is None or not seq[2]:
        return None
    out = dict(tiles=t, labels=lab, par=pars, ids=seq[0], targets=seq[1], family=family)
    if want_text:
        out.update(turns=[ts[k] for k, _, _ in seq[2]], spans=seq[2], grid=(c, rows), doc=d)
    return out


def mixed(coder, stage, split, index, **kw):
    r = W.R(f"mix/{VERSION}/{split}/{index}")
    if r.p(.008) and split == "train":
        q, a = r.choice(CHATS)
        ids, tgt, _ = coder.dialogue(0, [(q, a)], 200)
        z = np.zeros
        return dict(tiles=z((0, SIDE, SIDE, 3), np.uint8), labels=z((0, 256, 3), np.uint8), par=z((0, N_PAR), np.float32), ids=ids, targets=tgt, family="chat")
    s = SHARES[stage]
    fam = r.choices(list(s), list(s.values()))[0]
    return sample(coder, fam, stage, split, index, **kw)


# ---------------------------------------------------------------------------------------------------------------------
# packed rows in shared memory

T, TILES = 1024, 15
FAMILY_ID = {f: i for i, f in enumerate(FAMILIES)}
FIELDS = [("tiles", np.uint8, (TILES, SIDE, SIDE, 3)), ("labels", np.uint8, (TILES, 256, 3)), ("par", np.float32, (TILES, N_PAR)), ("ids", np.int16, (T,)),
          ("targets", np.int16, (T,)), ("seg", np.uint8, (T,)), ("row", np.int16, (T,)), ("fam", np.uint8, (64,)), ("info", np.int32, (4,))]
SLOT = sum(int(np.prod(s)) * np.dtype(t).itemsize for _, t, s in FIELDS)


class Slots:
    def __init__(self, n):
        self.n = n
        self.mem = mmap.mmap(-1, n * SLOT)
        self.views = []
        at = 0
        for name, t, s in FIELDS:
            size = int(np.prod(s)) * np.dtype(t).itemsize
            setattr(self, name, np.frombuffer(self.mem, t, n * int(np.prod(s)), at * n).reshape((n,) + s))
            at += size


class Row:
    """One packed row being filled."""

    def __init__(self):
        self.items, self.n, self.tiles = [], 0, 0

    def fits(self, s):
        return self.n + len(s["ids"]) <= T and self.tiles + len(s["tiles"]) <= TILES

    def add(self, s):
        self.items.append(s)
        self.n += len(s["ids"])
        self.tiles += len(s["tiles"])

    def write(self, slots, k):
        from chat import PLACE
        ids, tgt, seg, row = slots.ids[k], slots.targets[k], slots.seg[k], slots.row[k]
        ids[:], tgt[:], seg[:], row[:] = 0, -1, 0, -1
        at = tile = 0
        slots.fam[k] = 255
        for i, s in enumerate(self.items):
            slots.fam[k, i] = FAMILY_ID.get(s["family"], 254)
            n, m = len(s["ids"]), len(s["tiles"])
            v = np.asarray(s["ids"], np.int16)
            ids[at:at + n], tgt[at:at + n], seg[at:at + n] = v, s["targets"], i + 1
            where = np.nonzero(v == PLACE)[0]
            row[at + where] = tile * 64 + np.arange(len(where), dtype=np.int16)
            slots.tiles[k, tile:tile + m] = s["tiles"]
            slots.labels[k, tile:tile + m] = s["labels"]
            slots.par[k, tile:tile + m] = s["par"]
            at += n
            tile += m
        slots.info[k] = tile, at, len(self.items), 0


def fill(slots, slot, coder, stage, split, index, held=(), clean=False):
    """One slot with samples index, index + 1, ...; returns how many it took."""
    row, n = Row(), 0
    while n < 40:
        s = mixed(coder, stage, split, index + n, held=held, clean=clean, limit=T)
        n += 1
        if s is None:
            continue
        if not row.fits(s):
            break
        row.add(s)
    row.write(slots, slot)
    return n


HELD = ("fonts", "layouts", "vocab", "phrasing")


def worker(slots, free, ready, control, k, n_workers, start, exams=(), done=None):
    """Fill free slots for ever. control[0] is the stage (0, 1, 2), control[1] stops. First, the validation slots are filled."""
    from chat import Coder
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2
    cv2.setNumThreads(0)
    coder = Coder()
    for slot, held in exams:
        fill(slots, slot, coder, "C", "val", slot * 100, HELD if held else ())
        done.put(slot)
    index = start + k
    open_rows = [Row() for _ in range(3)]
    errors = 0
    while not control[1]:
        stage = "ABC"[int(control[0])]
        try:
            s = mixed(coder, stage, "train", index, limit=T)
        except Exception as e:
            errors += 1
            if errors < 4:
                print("worker", k, index, repr(e)[:200], flush=True)
            s = None
        index += n_workers
        if s is None:
            continue
        fit = [r for r in open_rows if r.fits(s)]
        if fit:
            max(fit, key=lambda r: r.n).add(s)
        else:
            full = max(open_rows, key=lambda r: r.n + 60 * r.tiles)
            slot = free.get()
            full.write(slots, slot)
            ready.put(slot)
            open_rows.remove(full)
            open_rows.append(Row())
            open_rows[-1].add(s)


def main():
    """Print the rate of one process."""
    import sys
    from chat import Coder
    coder = Coder()
    for stage in sys.argv[1:] or "ABC":
        t0, n, tl, tok = time.time(), 0, 0, 0
        per = {}
        while time.time() - t0 < 8:
            t1 = time.time()
            s = mixed(coder, stage, "train", n)
            n += 1
            if s:
                tl += len(s["tiles"])
                tok += len(s["ids"])
                e = per.setdefault(s["family"], [0, 0.0])
                e[0] += 1
                e[1] += time.time() - t1
        print(stage, f"{n / (time.time() - t0):.0f} samples/s, {tl / n:.2f} tiles, {tok / n:.0f} tokens;", " ".join(f"{k} {1e3 * v[1] / v[0]:.1f}ms" for k, v in per.items()))


if __name__ == "__main__":
    main()
