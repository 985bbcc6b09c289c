#!/usr/bin/env python3
"""Makes the reference vectors under tests/vectors, or checks that they are what the references say.

    oracle.py models|images|text|quantize|all            write tests/vectors/PART anew
    oracle.py models|images|text|quantize|all --check    make them in a temporary folder and compare

A part is a module oracle_PART with main(out_dir), which fills an empty folder and depends on nothing but
its own seeds and the versions in requirements.txt.
"""

import argparse
import importlib
import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

PARTS = ("models", "images", "text", "quantize")
VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors"

# Sums differ in their last bits between CPUs, so floats are compared less tightly than tests compare with them.
FLOAT_TOLERANCE = 1e-5
JSON_TOLERANCE = 1e-2


def present(part):
    return importlib.util.find_spec(f"oracle_{part}") is not None


def make(part, out_dir):
    out_dir.mkdir(parents=True, exist_ok=True)
    importlib.import_module(f"oracle_{part}").main(out_dir)


def write(part):
    print(f"{part}: writing tests/vectors/{part}")
    with tempfile.TemporaryDirectory() as temporary:
        make(part, Path(temporary) / part)              # a failure leaves the committed vectors alone
        shutil.rmtree(VECTORS / part, ignore_errors=True)
        shutil.copytree(Path(temporary) / part, VECTORS / part)


def same_array(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    return a.size == 0 or np.abs(a - b).max() <= FLOAT_TOLERANCE * max(1e-30, np.abs(a).max())


def same_json(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[k], b[k]) for k in a if k != "made_by")
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= JSON_TOLERANCE * max(abs(a), abs(b))
    return a == b


def same_file(a, b):
    if a.suffix == ".npy":
        return same_array(np.load(a), np.load(b))
    if a.name == "case.json":
        return same_json(json.loads(a.read_text()), json.loads(b.read_text()))
    return a.read_bytes() == b.read_bytes()


def files_under(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def check(part):
    """Names of the files that differ from what the references say now."""
    print(f"{part}: checking tests/vectors/{part}")
    with tempfile.TemporaryDirectory() as temporary:
        fresh, committed = Path(temporary) / part, VECTORS / part
        make(part, fresh)
        wanted, found = files_under(fresh), files_under(committed)
        different = sorted(path for path in wanted & found if not same_file(committed / path, fresh / path))
    problems = [f"missing {p}" for p in sorted(wanted - found)] + [f"surplus {p}" for p in sorted(found - wanted)]
    return problems + [f"differs {p}" for p in different]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*PARTS, "all"))
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    parts = [p for p in PARTS if present(p)] if args.part == "all" else [args.part]
    if not all(map(present, parts)):
        parser.error(f"there is no oracle_{args.part}.py")
    if not args.check:
        for part in parts:
            write(part)
        return 0
    problems = [f"{part}: {problem}" for part in parts for problem in check(part)]
    print("\n".join(problems) or "all as committed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
