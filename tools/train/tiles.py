"""From a picture to the tiles the model sees: the runtime's grid rule and Pillow's bicubic, bit for bit."""
import ctypes
import os
import subprocess

import numpy as np

SIDE = 224
HERE = os.path.dirname(os.path.abspath(__file__))
_lib = None


def _fast():
    global _lib
    if _lib is None:
        so = os.path.join(HERE, "fastops.so")
        source = os.path.join(HERE, "fastops.c")
        if not os.path.exists(so) or os.path.getmtime(so) < os.path.getmtime(source):
            tmp = f"{so}.{os.getpid()}"
            subprocess.run(["gcc", "-O3", "-mavx2", "-shared", "-fPIC", "-o", tmp, source, "-lm"], check=True)
            os.replace(tmp, so)
        _lib = ctypes.CDLL(so)
    return _lib


_cands = {}


def candidates(max_tiles, min_tiles=1):
    key = (min_tiles, max_tiles)
    if key not in _cands:
        _cands[key] = sorted(((i, j) for i in range(1, max_tiles + 1) for j in range(1, max_tiles + 1)
                              if min_tiles <= i * j <= max_tiles), key=lambda g: (g[0] * g[1], g))
    return _cands[key]


def pick_grid(w, h, max_tiles, side=SIDE):
    """(columns, rows) for a picture of w x h."""
    ar, best, bd = w / h, (1, 1), float("inf")
    for i, j in candidates(max_tiles):
        d = abs(ar - i / j)
        if d < bd:
            bd, best = d, (i, j)
        elif d == bd and w * h > 0.5 * side * side * i * j:
            best = (i, j)
    return best


def resize(bgrx, w, h):
    """[H, W, 4] u8 -> [h, w, 4] u8, as Pillow's bicubic does it."""
    if bgrx.shape[0] == h and bgrx.shape[1] == w:
        return np.ascontiguousarray(bgrx)
    assert bgrx.dtype == np.uint8 and bgrx.strides[1] == 4 and bgrx.strides[2] == 1
    out = np.empty((h, w, 4), np.uint8)
    _fast().resize4(out.ctypes.data_as(ctypes.c_void_p), w, h, bgrx.ctypes.data_as(ctypes.c_void_p), bgrx.shape[1],
                    bgrx.shape[0], bgrx.strides[0])
    return out


def make_tiles(bgrx, max_tiles, side=SIDE, thumbnail=True):
    """[H, W, 4] B,G,R,x -> (tiles [n, side, side, 3] R,G,B; (columns, rows))"""
    h, w = bgrx.shape[:2]
    cols, rows = pick_grid(w, h, max_tiles, side)
    n = cols * rows
    out = np.empty((n + (thumbnail and n > 1), side, side, 3), np.uint8)
    cut = _fast().cut_tiles
    canvas = resize(bgrx, cols * side, rows * side)
    cut(out.ctypes.data_as(ctypes.c_void_p), canvas.ctypes.data_as(ctypes.c_void_p), cols, rows, side)
    if len(out) > n:
        small = resize(bgrx, side, side)
        cut(out[n:].ctypes.data_as(ctypes.c_void_p), small.ctypes.data_as(ctypes.c_void_p), 1, 1, side)
    return out, (cols, rows)
