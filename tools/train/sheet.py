"""A contact sheet of one family, with the dialogue of each picture on stdout.

    python sheet.py FAMILY OUT.png [--stage C] [--n 12] [--split train] [--held fonts,layouts] [--clean] [--dots]
"""
import argparse

import numpy as np
from PIL import Image, ImageDraw

import data
import words as W


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("family")
    ap.add_argument("out")
    ap.add_argument("--stage", default="C")
    ap.add_argument("--n", type=int, default=12)
    ap.add_argument("--split", default="train")
    ap.add_argument("--held", default="")
    ap.add_argument("--clean", action="store_true")
    ap.add_argument("--dots", action="store_true", help="mark the recorded glyph centres")
    a = ap.parse_args()
    held = [x for x in a.held.split(",") if x]
    cell = 330
    sheet = Image.new("RGB", (cell * 4, cell * ((a.n + 3) // 4)), (90, 90, 110))
    for i in range(a.n):
        r, d, f, s = data.document(a.family, a.stage, a.split, i, held)
        turns = data.turns(r, d, f, s)
        px, m, par = data.disturb(r, d, f, a.clean)
        x = px[..., 2::-1].astype(np.float32) / 255
        x = np.clip(((x - .5) * par[1] + .5 + par[0]), 0, 1) ** par[2] * par[6:9]
        im = Image.fromarray((255 * np.clip(1 - x if par[5] else x, 0, 1)).astype(np.uint8))
        if a.dots:
            g = ImageDraw.Draw(im)
            for ch, cx, cy, _ in d.pic.glyphs:
                v = np.array([cx, cy, 1.0]) if m is None else m @ np.array([cx, cy, 1.0])
                px_, py_ = v[0] / v[2] * d.pic.pw / d.pic.w, v[1] / v[2] * d.pic.ph / d.pic.h
                g.ellipse((px_ - 1, py_ - 1, px_ + 1, py_ + 1), fill=(255, 0, 0))
        k = min((cell - 6) / im.width, (cell - 6) / im.height)
        im = im.resize((max(1, int(im.width * k)), max(1, int(im.height * k))), Image.LANCZOS)
        sheet.paste(im, (cell * (i % 4) + 3, cell * (i // 4) + 3))
        print(f"--- {i}  {d.pic.pw}x{d.pic.ph}")
        for q, t in turns:
            print("  Q:", q, "\n  A:", t.replace("\n", "\n     "))
    sheet.save(a.out)


if __name__ == "__main__":
    main()
