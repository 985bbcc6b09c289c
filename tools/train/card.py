"""Write assets/default-model/CARD.md from what was measured: no number is typed by hand.

    python card.py [MODEL DIRECTORY]

Reads logs/metrics.json (eval.py), renderers.json (renderers.py), fp8.json (fp8.py), yardstick.json, outside.json with outside-judged.tsv, samples.json and gallery.json,
and refuses figures of other weights than those beside the card. A part that was not measured is named under "Not measured".
"""
import json
import os
import sys

import outside
from eval import hashes
from score import METRICS
from yardstick import WAYS

HERE = os.path.dirname(os.path.abspath(__file__))
LOGS = os.path.join(HERE, "logs")
WHAT = {"known": "nothing but the seed", "fonts": "fonts", "layouts": "layouts", "vocab": "words and names", "values": "ranges of values", "phrasing": "wording of questions",
        "all": "all five at once", "degraded": "two of: skew of 4 to 6 degrees, a third of the contrast, halftone, JPEG 15 to 25"}


def load(name):
    path = os.path.join(LOGS, name)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def pct(v, digits=1):
    return f"{100 * v[0]:.{digits}f} ({100 * v[1]:.{digits}f} to {100 * v[2]:.{digits}f}; {v[3]})" if v else ""


def short(v):
    return f"{100 * v[0]:.1f}" if v else ""


def table(head, rows):
    return "\n".join("| " + " | ".join(str(x) for x in r) + " |" for r in [head, ["---"] * len(head)] + rows)


def quote(s, most=150):
    s = s.replace("|", "\\|").replace("\n", " / ")
    return s if len(s) <= most else s[:most] + " ..."


def one_in(share):
    n = round(1 / max(share, .001))
    words = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
    return f"one field in {words[n] if n < len(words) else n}"


def measured(m):
    out = [f"""By `tools/train/eval.py` (generator version {m['generator']}) through the C runtime on a CPU, BF16 weights, greedy: {m['questions']:,} questions on {m['pictures']:,} generated
pictures, up to five a picture, each on its own on a copy of the state after the picture; {round(m['seconds'] / 60)} minutes\nwith {m['workers']} workers of one thread, controls included. Percent; in brackets the 95% interval of a bootstrap over
pictures, and the number of answers. A field is right when it equals the printed text after trimming and case folding; numbers in charts within 5%. Error rates count edits over
all pages together. A run-on answer was stopped by the limit of 260 tokens, or is longer than twice the reference by more than 20 characters. Facts of a caption are quoted texts, numbers, dates, names, kinds and
colours, in scenes objects with their count and colour, ground and relation; they are compared with the nearest of the generator's captions.""", "## The ship gate", table(["what", "measured", "wanted", ""],
           [[a, b, c, "pass" if ok else "**fail**"] for a, b, c, ok in m["gate"]])]
    names = list(m["conditions"])
    some = [(k, {"cer": "reading CER", "said_absent": "`not shown` precision", "absent": "`not shown` recall"}.get(k, words)) for k, words, _ in METRICS if k in ("field", "absent", "said_absent", "cer", "json_field", "caption_f1")]
    out += ["## What training never saw, each alone and together", table(["condition", "new is", "questions"] + [w for _, w in some], [[f"`{c}`", WHAT[c], m["questions_per_condition"][c]] + [pct(m["conditions"][c].get(k)) for k, _ in some] for c in names]),
            "Layouts are held out in receipts, invoices, forms and tables; ranges of values in receipts, bars and wherever a year is printed; the other families are unchanged under these two.",
            table(["measure", "all conditions together", "`known`", "`all`"], [[words, pct(m["total"].get(k))] + [pct(m["conditions"][c].get(k)) for c in ("known", "all")] for k, words, _ in METRICS if k in m["total"]])]
    rows = []
    for f, v in m["families"].items():
        n = m["questions_per_family"].get(f, sum(m["fields"][f][c][3] for c in names if m["fields"][f][c]))
        rows.append([f, n, pct(v.get("field"))] + [short(m["fields"][f].get(c)) for c in ("known", "fonts", "all")] + [short(v.get("anls")), short(v.get("cer")), short(v.get("json_field")), short(v.get("caption_f1")), short(v.get("run_on"))])
    out += ["## By family, over all conditions", table(["family", "questions", "fields exact", "`known`", "`fonts`", "`all`", "ANLS", "reading CER", "JSON values", "caption F1", "run-on"], rows)]
    rows = [[f] + [pct(c[k]) if k == "none" else short(c[k]) for k in c] for f, c in m["controls"].items()]
    out += ["## Controls, held-out fonts", "The same questions with a white picture and with another picture of the family, and the answer that is most frequent in training for the question, or else for the family. Fields exact.",
            table(["family"] + ["the picture" if k == "none" else k for k in next(iter(m["controls"].values()))], rows)]
    return out


