"""Twenty typical errors out of what eval.py wrote with --answers.

    python gallery.py answers.jsonl --out logs/gallery.json --sheet ../../assets/default-model/errors.jpg

The rule: wrong answers with known resources and with everything held out, in the order of the SHA-256 of their names, at most one of
a picture; the first of every family that has one, then the first of the rest. The sheet shows the pictures that are drawn entirely by
the generator; those with a photograph in them are described by their question alone.
"""
import argparse
import hashlib
import json

import cv2
import numpy as np

import data
import fam_world
import pictures
from score import right

COUNT, CELL, ACROSS = 20, 200, 5


def choose(records):
    wrong = [r for r in records if not r["control"] and r["condition"] in ("known", "all") and not right(r)]
    wrong.sort(key=lambda r: hashlib.sha256(f"{r['condition']}/{r['family']}/{r['number']}/{r['question']}".encode()).hexdigest())
    out = []
    for most in (1, COUNT):
        for r in wrong:
            place = (r["condition"], r["family"], r["number"])
            if len(out) < COUNT and place not in [(x["condition"], x["family"], x["number"]) for x in out] and sum(x["family"] == r["family"] for x in out) < most:
                out.append(r)
    order = list(data.FAMILIES)
    return sorted(out, key=lambda r: (order.index(r["family"]), r["condition"], r["number"]))


def drawn(r):
    """The picture, or None where a photograph of somebody else's is part of it."""
    used, crop = [], fam_world.crop

    def watched(*args, **more):
        used.append(1)
        return crop(*args, **more)

    fam_world.crop = watched
    see = pictures.picture(r["condition"], r["family"], r["number"])[0]
    fam_world.crop = crop
    return None if used else see


def sheet(chosen, path):
    down = -(-len(chosen) // ACROSS)
    out = np.full((down * CELL, ACROSS * CELL, 3), 255, np.uint8)
    shown = []
    for i, r in enumerate(chosen):
        see = drawn(r)
        y, x = i // ACROSS * CELL, i % ACROSS * CELL
        cv2.putText(out, str(i + 1), (x + 4, y + 16), cv2.FONT_HERSHEY_SIMPLEX, .5, (0, 0, 0), 1, cv2.LINE_AA)
        shown.append(see is not None)
        if see is not None:
            k = (CELL - 26) / max(see.shape[:2])
            see = cv2.resize(see, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
            out[y + 22:y + 22 + see.shape[0], x + 4:x + 4 + see.shape[1]] = see
    cv2.imwrite(path, out, [cv2.IMWRITE_JPEG_QUALITY, 72])
    return shown


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("answers")
    ap.add_argument("--out", required=True)
    ap.add_argument("--sheet", required=True)
    a = ap.parse_args()
    with open(a.answers, encoding="utf-8") as f:
        chosen = choose([json.loads(line) for line in f])
    shown = sheet(chosen, a.sheet)
    with open(a.answers, "rb") as f:
        of = hashlib.sha256(f.read()).hexdigest()
    keep = ("condition", "family", "number", "kind", "question", "want", "got")
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump(dict(answers=of, errors=[dict({k: r[k] for k in keep}, shown=s) for r, s in zip(chosen, shown)]), f, indent=1, ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    main()
