"""Forty pictures from outside the model's world: photographs and screenshots of Debian packages that training never saw.

    for p in $(python outside.py packages); do apt-get download $p; done; for f in *.deb; do dpkg-deb -x $f ROOT; done
    python outside.py choose ROOT                     writes outside.tsv; the rule is below
    python outside.py ask ROOT --tessera PROGRAM [--model DIR]      the default caption of each, to logs/outside.json
    python outside.py samples --tessera PROGRAM [--model DIR]       the same of assets/samples, to logs/samples.json

Somebody looks at each picture and answer and writes into outside-judged.tsv whether the answer is true: it names no object, text or
number that is not there. A judgment belongs to a picture and an answer, by their hashes: another answer asks for a new judgment.

The rule. Photographs: all pictures in the folders PHOTO with sides of at least 200 pixels, without those listed in NOT. Screenshots, up
to forty pictures in all: from the folders SCREEN, sides of at least 200 pixels and at most 3:1, English, without those in NOT; ordered by
SHA-256 within each package, and one taken from each package in turn.
"""
import argparse
import csv
import hashlib
import json
import os
import re
import subprocess

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE, JUDGED, ANSWERS, SAMPLES = (os.path.join(HERE, n) for n in ("outside.tsv", "outside-judged.tsv", "logs/outside.json", "logs/samples.json"))
COUNT = 40
PHOTO = {"python3-skimage": "usr/lib/python3/dist-packages/skimage/data", "python3-sklearn": "usr/lib/python3/dist-packages/sklearn/datasets/images",
         "python-matplotlib-data": "usr/share/matplotlib/mpl-data/sample_data", "inkscape-tutorials": "usr/share/inkscape/tutorials/oldguitar.jpg",
         "gnome-user-docs": "usr/share/help/C/gnome-help/figures/color-camera.png"}
SCREEN = {"dolphin": "usr/share/doc/HTML/en/dolphin", "freeplane": "usr/share/doc/freeplane/Images", "gnome-user-docs": "usr/share/help/C/gnome-help/figures",
          "gwenview": "usr/share/doc/HTML/en/gwenview", "inkscape-tutorials": "usr/share/inkscape/tutorials", "okular": "usr/share/doc/HTML/en/okular"}
# Not taken: drawn, not photographed; printed text, which is inside its world; the second picture of a pair; no window in it.
NOT = re.compile(r"/(_blobs.*|chessboard.*|color|green_palette|horse|logo.*|phantom|bw_text|page|text|multipage.*|truncated|motorcycle_right|"
                 r"color-(display|printer|camera)|oldguitar|enhance-.*|scroll bars|mapView.*|.*_nl|.*\.(el|es|eu|hu))\.\w+$")


def sha(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def found(root, at, least, ratio, all_=False):
    """(SHA-256, path below root) of the pictures in a folder, or the one file that `at` names."""
    top = os.path.join(root, at)
    paths = [top] if os.path.isfile(top) else [os.path.join(d, n) for d, _, names in os.walk(top) for n in names]
    out = []
    for p in paths:
        if re.search(r"\.(png|jpe?g)$", p) and (p == top or not NOT.search(p)):
            w, h = Image.open(p).size
            if min(w, h) >= least and max(w, h) <= ratio * min(w, h):
                out.append((sha(p), os.path.relpath(p, root)))
    return sorted(out)


def choose(root):
    rows = [(k, "photograph", p, s) for k, at in PHOTO.items() for s, p in found(root, at, 200, 9)]
    heaps = {k: found(root, at, 200, 3) for k, at in SCREEN.items()}
    while len(rows) < COUNT and any(heaps.values()):
        for k in heaps:
            if heaps[k] and len(rows) < COUNT:
                s, p = heaps[k].pop(0)
                rows.append((k, "screenshot", p, s))
    with open(TABLE, "w", newline="") as f:
        csv.writer(f, delimiter="\t", lineterminator="\n").writerows([("package", "kind", "path", "sha256")] + rows)
    print({k: sum(r[1] == k for r in rows) for k in ("photograph", "screenshot")})


def table(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f, delimiter="\t"))


def key(picture, answer):
    return hashlib.sha256(f"{picture}\n{answer}".encode()).hexdigest()[:16]


def samples():
    """assets/samples in the form of the table."""
    root = os.path.join(HERE, "..", "..", "assets", "samples")
    return root, [dict(path=n, sha256=sha(os.path.join(root, n))) for n in sorted(os.listdir(root)) if re.search(r"\.(png|jpg)$", n)]


def ask(root, rows, program, model, to):
    out = []
    for r in rows:
        path = os.path.join(root, r["path"])
        assert sha(path) == r["sha256"], f"{path}: not the picture of the table"
        got = subprocess.run([program, "caption"] + (["-m", model] if model else []) + [path], capture_output=True, text=True, check=True).stdout.strip()
        out.append(dict(r, answer=got))
    with open(to, "w", encoding="utf-8") as f:
        json.dump(out, f, indent=1, ensure_ascii=False)
        f.write("\n")
    judged = judgments()
    for r in out:
        print(f"{judged.get(key(r['sha256'], r['answer']), ('not judged',))[0]:10s} {key(r['sha256'], r['answer'])} {os.path.basename(r['path'])}: {r['answer']}")


def judgments():
    """hash of picture and answer -> (true or false, why)"""
    return {r["key"]: (r["true"], r["why"]) for r in table(JUDGED)} if os.path.exists(JUDGED) else {}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=("packages", "choose", "ask", "samples"))
    ap.add_argument("root", nargs="?")
    ap.add_argument("--tessera")
    ap.add_argument("--model")
    a = ap.parse_args()
    if a.what == "packages":
        print(" ".join(sorted(set(PHOTO) | set(SCREEN))))
    elif a.what == "choose":
        choose(a.root)
    elif a.what == "samples":
        ask(*samples(), a.tessera, a.model, SAMPLES)
    else:
        ask(a.root, table(TABLE), a.tessera, a.model, ANSWERS)


if __name__ == "__main__":
    main()