def goals(m, y):
    """The table of goals for this size, with what was measured."""
    page = {r["condition"]: r[WAYS[0]]["cer"] for r in (y["rows"] if y else ()) if r["what"] == "text" and r["clean"]}
    get = lambda c, k: m["conditions"].get(c, {}).get(k)
    doc = lambda c: [m["fields"][f][c] for f in ("receipt", "form") if m["fields"][f].get(c)]
    mean = lambda vs: sum(v[0] * v[3] for v in vs) / max(1, sum(v[3] for v in vs))
    scene = m["families"]["scene"]["caption_f1"]
    rows = [["character error rate, clean pages, asked \"Read the text.\"", "2 / 5", f"{short(page.get('known'))} / {short(page.get('all'))}"],
            ["character error rate, disturbed pages, asked in any words", "", f"{short(get('known', 'cer'))} / {short(get('all', 'cer'))}"],
            ["receipt and form fields", "88 / 75", f"{100 * mean(doc('known')):.1f} / {100 * mean(doc('all')):.1f}"],
            ["JSON parses", "99", short(m["total"]["json_parses"])], ["JSON values", "78", f"{short(get('known', 'json_field'))} / {short(get('all', 'json_field'))}"],
            ["chart kind", "99", f"{short(get('known', 'chart_kind'))} / {short(get('all', 'chart_kind'))}"], ["printed chart values", "90", f"{short(get('known', 'value_labelled'))} / {short(get('all', 'value_labelled'))}"],
            ["chart values without print, within 5%", "65", f"{short(get('known', 'value_unlabelled'))} / {short(get('all', 'value_unlabelled'))}"], ["scene captions F1", "95 / 85", f"{pct(scene)} over all conditions"]]
    return ["## Beside the goals", "Goals were set before training, by analogy; one figure is for known resources, two are for known and held out.", table(["", "goal", "`known` / `all`"], rows)]


def renderers(e):
    """Pictures of other programs than the one that drew for training: in all, by family, by renderer."""
    keys = [(k, words) for k, words, _ in METRICS if k in ("field", "absent", "said_absent", "cer", "json_field", "caption_f1", "value_labelled", "value_unlabelled", "chart_kind", "run_on")]
    line = lambda name, n, v: [name, n] + [pct(v.get(k)) for k, _ in keys]
    rows = [line("`renderers`", e["questions"], e["total"])] + [line(f, e["questions_per_family"][f], v) for f, v in e["families"].items()] + [line(p, e["questions_per_renderer"][p], v) for p, v in e["renderers"].items()]
    v = e["versions"]
    return ["## Other renderers", f"`tools/train/renderers.py`: {e['questions']:,} questions on {e['pictures']} pictures whose words, wording and families are those of training and whose renderer is not: Matplotlib {v['matplotlib']} (default and other "
            f"style sheets), {v['gnuplot']}, {v['groff']}, WeasyPrint {v['weasyprint']}, Pillow {v['pillow']}. Training drew everything with Cairo. Shown as the renderer wrote them, without the disturbances of the conditions above; "
            "colours that have no single name are not asked for. Matplotlib's slices run counterclockwise, and lists are expected in that order, also where no legend shows it. The goals, set before training: "
            "kind of chart 95, printed values 75, values without print 45. First all, then by family, then by renderer.", table(["", "questions"] + [w for _, w in keys], rows)]


def yardstick(y):
    rows = []
    for r in y["rows"]:
        of = ["error rate of characters (of words)", "text"] if r["what"] == "text" else ["fields found", "receipts and forms"]
        rows.append([of[1] + ", " + of[0], "clean" if r["clean"] else "disturbed", f"`{r['condition']}`", r["pages"]] + [f"{short(r[w]['cer'])} ({short(r[w]['wer'])})" if r["what"] == "text" else short(r[w]["field"]) for w in WAYS])
    return ["## Beside Tesseract", f"Debian's {y['version']}, English, one block of text, on the pages of lines, paragraphs and signs (`tools/train/yardstick.py`). It reads any page at any size and language of its own; this model reads "
            "small generated ones. On receipts and forms a value counts for Tesseract when it stands anywhere in its text; the model has to answer \"What is the date?\" with it. Few pages: the intervals are in `tools/train/logs/yardstick.json`.", table(["", "", "", "pages", *WAYS], rows)]


