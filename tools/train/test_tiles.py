"""The loader's tiles against Pillow, and the grid rule against the spec's table."""
import time

import numpy as np
from PIL import Image

import tiles


def main():
    def pil(im, w, h):  # Pillow 13 turns the passes round when that is cheaper; the runtime's order is fixed
        return np.asarray(im.resize((w, im.height), Image.BICUBIC).resize((w, h), Image.BICUBIC))

    r = np.random.default_rng(1)
    for w, h in ((224, 224), (640, 480), (333, 517), (1000, 300), (90, 260), (448, 672), (1275, 1650)):
        a = r.integers(0, 256, (h, w, 4), dtype=np.uint8)
        im = Image.fromarray(np.ascontiguousarray(a[..., 2::-1]))
        for m in (1, 4, 6, 10):
            t, (i, j) = tiles.make_tiles(a, m)
            big = pil(im, i * 224, j * 224)
            want = [big[y * 224:y * 224 + 224, x * 224:x * 224 + 224] for y in range(j) for x in range(i)]
            if i * j > 1:
                want.append(pil(im, 224, 224))
            assert np.array_equal(t, np.stack(want)), (w, h, m)
    for (w, h), g in (((300, 300), (1, 1)), ((400, 400), (2, 2)), ((480, 480), (3, 3)), ((640, 480), (3, 2)),
                      ((1280, 720), (4, 2)), ((1275, 1650), (2, 3)), ((500, 1000), (2, 4)), ((400, 1000), (2, 5))):
        assert tiles.pick_grid(w, h, 10) == g, (w, h, tiles.pick_grid(w, h, 10))
    t0 = time.time()
    a = r.integers(0, 256, (672, 448, 4), dtype=np.uint8)
    for _ in range(50):
        tiles.make_tiles(a, 10)
    print("tiles equal Pillow's; 448x672 to 7 tiles: %.2f ms" % ((time.time() - t0) * 20))


if __name__ == "__main__":
    main()
