"""What this model cannot read and should not guess at: photographs, screenshots, small print.

Photographs and screenshots come from the documentation and wallpapers of a few Debian packages (`resources.py`); the ones that
an evaluation shows come from other packages.
"""
import io
import os

import numpy as np

import words as W
from draw import Pic, cairo, font, named, sibling
from fam_text import READ, Doc, _backdrop, _fractal, _scale

PHOTO = "A photograph or texture; I cannot name what is in it."
SCREEN = "A screenshot of a program; I cannot read it reliably."
SMALL = "The text is too small for me to read."
_store = {}


def _load():
    if not _store:
        z = np.load(os.path.join(W.RES, "photos.npz"))
        at = np.concatenate([[0], np.cumsum(z["sizes"])])
        _store.update(data=z["data"], at=at, kind=z["kinds"], seen={})
        for k, name in enumerate(("photo", "screen", "object")):
            _store[name] = np.nonzero(z["kinds"] == k)[0].tolist()


def _pixels(i):
    """[h, w, 4] u8, B,G,R,A, of one stored picture."""
    if i not in _store["seen"]:
        from PIL import Image
        b = _store["data"][_store["at"][i]:_store["at"][i + 1]].tobytes()
        a = np.asarray(Image.open(io.BytesIO(b)).convert("RGBA"))
        _store["seen"][i] = np.ascontiguousarray(a[..., [2, 1, 0, 3]])
    return _store["seen"][i]