def fp8(q):
    from fp8 import LABELS
    keys = [(k, words) for k, words, _ in METRICS if all(k in d for d in q["delta"].values())]
    point = lambda v: f"{100 * v[0]:+.2f} ({100 * v[1]:+.2f} to {100 * v[2]:+.2f}; {v[3]})"
    rows = [[words] + [point(d[k]) for d in q["delta"].values()] for k, words in keys] + [["answers that are the same to the letter"] + [f"{100 * d['same']:.1f}%" for d in q["delta"].values()]]
    far = max(q["peak_over_rms"].items(), key=lambda v: v[1])
    return ["## FP8 minus BF16", f"`tools/train/fp8.py` writes the {q['linears']} linears of decoder, projector and encoder in E4M3 ({q['bytes'] / 1e6:.1f} MB in all; vocabulary tables, patch embedding and everything small stay BF16) and asks "
            f"{q['questions']:,} of the questions again (conditions {', '.join('`' + c + '`' for c in q['conditions'])}). Points, with the 95% interval of a paired bootstrap. The largest input of a linear over its root mean square was "
            f"{far[1]:.0f} (`{far[0]}`). The weights were not trained for FP8.", table(["measure"] + [LABELS[k] for k in q["delta"]], rows),
            "Captions once more, of five times as many pictures, none of which calibrated anything (`tools/train/fp8.py captions`, FP8 weights and activations as the runtime's own command writes them, scales by the largest value "
            "seen; docs/numerics.md). The last caption row above is of few pictures and of older scales; these are the figures to expect.",
            table(["written by", "captions in which every number and name is in the picture", "captions: F1 of facts", "the same to the letter"],
                  [[k, point(d["caption_true"]), point(d["caption_f1"]), f"{100 * d['same']:.1f}%"] for k, d in q["captions"].items()])]


def judged(rows, head):
    known = outside.judgments()
    out, true = [], 0
    for r in rows:
        ok, why = known[outside.key(r["sha256"], r["answer"])]
        true += ok == "true"
        out.append([*(r[k] for k in head), quote(r["answer"]), {"true": "yes", "false": "**no**"}[ok] + f": {quote(why)}"])
    return out, true


def world(rows, samples):
    out = []
    if rows:
        t, true = judged([dict(r, file=os.path.basename(r["path"])) for r in rows], ("package", "file"))
        out += ["# Forty pictures from elsewhere", f"Photographs and screenshots of Debian packages that training never saw, chosen by the rule in `tools/train/outside.py` (hashes in `outside.tsv`), default caption, through the C "
                f"runtime, unedited. An answer is true when it names no object, text or number that is not there: {true} of {len(rows)} are ({100 * true / len(rows):.0f}%), judged by looking at each.", table(["package", "file", "answer", "true?"], t)]
    if samples:
        t, true = judged(samples, ("path",))
        out += ["# The samples", f"`assets/samples`, none of them made by the generator, default caption: {true} of {len(samples)} are true.", table(["picture", "answer", "true?"], t)]
    return out


