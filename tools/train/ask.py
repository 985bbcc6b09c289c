"""Ask about picture files through the PyTorch reference.

    python ask.py DIR PICTURE... [-p QUESTION]...      (without questions: a caption)
"""
import sys

import numpy as np
from PIL import Image

from eval import Machine


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