def crop(r, kind, least=.35):
    """A random window of a random picture, perhaps mirrored, as a cairo surface."""
    _load()
    a = _pixels(r.choice(_store[kind]))
    h, w = a.shape[:2]
    if kind != "object":
        k = r.uniform(least, 1)
        ch, cw = max(16, int(h * k)), max(16, int(w * min(1, k * r.uniform(.8, 1.25))))
        y, x = r.randint(0, h - ch), r.randint(0, w - cw)
        a = a[y:y + ch, x:x + cw]
    if kind != "screen" and r.p(.5):
        a = a[:, ::-1]
    a = np.array(a, order="C")    # a copy: what follows must not reach the stored picture
    if kind == "object":          # cairo wants colours multiplied by their alpha
        a[..., :3] = (a[..., :3].astype(np.uint16) * a[..., 3:] // 255).astype(np.uint8)
    return cairo.ImageSurface.create_for_data(memoryview(a).cast("B"), cairo.FORMAT_ARGB32 if kind == "object" else cairo.FORMAT_RGB24, a.shape[1], a.shape[0]), a


def ground(r, p):
    """A photograph over the whole picture."""
    s, keep = crop(r, "photo", .25)
    p.image(s, 0, 0, p.w, p.h)


def _refuse(r, d, text="not shown"):
    d.can_absent = False
    d.ask(r.say(*READ), text)
    d.ask(r.say("What is the total?", "What is the date?", "What is the title?", "Who is the vendor?"), "not shown")


def photo(r, w, h):
    p = Pic(r, w, h, 1.0)
    d = Doc("photo", p)
    k = r.random()
    if k < .7:
        ground(r, p)
    else:
        ground(r, p) if k < .8 else _fractal(r, p) if k < .85 else _backdrop(r, p)
        for _ in range(r.randint(1, 3)):
            s, keep = crop(r, "object")
            q = min(w, h) * r.uniform(.3, .85)
            z = q / max(s.get_width(), s.get_height())
            ow, oh = s.get_width() * z, s.get_height() * z
            p.image(s, r.uniform(0, max(1, w - ow)), r.uniform(0, max(1, h - oh)), ow, oh)
    d.captions = [PHOTO]
    d.ask(r.say("Is there any text?", "Do you see text?", "Does the picture contain text?"), "no")
    d.ask(r.say("What kind of picture is this?", "What is this?", "What type of image is it?"), "photograph")
    _refuse(r, d)
    return d


def screenshot(r, w, h):
    if r.p(.5):
        p = Pic(r, w, h, 1.0)
        s, keep = crop(r, "screen", .75)
        p.image(s, 0, 0, w, h)
    else:
        p = _window(r, w, h)
        p.glyphs.clear()
    d = Doc("screenshot", p)
    d.captions = [SCREEN]
    d.ask(r.say("What kind of picture is this?", "What is this?", "What type of image is it?"), "screenshot")
    _refuse(r, d, SMALL)
    return d


def _window(r, w, h):
    """A drawn window: bars, menus, lists, buttons, small text."""
    dark = r.p(.35)
    v = r.uniform(.05, .25) if dark else r.uniform(.85, 1)
    bg = (v, v, min(1, v * r.uniform(1, 1.1)))
    ink = (.85, .85, .85) if dark else (.1, .1, .12)
    p = Pic(r, w, h, r.uniform(1, 1.4), bg)
    p.ink = ink
    f = font(r, "regular", r.choice(["sans", "sans", "mono"]))
    size = r.uniform(6, 11)
    accent = named(r, r.choice(["blue", "orange", "gray", "purple", "green", "cyan"]))
    if r.p(.5):        # a desktop around it
        p.gradient(tuple(r.random() for _ in "rgb"), tuple(r.random() for _ in "rgb"))
        x0, y0, x1, y1 = r.uniform(0, .2) * w, r.uniform(0, .2) * h, r.uniform(.8, 1) * w, r.uniform(.8, 1) * h
        p.rect(x0, y0, x1 - x0, y1 - y0, fill=bg, line=ink, lw=.8, radius=r.choice([0, 5]))
    else:
        x0, y0, x1, y1 = 0, 0, w, h
    y = y0
    if r.p(.7):
        p.rect(x0, y, x1 - x0, size * 2, fill=accent if r.p(.5) else tuple(.9 * b for b in bg))
        p.text((x0 + x1) / 2, y + size * 1.3, W.title_case(W.phrase(r, 1, 3)), f, size, align=.5)
        for i in range(3):
            p.circle(x1 - size * (1 + 1.8 * i), y + size, size * .5, fill=tuple(r.random() for _ in "rgb") if r.p(.3) else ink)
        y += size * 2
    if r.p(.7):
        x = x0 + 4
        while x < x1 - 40:
            x = p.text(x, y + size * 1.3, r.choice(["File", "Edit", "View", "Tools", "Help", "Window", "Go", "Settings", W.word(r).capitalize()]), f, size) + size * 1.2
        y += size * 2
    if r.p(.5):
        for x in range(int(x0) + 4, int(x1) - 20, int(size * 2.6)):
            if r.p(.8):
                p.rect(x, y + 2, size * 1.8, size * 1.8, fill=tuple(r.random() for _ in "rgb") if r.p(.7) else None, line=ink, lw=.7, radius=2)
        y += size * 2.8
    side = x0 + (x1 - x0) * r.uniform(.15, .35) if r.p(.5) else x0
    lead = size * r.uniform(1.3, 2.4)
    for lo, hi in ((x0, side), (side, x1)):
        if hi - lo < 30:
            continue
        if lo:
            p.line(lo, y, lo, y1, lw=.7)
        mode = r.choice(["list", "text", "boxes", "icons", "empty"]) if lo == side else "list"
        yy = y + lead
        while yy < y1 - size:
            if mode == "list" or mode == "text":
                s, x = (W.phrase(r, 1, 3), lo + 6 + r.choice([0, 0, size])) if mode == "list" else (W.SENTENCES.pick(r), lo + 6)
                while s and p.width(s, f, size) > hi - x - 4:
                    s = s[:-3]
                if r.p(.08):
                    p.rect(lo + 2, yy - size, hi - lo - 4, lead, fill=accent)
                p.text(x, yy, s, f, size)
            elif mode == "boxes" and r.p(.6):
                p.text(lo + 6, yy, W.word(r).capitalize() + ":", f, size)
                p.rect((lo + hi) / 2, yy - size, (hi - lo) * .4, size * 1.4, fill=(1, 1, 1) if not dark else (0, 0, 0), line=ink, lw=.6, radius=2)
            elif mode == "icons":
                for x in range(int(lo) + 10, int(hi) - 30, 48):
                    p.rect(x, yy, 26, 22, fill=named(r, r.choice(["blue", "yellow", "gray", "orange"]), .1), radius=3)
                    p.text(x + 13, yy + 22 + size, W.word(r), f, size * .9, align=.5)
                yy += 28
            yy += lead
    for _ in range(r.randint(0, 3)):
        x, q = r.uniform(x0, max(x0 + 1, x1 - 60)), W.word(r).capitalize()
        p.rect(x, y1 - size * 2.4, p.width(q, f, size) + 12, size * 1.9, fill=tuple(.9 * b for b in bg), line=ink, lw=.7, radius=3)
        p.text(x + 6, y1 - size * 1.1, q, f, size)
    return p


def smallprint(r, w, h):
    """A page whose title can be read and whose text cannot."""
    v = r.uniform(.88, 1)
    p = Pic(r, w, h, r.uniform(1, 1.8), (v, v, v * r.uniform(.94, 1)))
    p.ink = tuple(r.uniform(0, .25) for _ in "rgb")
    f = font(r, "regular", "serif" if r.p(.6) else None)
    small, mg = r.uniform(4.5, 7.5), w * r.uniform(.06, .16)
    d = Doc("page of small print", p)
    y = h * r.uniform(.03, .16)
    title = None
    if r.p(.75):
        size = r.uniform(12.5, 20)
        title = r.choice([W.title_case(W.phrase(r, 2, 4)), W.SENTENCES.pick(r).capitalize()[:34].rsplit(" ", 1)[0], f"On the {W.word(r)} of {W.word(r)} and {W.word(r)}", W.heading(r, W.MEASURE.pick(r))])
        b = sibling(f, "bold")
        k = p.fit(title, b, size, w - 2 * mg, 11.5)
        if p.width(title, b, k) > w - 8:
            title = title.rsplit(" ", 2)[0]
        mid = r.p(.6)
        p.text(w / 2 if mid else mg, y + k, title, b, k, align=.5 if mid else 0)
        y += k * 2.2
        n = len(p.glyphs)
        for _ in range(r.randint(0, 3)):
            s = r.choice([W.name(r), W.company(r), "Abstract", W.date(r)])
            p.text(w / 2 if mid else mg, y + small, s, sibling(f, "italic"), small * 1.15, align=.5 if mid else 0)
            y += small * 2.2
    else:
        n = 0
    cols = 2 if r.p(.3) and w > 250 else 1
    cw = (w - 2 * mg - (cols - 1) * 12) / cols
    lead, top = small * r.uniform(1.15, 1.5), y + small
    for c in range(cols):
        y, x = top, mg + c * (cw + 12)
        while y < h - mg * .6:
            k = r.random()
            if k < .06:
                y += lead * r.uniform(.6, 2)
                if r.p(.4) and y < h - mg:
                    p.text(x, y, W.title_case(W.phrase(r, 1, 3)), sibling(f, "bold"), small * 1.2)
            elif k < .075 and h - y > 60:
                q = r.uniform(30, 60)
                p.rect(x, y, cw, q, fill=tuple(r.uniform(.7, 1) for _ in "rgb") if r.p(.5) else None, line=p.ink, lw=.6)
                y += q + lead
            else:
                s = W.SENTENCES.pick(r)
                while p.width(s, f, small) < cw:
                    s += " " + W.SENTENCES.pick(r)
                while s and p.width(s, f, small) > cw:
                    s = s.rsplit(" ", 1)[0] if " " in s else ""
                p.text(x, y, s, f, small)
            y += lead
    del p.glyphs[n:]
    d.can_absent = False
    t = f' titled "{title}"' if title else ""
    d.captions = [f"A page of small print{t}." + ("" if title else " I cannot read it.")]
    d.ask(r.say("What is the title?", "Read the title.", "What is the heading?", "Title?"), title or "not shown")
    d.ask(r.say("What kind of picture is this?", "What is this?", "What type of image is it?"), "page of small print")
    d.ask(r.say(*READ), SMALL)
    d.ask(r.say("What is the total?", "What is the date?", "Who is the vendor?"), "not shown")
    return d
