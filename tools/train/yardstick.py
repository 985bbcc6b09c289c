"""Debian's Tesseract and this model on the same pages.      (apt-get install tesseract-ocr)

    python yardstick.py --library libtessera.so [--model DIR] --out yardstick.json

Text families: both read the whole page; error rates over all pages, white space at the ends of lines and empty lines left out. Tesseract
gets the picture as it is and enlarged twice, one block of text (--psm 6), English. Receipts and forms: the model is asked for every
field by name; for Tesseract a value counts as found when it stands anywhere in what it read, which is the easier task.
"""
import argparse
import json
import multiprocessing as mp
import os
import re
import subprocess

import cv2

import eval as E
import pictures
from score import interval, reading, same

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT, FIELDS = ("lines", "paragraph", "sign"), ("receipt", "form")
CONDITIONS = ("known", "fonts", "all")
WAYS = ("tessera", "tesseract", "tesseract, enlarged twice")


def tesseract(bgr):
    png = cv2.imencode(".png", bgr)[1].tobytes()
    p = subprocess.run(["tesseract", "-", "-", "--psm", "6", "-l", "eng"], input=png, capture_output=True, check=True, env={**os.environ, "OMP_THREAD_LIMIT": "1"})
    return "\n".join(x.strip() for x in p.stdout.decode(errors="replace").split("\n") if x.strip())


def plain(s):
    return re.sub(r"\s+", " ", s).strip().lower()


def page(job):
    """(job, way -> scores) of one page, or None where there is nothing to read."""
    condition, clean, family, n = job
    see, _, d = pictures.picture(condition, family, n, clean)
    if family in TEXT and (not d.read or len(d.read) >= 500) or family in FIELDS and not d.fields:
        return None
    big = cv2.resize(see, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    session = E.machine.look(see)
    read = dict(zip(WAYS[1:], (tesseract(see), tesseract(big))))
    if family in TEXT:
        read[WAYS[0]] = E.machine.answer(session, "Read the text.")[0]
        return job, {w: {k: v for k, v in reading(d.read, read[w]).items()} for w in WAYS}
    ours = [same(family, v, E.machine.answer(session, f"What is the {names[0]}?")[0]) for names, v in d.fields]
    out = {w: dict(field=(sum(plain(v) in plain(read[w]) for _, v in d.fields), len(d.fields))) for w in WAYS[1:]}
    return job, {WAYS[0]: dict(field=(sum(ours), len(ours))), **out}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--library", required=True)
    ap.add_argument("--model", default=os.path.join(HERE, "..", "..", "assets", "default-model"))
    ap.add_argument("--pictures", type=int, default=20, help="per family and condition, clean and as in the evaluation")
    ap.add_argument("--workers", type=int, default=2)
    ap.add_argument("--out", required=True)
    a = ap.parse_args()
    jobs = [(c, clean, f, n) for clean in (True, False) for c in CONDITIONS for f in TEXT + FIELDS for n in range(a.pictures)]
    with mp.get_context("spawn").Pool(a.workers, E.start, (os.path.abspath(a.library), a.model, "auto")) as pool:
        got = [x for x in pool.imap(page, jobs, 4) if x]
    version = subprocess.run(["tesseract", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    out = dict(version=version, model=E.hashes(a.model), rows=[])
    for what, families, metrics in (("text", TEXT, ("cer", "wer", "line")), ("fields", FIELDS, ("field",))):
        for clean in (True, False):
            for c in CONDITIONS:
                here = [x for x in got if x[0][:2] == (c, clean) and x[0][2] in families]
                row = dict(what=what, clean=clean, condition=c, pages=len(here))
                for w in WAYS:
                    row[w] = {m: interval({x[0]: [*x[1][w][m], 1] for x in here}) for m in metrics}
                out["rows"].append(row)
                print(what, "clean" if clean else "disturbed", c, len(here), {w: {m: f"{100 * row[w][m][0]:.1f}%" for m in metrics} for w in WAYS}, flush=True)
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
