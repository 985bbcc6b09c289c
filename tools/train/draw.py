"""A picture with a memory: cairo drawing in canvas units that records where every glyph went."""
import json
import os
import zlib

import numpy as np

from words import RES

_conf = os.path.join("/tmp", f"tessera-fonts-{os.getuid()}-{zlib.crc32(os.path.abspath(RES).encode())}.conf")


def _fontconfig():
    text = f"<?xml version='1.0'?><fontconfig><dir>{os.path.abspath(RES)}/fonts</dir><cachedir>/tmp/tessera-fc-cache</cachedir></fontconfig>"
    tmp = f"{_conf}.{os.getpid()}"
    with open(tmp, "w") as f:
        f.write(text)
    os.replace(tmp, _conf)
    os.environ["FONTCONFIG_FILE"] = _conf


_fontconfig()
import cairocffi as cairo  # noqa: E402  (after the private font configuration is in place)

with open(os.path.join(RES, "fonts.json")) as _f:
    FONTS = json.load(_f)
_pools, _faces, _sprites = {}, {}, {}


def font(r, style="regular", kind=None):
    held = "fonts" in r.held
    key = (held, style, kind)
    if key not in _pools:
        _pools[key] = [f for f in FONTS if (f["split"] == "held") == held and f["style"] == style
                       and (kind is None or f["kind"] == kind)]
    pool = _pools[key] or _pools.setdefault((held, "regular", None), [f for f in FONTS if (f["split"] == "held") == held and f["style"] == "regular"])
    return r.choice(pool)


def sibling(f, style):
    """The bold or italic cut of the same family, or the font itself."""
    for g in FONTS:
        if g["family"] == f["family"] and g["style"] == style:
            return g
    return f


def _face(f):
    if f["id"] not in _faces:
        _faces[f["id"]] = cairo.ToyFontFace(f["id"])
    return _faces[f["id"]]


def sprite_names():
    _load_sprites()
    return _sprites["names"]


def _load_sprites():
    if not _sprites:
        import io
        z = np.load(os.path.join(RES, "sprites.npz"))
        names, sizes, data = z["names"].tolist(), z["sizes"], z["data"]
        at = np.concatenate([[0], np.cumsum(sizes)])
        _sprites["names"] = names
        _sprites["surf"] = {}
        _sprites["png"] = {n: io.BytesIO(data[at[i]:at[i + 1]].tobytes()) for i, n in enumerate(names)}


def sprite(name):
    _load_sprites()
    if name not in _sprites["surf"]:
        _sprites["surf"][name] = cairo.ImageSurface.create_from_png(_sprites["png"][name])
    return _sprites["surf"][name]


