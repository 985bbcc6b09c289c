"""Evaluate a model directory on generated pictures: greedy answers, every question on its own on the state after its picture.

    python eval.py --library libtessera.so --out metrics.json [--model DIR] [--pictures 40] [--workers 2] [--answers answers.jsonl]

Answers come from the C runtime, one thread a worker. Conditions, pictures and questions: pictures.py; what an answer is worth:
score.py. `--pictures` is the number for each family under each condition; held-out fonts, which the ship gate asks about, get
twice as many and two controls: the same questions with a white picture, and with another picture of the family.
"""
import argparse
import hashlib
import json
import multiprocessing as mp
import os
import time
from collections import Counter

import numpy as np

import data
import pictures
from score import METRICS, collect, same, score

HERE = os.path.dirname(os.path.abspath(__file__))
GATE = ("receipt", "labelled bar", "sign", "scene")
CONTROLS = ("white", "another")
CHUNK = 6
machine = None


def start(library, path, fp8_activations):
    import torch
    from runtime import Runtime
    global machine
    torch.set_num_threads(1)
    machine = Runtime(library, path, 1, fp8_activations=fp8_activations)


def answers(job):
    """Records of the questions about a few pictures in a row: job is (condition, control, family, first, last)."""
    condition, control, family, first, last = job
    out = []
    for n in range(first, last):
        t = time.process_time()
        see, r, d = pictures.picture(condition, family, n)
        asked = pictures.questions(r, d, family)
        if control == "white":
            see = np.full_like(see, 255)
        elif control == "another":
            see = pictures.picture(condition, family, n + 1)[0]
        session = machine.look(see)
        for kind, q, want in asked:
            got, cut = machine.answer(session, q)
            out.append(dict(condition=condition, control=control, family=family, number=n, kind=kind, question=q, want=want, got=got,
                            labelled=d.labelled, m=score(d, family, kind, q, want, got, cut)))
        out[-1]["seconds"] = time.process_time() - t
    return out


def jobs(conditions, families, per, controls=True):
    out = []
    for c in conditions:
        for f in families:
            n = per * 2 if c == "fonts" else per
            for control in ("",) + (CONTROLS if controls and c == "fonts" else ()):
                out += [(c, control, f, i, min(n, i + CHUNK)) for i in range(0, n, CHUNK)]
    return out


def run(library, path, todo, workers=2, fp8_activations="auto"):
    with mp.get_context("spawn").Pool(workers, start, (library, path, fp8_activations)) as pool:
        return [r for part in pool.imap(answers, todo) for r in part]


# ---------------------------------------------------------------------------------------------------------------------
# the most frequent answer

def frequent(family, records, n=400):
    """(answer of training that is most frequent for a question, for the family) -> a record each, scored as an answer would be."""
    per, all_ = {}, Counter()
    for i in range(n):
        r, d, *_ = data.document(family, "C", "train", 10 ** 8 + i)
        for kind, q, want in pictures.questions(r, d, family):
            if kind == "field":
                per.setdefault(q.lower(), Counter())[want] += 1
                all_[want] += 1
    out = []
    for x in records:
        if x["kind"] == "field":
            top = per.get(x["question"].lower(), all_).most_common(1)[0][0]
            out.append(dict(x, m=dict(field=(float(same(family, x["want"], top)), 1))))
    return out


def of(name):
    """Whether a record belongs to a row of the tables: a family, or the bars whose values are printed."""
    if name == "labelled bar":
        return lambda r: r["family"] == "bar" and r["labelled"]
    return lambda r: r["family"] == name


def gate(m):
    """Lines of the ship gate: (what, figure, wanted, passed)."""
    out = []
    for f in GATE:
        c = m["controls"].get(f)
        if c:
            best = max((c[k][0], k) for k in c if k != "none" and c[k])
            gap = c["none"][0] - best[0]
            out.append((f"{f}s on held-out fonts: fields {100 * c['none'][0]:.1f}%, best control ({best[1]}) {100 * best[0]:.1f}%", f"{100 * gap:.1f} points", "at least 30", gap >= .3))
    for k, words, want, ok in (("json_parses", "JSON parses, all conditions", "at least 95%", lambda v: v >= .95), ("run_on", "run-on answers, all conditions", "at most 1%", lambda v: v <= .01)):
        if k in m["total"]:
            v = m["total"][k][0]
            out.append((words, f"{100 * v:.2f}%", want, ok(v)))
    return out


