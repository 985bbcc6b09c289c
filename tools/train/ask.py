"""Ask about picture files through the PyTorch reference.

    python ask.py DIR PICTURE... [-p QUESTION]...      (without questions: a caption)
"""
import sys

import numpy as np
import torch
from PIL import Image

import data
import export
from chat import Coder
from model import normalise
from tiles import make_tiles


class Machine:
    """One picture at a time: encode once, then any number of questions on copies of the state. Float32 arithmetic on BF16 weights."""

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


def main():
    args, qs = sys.argv[1:], []
    while "-p" in args:
        i = args.index("-p")
        qs.append(args[i + 1])
        del args[i:i + 2]
    m = Machine(args[0])
    for path in args[1:]:
        a = np.asarray(Image.open(path).convert("RGB"))
        cache = m.look(a[..., ::-1])
        print(path, a.shape[1], "x", a.shape[0])
        for q in qs or ["Describe this image."]:
            print("  ", q, "->", repr(m.answer(cache, q)[0]))


if __name__ == "__main__":
    main()
