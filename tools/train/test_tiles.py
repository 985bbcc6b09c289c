"""The loader's tiles against Pillow 13 and against the runtime, bit for bit, and the grid rule against the spec's table.

    python test_tiles.py [TESSERA]        the program, by default the repository's release build
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

import tiles

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# Small and large, wide and tall; what canvases are drawn at; receipts up to 1:4, for which columns are resized first.
SIZES = ((224, 224), (225, 224), (224, 223), (100, 100), (17, 31), (640, 480), (480, 640), (333, 517), (517, 333), (1000, 300),
         (300, 1000), (90, 260), (260, 90), (448, 672), (672, 448), (448, 1120), (450, 1125), (430, 1180), (400, 1000), (401, 1003),
         (224, 672), (230, 700), (200, 800), (210, 600), (380, 1140), (600, 1500), (900, 2250), (1000, 2700), (720, 1800), (500, 1000),
         (1275, 1650), (1240, 1754), (1654, 2339), (1280, 720), (1920, 1080), (720, 1280), (2000, 500), (448, 449), (449, 448),
         (460, 690), (440, 700), (1500, 1501), (3, 1000), (1000, 3), (672, 1344), (470, 1175))


def columns_first(w, h, to_w, to_h):
    return h > to_h and h - to_h > 2 * (w - to_w)


def against_pillow(im, t, grid):
    i, j = grid
    big = np.asarray(im.resize((i * 224, j * 224), Image.BICUBIC))
    want = [big[y * 224:y * 224 + 224, x * 224:x * 224 + 224] for y in range(j) for x in range(i)]
    if i * j > 1:
        want.append(np.asarray(im.resize((224, 224), Image.BICUBIC)))
    assert np.array_equal(t, np.stack(want)), (im.size, grid)


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/release/apps/tessera")
    r = np.random.default_rng(1)
    turned = checked = 0
    with tempfile.TemporaryDirectory() as tmp:
        ours = {1: [], 4: [], 6: [], 10: []}
        names = []
        for w, h in SIZES:
            a = r.integers(0, 256, (h, w, 4), dtype=np.uint8)
            if len(names) % 2:      # hard edges, as print has them, instead of noise
                a = (a[:, :, :1] > 128).repeat(4, 2) * np.uint8(255)
            im = Image.fromarray(np.ascontiguousarray(a[..., 2::-1]))
            names.append(f"{tmp}/{w}x{h}.png")
            im.save(names[-1], compress_level=1)
            for m, hashes in ours.items():
                t, (i, j) = tiles.make_tiles(a, m)
                against_pillow(im, t, (i, j))
                turned += columns_first(w, h, i * 224, j * 224)
                hashes.append(hashlib.sha256(t.tobytes()).hexdigest())
        for m, hashes in ours.items():
            out = subprocess.run([program, "inspect", "--json", "--max-tiles", str(m), "-m", os.path.join(ROOT, "assets/default-model"), *names],
                                 check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            theirs = [json.loads(line)["tile_hash"] for line in out.splitlines()]
            assert len(theirs) == len(names)
            for name, x, y in zip(names, hashes, theirs):
                assert x == y, f"{os.path.basename(name)}, at most {m} tiles: the runtime cuts others"
                checked += 1
    for (w, h), g in (((300, 300), (1, 1)), ((400, 400), (2, 2)), ((480, 480), (3, 3)), ((640, 480), (3, 2)),
                      ((1280, 720), (4, 2)), ((1275, 1650), (2, 3)), ((500, 1000), (2, 4)), ((400, 1000), (2, 5))):
        assert tiles.pick_grid(w, h, 10) == g, (w, h, tiles.pick_grid(w, h, 10))
    t0 = time.time()
    a = r.integers(0, 256, (672, 448, 4), dtype=np.uint8)
    for _ in range(50):
        tiles.make_tiles(a, 10)
    print(f"{checked} sets of tiles of {len(SIZES)} sizes equal Pillow's and the runtime's, {turned} of them columns first; "
          f"448x672 to 7 tiles: {(time.time() - t0) * 20:.2f} ms")


if __name__ == "__main__":
    main()