def sha(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def code():
    """SHA-256 of what decides the pictures, the questions and their scores."""
    names = [n for n in sorted(os.listdir(HERE)) if n.startswith("fam") and n.endswith(".py")] + ["chat.py", "data.py", "draw.py", "words.py", "pictures.py", "score.py"]
    return hashlib.sha256("".join(sha(os.path.join(HERE, n)) for n in names).encode()).hexdigest()


def hashes(path):
    return {n: sha(f"{path}/{n}") for n in sorted(os.listdir(path)) if n.endswith((".json", ".safetensors"))}


def summary(records, conditions, families):
    plain = [r for r in records if not r["control"]]
    rows = list(families) + (["labelled bar"] if "bar" in families else [])
    m = dict(total=collect(plain), pictures=len({(r["condition"], r["family"], r["number"]) for r in plain}), questions=len(plain),
             questions_per_family={f: sum(r["family"] == f for r in plain) for f in families}, questions_per_condition={c: sum(r["condition"] == c for r in plain) for c in conditions},
             conditions={c: collect(plain, lambda r: r["condition"] == c) for c in conditions}, families={f: collect(plain, of(f)) for f in rows},
             fields={f: {c: collect(plain, lambda r: of(f)(r) and r["condition"] == c, ("field",)).get("field") for c in conditions} for f in rows})
    m["controls"] = {}
    for f in rows if "fonts" in conditions else ():
        here = [r for r in records if r["condition"] == "fonts" and of(f)(r)]
        get = lambda rs: collect(rs, only=("field",)).get("field")
        got = {"none": get([r for r in here if not r["control"]]), **{f"{c} picture": get([r for r in here if r["control"] == c]) for c in CONTROLS}}
        got["most frequent answer"] = get(frequent("bar" if f == "labelled bar" else f, [r for r in here if not r["control"]]))
        if got["none"]:
            m["controls"][f] = got
    m["gate"] = gate(m)
    return m


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--library", required=True)
    ap.add_argument("--model", default=os.path.join(HERE, "..", "..", "assets", "default-model"))
    ap.add_argument("--pictures", type=int, default=40)
    ap.add_argument("--conditions", default=",".join(pictures.CONDITIONS))
    ap.add_argument("--families", default=",".join(data.FAMILIES))
    ap.add_argument("--no-controls", action="store_true")
    ap.add_argument("--fp8-activations", default="auto")
    ap.add_argument("--workers", type=int, default=2)
    ap.add_argument("--out")
    ap.add_argument("--answers", help="every question and answer, one JSON object a line")
    a = ap.parse_args()
    conditions, families, t = a.conditions.split(","), a.families.split(","), time.time()
    records = run(os.path.abspath(a.library), a.model, jobs(conditions, families, a.pictures, not a.no_controls), a.workers, a.fp8_activations)
    spent = time.time() - t
    busy = sum(r.get("seconds", 0) for r in records)
    text = "".join(json.dumps({k: v for k, v in r.items() if k != "seconds"}, ensure_ascii=False) + "\n" for r in records)
    if a.answers:
        with open(a.answers, "w", encoding="utf-8") as f:
            f.write(text)
    out = dict(generator=data.VERSION, code=code(), model=hashes(a.model), fp8_activations=a.fp8_activations, workers=a.workers, seconds=round(spent), cpu_seconds_per_picture=round(busy / max(1, sum("seconds" in r for r in records)), 3),
               answers=hashlib.sha256(text.encode()).hexdigest(), **summary(records, conditions, families))
    for k, words, _ in METRICS:
        if k in out["total"]:
            v = out["total"][k]
            print(f"{words:62s} {100 * v[0]:6.2f}%  ({100 * v[1]:.2f} to {100 * v[2]:.2f}, {v[3]})")
    for line, v, want, ok in out["gate"]:
        print(f"{'pass' if ok else 'FAIL'}  {line}: {v}, wanted {want}")
    print(f"{out['questions']} questions on {out['pictures']} pictures, {spent:.0f} s, {out['cpu_seconds_per_picture']} s of CPU time a picture")
    if a.out:
        with open(a.out, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
