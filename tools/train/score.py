"""What an answer is worth. Every score is a pair (got, of) that is added up over pictures before it is divided."""
import json
import re

import numpy as np

from data import VAGUE
from draw import NAMED
from fam_scene import IRREG, NUM

CHARTS = {"bar", "line", "pie"}
# What is measured: (key, words for the card, good is high)
METRICS = (("field", "fields exact", True), ("anls", "fields, ANLS", True), ("value_labelled", "chart values that are printed, within 5%", True),
           ("value_unlabelled", "chart values read off the axis, within 5%", True), ("chart_kind", "kind of chart", True),
           ("absent", "`not shown` where it is due (recall)", True), ("said_absent", "`not shown` right when said (precision)", True),
           ("cer", "reading: character error rate", False), ("wer", "reading: word error rate", False), ("line", "reading: lines exact", True),
           ("json_parses", "JSON parses", True), ("json_keys", "JSON has the asked keys, none else", True), ("json_order", "JSON keys in the order asked", True),
           ("json_field", "JSON values exact", True), ("null_precision", "JSON `null` right when said (precision)", True), ("null_recall", "JSON `null` where it is due (recall)", True),
           ("caption_f1", "captions: F1 of facts", True), ("caption_true", "captions in which every number and name is in the picture", True), ("run_on", "run-on answers", False))
KINDS = ("receipt invoice form table chart bar line pie doughnut horizontal grouped stacked sign label screen door shop street road text paragraph list page diagram flow card ticket pass "
         "photograph texture screenshot print gradient empty background report").split()
TEMPLATE = set("A An The It Its There Receipt Invoice Text I One Two Three Four Five Six Seven In".split())


def distance(a, b):
    """Levenshtein, over characters or words."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        prev, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            prev, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, prev + (x != y))
    return row[-1]


def number(s):
    m = re.fullmatch(r"-?\d+(\.\d+)?%?", s.strip())
    return float(s.strip().rstrip("%")) if m else None


def same(family, want, got):
    """Equal after trimming and case folding; numbers in charts within 5%."""
    if want.strip().lower() == got.strip().lower():
        return True
    if family in CHARTS:
        a, b = number(want), number(got)
        return a is not None and b is not None and abs(a - b) <= .05 * abs(a)
    return False


def anls(want, got):
    a, b = want.strip().lower(), got.strip().lower()
    far = distance(a, b) / max(1, len(a), len(b))
    return 1 - far if far < .5 else 0.0


def reading(want, got):
    """(edits, characters), (word edits, words), (lines, lines); white space at the ends of lines does not count."""
    a, b = [[x.strip() for x in s.strip().split("\n")] for s in (want, got)]
    s, t = "\n".join(a), "\n".join(b)
    return dict(cer=(distance(s, t), len(s)), wer=(distance(s.split(), t.split()), len(s.split())), line=(sum(x == y for x, y in zip(a, b)), len(a)))


# ---------------------------------------------------------------------------------------------------------------------
# captions

def _scene(s):
    """Facts of a scene's caption: (how many, what), the ground, one relation. What is named twice is counted together."""
    out, tally = set(), {}
    first, *rest = re.split(r"(?<=\.)\s+", s.strip())
    for m in rest:
        k = re.match(r"The (.+) is (to the left of|to the right of|above|below) the (.+)\.$", m)
        if k:
            out.add(("relation", *k.groups()))
    text = re.sub(r"^(the picture shows|there is|there are|i see) ", "", first.rstrip(".").lower())
    k = re.search(r" (on a (\w+) background|in front of sky and grass)$", text)
    if k:
        out.add(("ground", k[1]))
        text = text[:k.start()]
    single = {v: n for n, v in IRREG.items()}
    for part in re.split(r", | and (?=an? |" + "|".join(f"{n} " for n in NUM[1:]) + ")", text):
        head, _, what = part.partition(" ")
        n = 1 if head in ("a", "an") else NUM.index(head) if head in NUM else None
        if n is None:
            out.add(("other", part))
            continue
        if n > 1:
            color, _, thing = what.partition(" ")
            color, thing = (color + " ", thing) if color in NAMED and thing else ("", what)
            thing = single.get(thing) or (thing[:-3] + "y" if thing.endswith("ies") else re.sub(r"(?<=[sxh])es$|s$", "", thing))
            what = color + thing
        tally[what] = tally.get(what, 0) + n
    return out | {("object", n, what) for what, n in tally.items()}


def facts(s, family):
    """What a caption claims: quoted texts, numbers and dates, names, kinds, colours; in scenes objects and how they lie."""
    if family == "scene":
        return _scene(s)
    out = {("text", q.lower()) for q in re.findall(r'"([^"]*)"', s)}
    s = re.sub(r'"[^"]*"', " ", s)
    words = {n: str(i) for i, n in enumerate(NUM) if i}
    s = " ".join(words.get(x.lower(), x) for x in s.split())
    out |= {("number", x) for x in re.findall(r"[^\s,;()]*\d(?:[^\s;()]*\d)?%?", s)}
    bare = re.sub(r"\b(" + "|".join(TEMPLATE) + r")\b", " ", s)
    out |= {("name", x.lower()) for x in re.findall(r"[A-Z][\w'&-]*(?: (?:& )?[A-Z][\w'&-]*)*", bare)}
    low = re.findall(r"[a-z]+", s.lower())
    out |= {("kind", k) for k in KINDS if k in low} | {("color", k) for k in NAMED if k in low}
    return out | {("trend", k) for k in ("rises", "falls", "highest", "lowest", "largest", "cannot") if k in low}