def gallery(g, sheet):
    rows = [[i + 1, e["family"], f"`{e['condition']}`", quote(e["question"], 110), quote(e["want"]), quote(e["got"])] for i, e in enumerate(g["errors"])]
    return ["# Twenty typical errors", "Chosen by the rule in `tools/train/gallery.py` from the evaluation: one of each family that has one, then the next." + (f" Pictures without a photograph in them are in `{sheet}`." if sheet else ""),
            table(["", "family", "condition", "question", "wanted", "got"], rows)]


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "assets", "default-model")
    m, e, q, y, o, s, g = (load(f"{n}.json") for n in ("metrics", "renderers", "fp8", "yardstick", "outside", "samples", "gallery"))
    q = q if q and "delta" in q else None      # written, not yet compared
    now = hashes(path)
    weights = lambda h: {k: v for k, v in h.items() if k.endswith(".safetensors")}
    for name, part in (("metrics", m), ("renderers", e), ("fp8", q), ("yardstick", y)):
        if part and weights(part["model"]) != weights(now):
            sys.exit(f"{name}.json was measured with other weights than those in {path}")
    if g and g["answers"] != m["answers"]:
        sys.exit("gallery.json belongs to another evaluation than metrics.json")
    wrong = lambda c: one_in(1 - m["conditions"][c]["field"][0])
    sheet = "errors.jpg" if os.path.exists(f"{path}/errors.jpg") else ""
    parts = ["# Tessera's default model", "# Scope",
             "Reads simple pictures, in English: receipts, invoices, forms, tables, charts, signs, a few lines of text, flow charts and cartoon-like scenes.\n"
             "Photographs, screenshots and small print it only names as such; handwriting, dense pages and other languages are outside. Trained on generated pictures.\n"
             f"Answers can be wrong: {wrong('known')} with known fonts and words, {wrong('all').replace('field ', '')} where fonts, layouts, words and wording are all new (CARD.md).",
             "# What it is",
             "A miniature of exactly the architecture that Tessera runs: InternViT (width 256, 8 layers, tiles of 224 pixels, at most 10 and a thumbnail), projector B,\n"
             "a Nemotron-H decoder (`M*-M*-M*-M-`, width 384). 19,678,656 parameters in BF16. Trained from nothing; how, in `tools/train/RECIPE.md`, with the logs of the runs beside it.\n"
             "Readable text has capitals of at least 9 pixels after tiling.",
             'Ask for: a caption ("Describe this image."), fields by name ("What is the total?"), the n-th line, "Read the text.", JSON ("Return JSON with keys: vendor, date,\n'
             'total."), values, colours, counts, the largest and the smallest. What is not in the picture is answered `not shown`, in JSON `null`.',
             "# Measured", *measured(m), *goals(m, y)]
    parts += renderers(e) if e else []
    parts += yardstick(y) if y else []
    parts += fp8(q) if q else []
    parts += world(o, s)
    parts += gallery(g, sheet) if g else []
    cer = [short(m["conditions"][c].get("cer")) for c in ("phrasing", "known")]
    missing = [n for n, x in (("pictures of other renderers", e), ("FP8", q), ("Tesseract beside it", y), ("forty pictures from elsewhere", o)) if not x] + ["answers of the CUDA backend against the CPU's"]
    parts += ["# Limits",
              "* Digits and rare words can be wrong. Check every amount that matters.\n* It prefers what its generator would have drawn, above all in titles and in the order of words.\n"
              "* Photographs, handwriting, dense pages (more than about 50 characters a line), formulas, other languages and scripts are outside its world.\n* Long transcriptions lose lines or repeat them.\n"
              f"* A request for the whole text in words it has not met is often taken for another question: error rate {cer[0]} where only the wording is new, {cer[1]} where it is not. \"Read the text.\" is safe.\n"
              f"* Values of a chart that does not print them are guesses: {short(m['total'].get('value_unlabelled'))}% are within 5%.\n"
              f"* Not measured: {'; '.join(missing)}.",
              "# Origin and licence",
              "MIT, as the rest of the tree. Trained on pictures drawn for this purpose: words of Debian's wamerican (SCOWL), sentences from WordNet 3.0 glosses (WordNet licence), objects from Noto\n"
              "Color Emoji (OFL), and these fonts of Debian main, used for drawing and not part of the model: DejaVu (Bitstream Vera licence), Liberation (GPL-2 with font exception), FreeFont (GPL-3 with font\n"
              "exception), the 35 of URW (AGPL-3 with font exception), Open Sans, Roboto and JetBrains Mono (Apache-2.0), OCR B (public domain), B612 (OFL-1.1, EPL-2.0, EDL-1.0), and under the OFL Lato, Carlito, Cabin,\n"
              "Inconsolata, Courier Prime, EB Garamond, Vollkorn, Old Standard, Quicksand, Dosis, Karla, Play, Manrope and Comic Neue; for evaluation alone Hack (MIT and Bitstream Vera) and under the OFL Caladea,\n"
              "Cantarell, Noto Sans, Noto Serif, Andika, Yanone Kaffeesatz and Anonymous Pro. Photographs, screenshots and cut-out objects that it learnt not to name: from Debian's gimp-help-en, mate-backgrounds, ukui-wallpapers and tuxpaint-stamps-default (free licences, in each package's copyright file); none is part of the model. No text from the web was used.",
              "# Files (SHA-256)", "```\n" + "\n".join(f"{v}  {k}" for k, v in now.items()) + "\n```"]
    with open(f"{path}/CARD.md", "w", encoding="utf-8") as f:
        f.write("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