class Pic:
    """A picture of w x h canvas units drawn at `scale` pixels a unit."""

    def __init__(self, r, w, h, scale=1.0, bg=(1, 1, 1)):
        self.w, self.h, self.s = w, h, scale
        self.pw, self.ph = max(8, round(w * scale)), max(8, round(h * scale))
        self.surface = cairo.ImageSurface(cairo.FORMAT_RGB24, self.pw, self.ph)
        self.c = cairo.Context(self.surface)
        self.c.scale(self.pw / w, self.ph / h)
        self.c.set_source_rgb(*bg)
        self.c.paint()
        o = cairo.FontOptions()
        o.set_hint_metrics(cairo.HINT_METRICS_ON if r.p(.5) else cairo.HINT_METRICS_OFF)
        o.set_hint_style(r.choice([cairo.HINT_STYLE_NONE, cairo.HINT_STYLE_SLIGHT, cairo.HINT_STYLE_FULL]))
        o.set_antialias(cairo.ANTIALIAS_GRAY)
        self.opt = o
        self.ink = (0, 0, 0)
        self.wide, self.slant, self.bold = 1.0, 0.0, 0.0      # one more way in which letters differ from picture to picture
        if "fonts" not in r.held:
            if r.p(.35):
                self.wide = r.uniform(.84, 1.2)
            if r.p(.12):
                self.slant = r.uniform(-.12, .25)
            if r.p(.1):
                self.bold = r.uniform(.02, .05)
        self.glyphs = []          # (char, centre x, centre y, font size), canvas units
        self._fonts = {}

    def sf(self, f, size):
        key = (f["id"], round(size * 4))
        if key not in self._fonts:
            m, ctm = cairo.Matrix(xx=size * self.wide, yy=size, xy=-size * self.slant), cairo.Matrix(xx=self.pw / self.w, yy=self.ph / self.h)
            self._fonts[key] = cairo.ScaledFont(_face(f), m, ctm, self.opt)
        return self._fonts[key]

    def width(self, s, f, size):
        return self.sf(f, size).text_extents(s)[4] if s else 0.0

    def fit(self, s, f, size, room, least=9.0):
        """The size at which s is no wider than room."""
        w = self.width(s, f, size)
        return size if w <= room else max(least, size * room / w * .985)

    def text(self, x, y, s, f, size, color=None, align=0.0):
        """s with its baseline at y; x is its left end, middle or right end for align 0, .5, 1. Returns the right end."""
        if not s:
            return x
        sf = self.sf(f, size)
        if align:
            x -= align * sf.text_extents(s)[4]
        g = sf.text_to_glyphs(x, y, s + " ", with_clusters=False)
        self.c.set_source_rgb(*(color or self.ink))
        self.c.set_scaled_font(sf)
        self.c.show_glyphs(g[:-1])
        if self.bold:
            self.c.glyph_path(g[:-1])
            self.c.set_line_width(self.bold * size)
            self.c.stroke()
        if len(g) == len(s) + 1:
            up = y - .33 * size
            rec = self.glyphs
            for i, ch in enumerate(s):
                if ch != " ":
                    rec.append((ch, (g[i][1] + g[i + 1][1]) / 2, up, size))
        return g[-1][1]

    def text_at(self, x, y, angle, s, f, size, color=None):
        """Text turned by angle around its middle (axis titles); its glyphs are recorded at their turned places."""
        c = self.c
        c.save()
        c.translate(x, y)
        c.rotate(angle)
        before = self.glyphs
        self.glyphs = []
        w = self.width(s, f, size)
        c.select_font_face(f["id"])
        c.set_font_matrix(cairo.Matrix(xx=size * self.wide, yy=size, xy=-size * self.slant))
        c.set_source_rgb(*(color or self.ink))
        c.move_to(-w / 2, size * .33)
        c.show_text(s)
        c.restore()
        self.glyphs = before     # turned text is not labelled: left to right has no meaning there

    def rect(self, x, y, w, h, fill=None, line=None, lw=1.0, radius=0.0):
        c = self.c
        if radius:
            k = min(radius, w / 2, h / 2)
            c.new_sub_path()
            c.arc(x + w - k, y + k, k, -1.5708, 0)
            c.arc(x + w - k, y + h - k, k, 0, 1.5708)
            c.arc(x + k, y + h - k, k, 1.5708, 3.1416)
            c.arc(x + k, y + k, k, 3.1416, 4.7124)
            c.close_path()
        else:
            c.rectangle(x, y, w, h)
        self._paint(fill, line, lw)

    def _paint(self, fill, line, lw):
        c = self.c
        if fill is not None:
            c.set_source_rgb(*fill)
            c.fill_preserve() if line is not None else c.fill()
        if line is not None:
            c.set_source_rgb(*line)
            c.set_line_width(lw)
            c.stroke()

    def line(self, x0, y0, x1, y1, color=None, lw=1.0, dash=None):
        c = self.c
        c.set_source_rgb(*(color or self.ink))
        c.set_line_width(lw)
        if dash:
            c.set_dash(dash)
        c.move_to(x0, y0)
        c.line_to(x1, y1)
        c.stroke()
        if dash:
            c.set_dash([])

    def poly(self, pts, fill=None, line=None, lw=1.0, close=True):
        c = self.c
        c.move_to(*pts[0])
        for p in pts[1:]:
            c.line_to(*p)
        if close:
            c.close_path()
        self._paint(fill, line, lw)

    def circle(self, x, y, rad, fill=None, line=None, lw=1.0):
        self.c.arc(x, y, rad, 0, 6.28319)
        self.c.close_path()
        self._paint(fill, line, lw)

    def wedge(self, x, y, rad, a0, a1, fill, line=None, lw=1.0):
        c = self.c
        c.move_to(x, y)
        c.arc(x, y, rad, a0, a1)
        c.close_path()
        self._paint(fill, line, lw)

    def image(self, surf, x, y, w, h, flip=False):
        c = self.c
        c.save()
        c.translate(x, y)
        if flip:
            c.translate(w, 0)
            c.scale(-1, 1)
        c.scale(w / surf.get_width(), h / surf.get_height())
        c.set_source_surface(surf, 0, 0)
        c.get_source().set_filter(cairo.FILTER_GOOD)
        c.paint()
        c.restore()

    def gradient(self, top, bottom, x=0, y=0, w=None, h=None, horizontal=False):
        w, h = w or self.w, h or self.h
        g = cairo.LinearGradient(x, y, x + w if horizontal else x, y if horizontal else y + h)
        g.add_color_stop_rgb(0, *top)
        g.add_color_stop_rgb(1, *bottom)
        self.c.set_source(g)
        self.c.rectangle(x, y, w, h)
        self.c.fill()

    def array(self):
        """[ph, pw, 4] u8, B,G,R,x; a view of the surface, which must stay alive."""
        self.surface.flush()
        a = np.frombuffer(self.surface.get_data(), np.uint8)
        return a.reshape(self.ph, self.surface.get_stride() // 4, 4)[:, :self.pw]


NAMED = {"red": (.86, .12, .12), "green": (.13, .6, .2), "blue": (.12, .3, .82), "yellow": (.97, .84, .1), "orange": (.96, .52, .08),
         "purple": (.5, .18, .65), "pink": (.96, .52, .72), "brown": (.48, .28, .12), "gray": (.5, .5, .5), "black": (.06, .06, .06),
         "white": (.98, .98, .98), "cyan": (.1, .75, .82)}


def named(r, color, spread=.07):
    return tuple(min(1, max(0, v + r.uniform(-spread, spread))) for v in NAMED[color])


def paper(r):
    """(ground, ink): mostly white and black."""
    k = r.random()
    if k < .55:
        return (1, 1, 1), (0, 0, 0) if r.p(.6) else (.15, .15, .15)
    if k < .85:
        b = r.uniform(.86, 1)
        return (b, b * r.uniform(.95, 1), b * r.uniform(.86, 1)), tuple(r.uniform(0, .3) for _ in "rgb")
    if k < .93:
        return tuple(r.uniform(.6, .95) for _ in "rgb"), tuple(r.uniform(0, .2) for _ in "rgb")
    return tuple(r.uniform(0, .25) for _ in "rgb"), tuple(r.uniform(.8, 1) for _ in "rgb")