def f1(want, got):
    hit = len(want & got)
    return 2 * hit / max(1, len(want) + len(got))


def known_words(d):
    """All words and numbers that are true of a document."""
    t = " ".join([a for _, a in d.qa] + d.captions + [v for _, v in d.fields] + [d.read or ""] + ([str(x) for row in d.items[2] for x in row] if d.items else []))
    return set(re.findall(r"[\w.,:/'&-]*\w", t.lower())) | set(re.findall(r"\w+", t.lower()))


def caption(d, family, got):
    """F1 against the nearest of the captions that the generator would have written; and whether each number and name is there."""
    mine = facts(got, family)
    near = max(f1(facts(c, family), mine) for c in d.captions)
    know = known_words(d)
    claims = [x for x in re.findall(r"[\w.,:/'&-]*\w", got) if any(ch.isdigit() for ch in x)] + re.findall(r"(?<![.\"] )(?<!^)\b[A-Z]\w+", got)
    return dict(caption_f1=(near, 1), caption_true=(all(x.lower() in know for x in claims), 1))


# ---------------------------------------------------------------------------------------------------------------------
# one answer

def score(d, family, kind, question, want, got, cut):
    """metric -> (got, of). `cut`: the answer was stopped by the limit."""
    longest = max(len(want), *(len(c) for c in d.captions)) if kind == "caption" else len(want)
    out = dict(run_on=(cut or len(got) > 2 * longest + 20, 1))
    said = got.strip() == "not shown"
    if kind in ("field", "absent"):
        ok = same(family, want, got)
        out[kind] = (ok, 1)
        if kind == "field":
            out["anls"] = (max(ok, anls(want, got)), 1)
            q = question.lower()
            if family in CHARTS and number(want) is not None and not re.search(r"how many|count|title|axis", q):
                out["value_labelled" if d.labelled else "value_unlabelled"] = (ok, 1)
            if family in CHARTS and want.endswith(" chart"):
                out["chart_kind"] = (ok, 1)
        if said:
            out["said_absent"] = (kind == "absent", 1)
    elif kind == "read":
        out.update(reading(want, got))
    elif kind == "json":
        w = json.loads(want)
        try:
            o = json.loads(got)
        except ValueError:
            o = None
        good = isinstance(o, dict)
        o = o if good else {}
        due, nulls = [k for k in w if w[k] is None], [k for k in o if o[k] is None]
        out.update(json_parses=(good, 1), json_keys=(set(o) == set(w), 1), json_order=(list(o) == list(w), 1), json_field=(sum(k in o and o[k] == v for k, v in w.items()), len(w)))
        out["null_recall"] = (sum(k in nulls for k in due), len(due))
        out["null_precision"] = (sum(k in due for k in nulls), len(nulls))
    elif kind == "caption":
        out.update(caption(d, family, got))
    return {k: (float(a), b) for k, (a, b) in out.items() if b}


def right(record):
    """Whether an answer has no fault that is worth showing."""
    m, k = record["m"], record["kind"]      # a JSON question may have no keys at all
    if k == "read":
        return m["cer"][0] == 0
    if k == "json":
        got, of = m.get("json_field", (0, 0))
        return m["json_order"][0] == 1 and got == of
    return m["caption_f1" if k == "caption" else k][0] == 1


def interval(pairs, n=1000):
    """[value, low, high, answers] of pairs that are summed per picture: 95% bootstrap over pictures. pairs: {picture: [got, of, answers]}"""
    if not pairs:
        return None
    v = np.array(list(pairs.values()), float)
    g = np.random.default_rng(0)
    b = np.concatenate([v[g.integers(0, len(v), (50, len(v))), :2].sum(1) for _ in range(n // 50)])
    b = b[b[:, 1] > 0]
    q = np.quantile(b[:, 0] / b[:, 1], (.025, .975))
    return [round(float(x), 4) for x in (v[:, 0].sum() / v[:, 1].sum(), *q)] + [int(v[:, 2].sum())]


def collect(records, keep=lambda r: True, only=None):
    """metric -> interval, over the records that are kept."""
    sums = {}
    for r in records:
        if keep(r):
            for k, (a, b) in r["m"].items():
                if only is None or k in only:
                    e = sums.setdefault(k, {}).setdefault((r["condition"], r["family"], r["number"]), [0, 0, 0])
                    e[0] += a
                    e[1] += b
                    e[2] += 1
    return {k: interval(v) for k, v in sums.items()}
