"""Evaluate a model directory on pictures of renderers that training never used: Matplotlib, gnuplot, groff, WeasyPrint, Pillow.

    python renderers.py --library libtessera.so --out logs/renderers.json [--model DIR] [--answers FILE] [--sheet PNG]

Training drew everything with Cairo. Here the words, the phrasings and the families are those of training, and only the renderer is new: its layout, its
typography, its colours and its rasterizer; fonts are its defaults or fonts of training. A picture is a function of (family, number) and of the renderers'
versions, which are recorded with the hash of all pixels. Pictures are shown as the renderer wrote them, without the generator's disturbances.

Needs gnuplot, groff and Ghostscript as programs, and matplotlib, weasyprint and pillow from Python; --sheet draws the pictures and asks nothing.
"""
import argparse
import hashlib
import html
import io
import json
import os
import subprocess
import textwrap
import time
from collections import Counter

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import data
import eval as whole
import fam_charts as F
import pictures
import words as W
from draw import NAMED
from fam_docs import CARDS, FORMS, SYN, TICKETS, field, value
from fam_text import ORD, SIGNS, Doc
from score import collect, score

# family -> (renderer, pictures)
PLAN = {"receipt": (("groff", 12), ("weasyprint", 10)), "invoice": (("weasyprint", 14),), "form": (("weasyprint", 8), ("groff", 6)), "table": (("groff", 10), ("weasyprint", 8)),
        "paragraph": (("groff", 10), ("weasyprint", 6)), "bar": (("matplotlib", 18), ("gnuplot", 12)), "line": (("matplotlib", 14), ("gnuplot", 12)),
        "pie": (("matplotlib", 16),), "sign": (("pillow", 18),)}
STYLES = ("default", "default", "default", "ggplot", "bmh", "seaborn-v0_8-whitegrid", "fivethirtyeight", "classic", "fast")
# Colours of the renderers' own cycles that have one name; no question is asked about the others.
SHADES = {"#1f77b4": "blue", "#ff7f0e": "orange", "#2ca02c": "green", "#d62728": "red", "#9467bd": "purple", "#8c564b": "brown", "#e377c2": "pink", "#7f7f7f": "gray", "#E24A33": "red",
          "#348ABD": "blue", "#988ED5": "purple", "#777777": "gray", "#FBC15E": "yellow", "#8EBA42": "green", "#A60628": "red", "#7A68A6": "purple", "#467821": "green", "#4C72B0": "blue", "#55A868": "green",
          "#C44E52": "red", "#8172B2": "purple", "#810f7c": "purple", "#8b8b8b": "gray", "#6d904f": "green", "b": "blue", "g": "green", "r": "red", "#9400D3": "purple", "#009E73": "green", "#E69F00": "orange"}
SANS = ("DejaVu Sans", "Liberation Sans", "Lato", "Open Sans", "Roboto", "Carlito")


# ---------------------------------------------------------------------------------------------------------------------
# programs: text in, [h, w, 3] u8 of R, G, B out

def program(argv, text):
    return subprocess.run(argv, input=text, capture_output=True, check=True).stdout


def raster(pages, dpi):
    """The first page of PostScript or PDF, antialiased."""
    out = program(["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=png16m", f"-r{dpi}", "-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", "-dFirstPage=1", "-dLastPage=1", "-sOutputFile=%stdout", "-"], pages)
    return np.array(Image.open(io.BytesIO(out)).convert("RGB"))


def trim(a, below):
    """Without the empty paper below the last line."""
    rows = np.nonzero((a != a[-1, -1]).any((1, 2)))[0]
    return a[:min(len(a), rows[-1] + below)]


LONG = 1400


def groff(r, w, size, lines, font):
    """Lines of groff on paper w points wide."""
    head = [f".po 14p\n.ll {w - 28}p\n.pl {LONG}p\n.nh\n.na\n.ps {size}p\n.vs {size * r.choice((1.25, 1.4, 1.6)):.0f}p\n.fam {font}\n.ft R\n.nf\n.sp 8p"]
    ps = program(["groff", "-t", "-Kutf8", "-Tps", f"-P-p{LONG}p,{w}p"], "\n".join(head + lines).encode() + b"\n")
    k = r.choice((1, 1, 1.25, 1.5))
    return trim(raster(ps, 72 * k), int(r.randint(10, 24) * k))


def roff(s):
    """A text as one line of groff shows it."""
    s = s.replace("\\", "\\e").replace("'", "\\[aq]").replace('"', "\\[dq]")
    return "\\&" + s


def page(r, w, body, css):
    import weasyprint
    sheet = f"@page{{size:{w}px {LONG}px;margin:{r.randint(10, 22)}px}}body{{margin:0}}table{{border-collapse:collapse;width:100%}}td,th{{text-align:left}}.r{{text-align:right}}{css}"
    pdf = weasyprint.HTML(string=f"<html><head><style>{sheet}</style></head><body>{body}</body></html>").write_pdf()
    k = r.choice((1, 1, 1.25, 1.5))
    return trim(raster(pdf, 96 * k), int(r.randint(10, 24) * k))


def cell(tag, s, right=False):
    return f"<{tag}{' class=r' if right else ''}>{html.escape(s)}</{tag}>"


def row(*cells):
    return "<tr>" + "".join(cells) + "</tr>"


# ---------------------------------------------------------------------------------------------------------------------
# documents

def receipt(r, by):
    d = Doc("receipt", None)
    m = W.Money(r)
    vendor, date, time_ = W.shop(r), W.date(r), W.time_(r) if r.p(.5) else None
    street = W.street(r) if r.p(.6) else None
    no = W.code(r, r.randint(4, 7)) if r.p(.4) else None
    items = list({(g := W.GOODS.pick(r)): (g, q := 1 if r.p(.65) else r.randint(2, 6), W.amount(r, 60) * q) for _ in range(r.randint(2, 8))}.values())
    n, sub = len(items), sum(i[2] for i in items)
    tax = round(sub * r.choice((5, 7, 8, 10, 19, 20)) / 100) if r.p(.6) else 0
    pairs = [(g if q == 1 else f"{q} x {g}", m(v)) for g, q, v in items]
    last = [("Subtotal", m(sub)), (r.choice(("Tax", "VAT")), m(tax))] if tax else []
    total = m(sub + tax)
    last.append((r.choice(("TOTAL", "Total", "Amount due", "Grand total")), total))
    paid = r.choice(("VISA", "Mastercard", "Maestro")) if r.p(.5) else None
    digits = f"{r.randint(0, 9999):04d}"
    head = [x for x in (street, date + (" " + time_ if time_ else ""), "Receipt no. " + no if no else None) if x]
    foot = ([f"{paid} **** {digits}"] if paid else []) + (["Thank you!"] if r.p(.5) else [])
    w = r.choice((320, 380, 430))
    if by == "groff":
        size = min(r.choice((14, 15, 17)), w // 21)
        rule = "\\l'\\n(.lu'"
        source = [f".ta \\n(.luR\n.ce {1 + len(head)}", f".ps +3\n\\fB{roff(vendor)}\\fP", ".ps -3", *(roff(x) for x in head), ".ce 0", rule, *(f"{roff(a)}\t{roff(v)}" for a, v in pairs), rule,
                  *(f"{roff(a)}\t{roff(v)}" for a, v in last[:-1]), f"\\fB{roff(last[-1][0])}\t{roff(last[-1][1])}\\fP", *(roff(x) for x in foot)]
        see = groff(r, w, size, source, r.choice("CCHT"))
    else:
        body = f"<h3>{html.escape(vendor)}</h3>" + "".join(f"<div class=c>{html.escape(x)}</div>" for x in head) + "<table class=i>" + "".join(row(cell("td", a), cell("td", v, True)) for a, v in pairs) + "</table><table>"
        body += "".join(row(cell("td", a), cell("td", v, True)) for a, v in last[:-1]) + "<tr class=t>" + cell("td", last[-1][0]) + cell("td", last[-1][1], True) + "</tr></table>" + "".join(f"<div>{html.escape(x)}</div>" for x in foot)
        see = page(r, w, body, f"body{{font:{r.randint(15, 18)}px '{r.choice(SANS + ('Liberation Mono',))}';line-height:{r.choice((1.3, 1.5))}}}h3,.c{{text-align:center;margin:2px}}.i{{border-top:1px dashed;border-bottom:1px dashed;margin:6px 0}}.t{{font-weight:bold}}")
    field(d, ["vendor", "shop", "store", "merchant"], vendor)
    field(d, ["date"], date)
    field(d, ["total", "amount due", "grand total"], total)
    for names, v in ((["time"], time_), (["address", "street"], street), (["receipt number", "number"], no), (["tax", "VAT"], tax and m(tax)), (["subtotal", "net amount"], tax and m(sub)),
                     (["payment method", "payment"], paid), (["card digits", "last four card digits"], paid and digits)):
        if v:
            field(d, names, v)
    d.items = ("items", ["name", "price"], [(g, m(v)) for g, _, v in items])
    for g, _, v in r.sample(items, min(3, n)):
        low = g if r.p(.5) else g.lower()
        d.ask(r.say(f"What does {low} cost?", f"How much is the {low}?", f"Price of {low}?", f"What is the price of {low}?", f"{g}?"), m(v))
    d.ask(r.say("How many items are there?", "How many items were bought?", "Count the items.", "How many products are listed?"), n)
    d.ask(r.say("List the items.", "What was bought?", "Which items are on the receipt?"), ", ".join(i[0] for i in items))
    d.ask(r.say("Where was this bought?", "Which shop is this from?", "Who issued this receipt?"), vendor)
    cnt = f"{n} item" + "s" * (n > 1)
    d.captions = [f"A receipt from {vendor}, dated {date}. {cnt}, total {total}.", f"A receipt from {vendor} for {total}, dated {date}."]
    return d, see, None


def invoice(r, by):
    d = Doc("invoice", None)
    m = W.Money(r)
    vendor, customer, no, date = W.company(r), W.name(r) if r.p(.5) else W.company(r), W.code(r), W.date(r)
    due = W.date(r) if r.p(.5) else None
    rows = list({(g := W.SERVICE.pick(r)): (g, q := r.randint(1, 12), W.amount(r, 400)) for _ in range(r.randint(2, 6))}.values())
    n, sub = len(rows), sum(v for *_, v in rows)
    tax = round(sub * r.choice((5, 7, 8, 10, 19, 20)) / 100) if r.p(.6) else 0
    total, qty = m(sub + tax), r.p(.6)
    meta = [("Invoice no.", no), ("Date", date)] + ([("Due date", due)] if due else []) + [("Bill to", customer)]
    body = f"<h1>{r.choice(('INVOICE', 'Invoice'))}</h1><h3>{html.escape(vendor)}</h3>" + "".join(f"<div>{a}: {html.escape(v)}</div>" for a, v in meta)
    body += "<table class=i>" + row(cell("th", "Description"), cell("th", "Qty", True) if qty else "", cell("th", "Amount", True))
    body += "".join(row(cell("td", g), cell("td", str(q), True) if qty else "", cell("td", m(v), True)) for g, q, v in rows) + "</table><table>"
    if tax:
        body += row(cell("td", "Subtotal"), cell("td", m(sub), True)) + row(cell("td", "VAT"), cell("td", m(tax), True))
    body += "<tr class=t>" + cell("td", r.choice(("Total", "Amount due", "Total due"))) + cell("td", total, True) + "</tr></table>"
    look = r.choice(("th{background:#ddd}", "td,th{border-bottom:1px solid #999}", "th{background:#245;color:#fff}", ".i td,.i th{border:1px solid #888}"))
    see = page(r, r.choice((430, 480, 640)), body, f"body{{font:{r.randint(15, 17)}px '{r.choice(SANS)}';line-height:1.4}}h1{{font-size:26px;margin:0 0 4px;{r.choice(('', 'text-align:right', 'color:#246'))}}}"
               f"h3{{margin:2px 0}}table{{margin-top:10px}}td,th{{padding:2px 5px}}.t{{font-weight:bold}}{look}")
    for names, v in ((["invoice number", "number"], no), (["date", "invoice date"], date), (["due date"], due), (["customer", "client"], customer), (["vendor", "company", "issuer"], vendor),
                     (["subtotal", "net amount"], tax and m(sub)), (["tax", "VAT"], tax and m(tax)), (["total", "amount due", "grand total"], total)):
        if v:
            field(d, names, v)
    d.items = ("items", ["description", "amount"], [(g, m(v)) for g, _, v in rows])
    g, q, v = r.choice(rows)
    d.ask(r.say(f"What does {g} cost?", f"How much is {g.lower()}?", f"What is the amount for {g.lower()}?"), m(v))
    if qty:
        d.ask(r.say(f"What is the quantity of {g.lower()}?", f"How many of {g.lower()}?"), q)
    d.ask(r.say("How many items are there?", "How many positions are listed?", "Count the items."), n)
    d.ask(r.say("Who sent this invoice?", "Who is the invoice from?", "Who issued this?"), vendor)
    d.ask(r.say("What kind of document is this?", "Which document is this?", "What is this?"), "invoice")
    d.captions = [f"An invoice from {vendor}, dated {date}, total {total}.", f"An invoice from {vendor} with {n} item{'s' * (n > 1)}. The total is {total}."]
    return d, see, None


def form(r, by):
    kind, spec = r.choice(FORMS + CARDS + TICKETS)
    d, m = Doc(kind, None), W.Money(r)
    title = r.choice((kind, kind.upper(), W.title_case(kind)))
    out = [(a, value(r, k, m)) for a, k in spec if r.p(.85)] or [(a, value(r, k, m)) for a, k in spec[:2]]
    w, apart, head = r.choice((380, 430, 480)), r.p(.5), r.choice(("td", "th"))
    if by == "groff":
        size = r.choice((15, 17, 19))
        w = max(w, int(.6 * size * max(len(v) if apart else len(a + v) + 2 for a, v in out) / (.6 if apart else 1)) + 50)
        see = groff(r, w, size, [f".ps +4\n\\fB{roff(title)}\\fP\n.ps -4\n.sp .5", f".ta {w * .4:.0f}p", *(roff(a) + (":\t" if apart else ": ") + roff(v) for a, v in out)], r.choice("HTC"))
    else:
        body = f"<h2>{html.escape(title)}</h2><table>" + "".join(row(cell(head, a + ":"), cell("td", v)) for a, v in out) + "</table>"
        look = r.choice(("", "td,th{border:1px solid #777}", "td{border-bottom:1px solid}", "body{border:2px solid #268;padding:8px}"))
        see = page(r, w, body, f"body{{font:{r.randint(16, 19)}px '{r.choice(SANS)}'}}h2{{margin:0 0 8px;font-size:22px}}td,th{{padding:4px}}{look}")
    for a, v in out:
        field(d, SYN.get(a.lower(), [a.lower()]), v)
    d.ask(r.say("What kind of document is this?", "Which document is this?", "What is this?"), kind)
    an = "An" if kind[0] in "aeioAEIO" else "A"
    a0, v0 = out[0]
    d.captions = [f"{an} {kind}. {a0}: {v0}.", f"{an} {kind} with {len(out)} field{'s' * (len(out) > 1)}. {a0}: {v0}."]
    return d, see, None


def table(r, by):
    d, m = Doc("table", None), W.Money(r)
    nr, nc = r.randint(2, 7), r.randint(2, 4)
    title = W.MEASURE.pick(r) + " by " + r.choice(("region", "month", "year", "product", "team", "country")) if r.p(.5) else None
    first = F._cats(r, nr)
    heads = [r.choice(("Name", "Item", "Category", "Type"))]
    while len(heads) < nc:
        v = r.choice((W.SERIES, W.MEASURE)).pick(r)
        if v not in heads:
            heads.append(v)
    kinds = (lambda: str(r.randint(0, 9999)), lambda: str(r.randint(0, 99)), lambda: f"{r.randint(0, 99)}.{r.randint(0, 9)}", lambda: f"{r.randint(0, 100)}%", lambda: m(W.amount(r, 99)))
    cols = [first]
    for _ in heads[1:]:
        k = r.choice(kinds)
        cols.append([k() for _ in range(nr)])
    size = r.randint(14, 17)
    w = max(380, int(sum(max(len(s) for s in [h] + c) * size * .62 + 16 for h, c in zip(heads, cols))) + 40)
    if by == "groff":
        source = [f"\\fB{roff(title)}\\fP", ".sp .5"] if title else []
        source += [".TS", r.choice(("allbox;", "box;", "expand;", "center;", "")) or "nospaces;", " ".join(["lB"] * nc), " ".join(["l"] + [r.choice("rl")] * (nc - 1)) + ".", "\t".join(roff(h) for h in heads)]
        see = groff(r, w, size, source + ["\t".join(roff(c[i]) for c in cols) for i in range(nr)] + [".TE"], r.choice("HTP"))
    else:
        right = r.p(.5)
        body = (f"<h3>{html.escape(title)}</h3>" if title else "") + "<table>" + row(*(cell("th", h, right and j > 0) for j, h in enumerate(heads)))
        body += "".join(row(*(cell("td", c[i], right and j > 0) for j, c in enumerate(cols))) for i in range(nr)) + "</table>"
        look = r.choice(("td,th{border:1px solid}", "tr{border-bottom:1px solid #aaa}", "th{background:#cde}tr:nth-child(odd) td{background:#eee}", "th{border-bottom:2px solid}"))
        see = page(r, w, body, f"body{{font:{size}px '{r.choice(SANS)}'}}h3{{margin:0 0 6px}}td,th{{padding:4px 6px}}{look}")
    for _ in range(4):
        i, j = r.randrange(nr), r.randrange(1, nc)
        d.ask(r.say(f"What is the value for {first[i]} in column {heads[j]}?", f"What is {heads[j]} of {first[i]}?", f"{first[i]}, {heads[j]}?", f"Read the cell {first[i]} / {heads[j]}."), cols[j][i])
    d.ask(r.say("How many rows does the table have, without the header?", "How many data rows are there?", "Count the rows below the header."), nr)
    d.ask(r.say("How many columns does the table have?", "Count the columns.", "How many columns are there?"), nc)
    j = r.randrange(nc)
    d.ask(r.say(f"List the column {heads[j]}.", f"What is in column {heads[j]}?", f"Read the column {heads[j]}."), ", ".join(cols[j]))
    d.ask(r.say("What are the column headers?", "Read the header row.", "Which columns are there?"), ", ".join(heads))
    d.ask(r.say("What is the title?", "Title of the table?", "Read the title."), title or "not shown")
    d.used.update(["title"])
    t = f' titled "{title}"' if title else ""
    d.captions = [f"A table{t} with {nr} rows and {nc} columns: {', '.join(heads)}.", f"A table{t} of {nr} rows and {nc} columns."]
    return d, see, None


def paragraph(r, by):
    """Lines are broken by characters, so that what stands on a line does not depend on the renderer."""
    d = Doc("page of text", None)
    title = W.title_case(W.phrase(r, 1, 3)) if r.p(.7) else None
    size, w = r.randint(15, 18), r.choice((380, 430))
    title = title if title and len(title) * (size + 4) * .6 < w - 28 else None
    n = r.randint(3, 9)
    text = " ".join(s[0].upper() + s[1:] + "." for s in (W.SENTENCES.pick(r) for _ in range(n)))
    body = textwrap.wrap(text, int((w - 44) / (size * .6)), break_on_hyphens=False)[:n]
    if by == "groff":
        see = groff(r, w, size, ([f".ps +4\n\\fB{roff(title)}\\fP\n.ps -4\n.sp .5"] if title else []) + [roff(s) for s in body], r.choice("THPC"))
    else:
        see = page(r, w, (f"<h2>{html.escape(title)}</h2>" if title else "") + "<br>".join(html.escape(s) for s in body), f"body{{font:{size}px/{r.choice((1.3, 1.5))} '{r.choice(SANS)}'}}h2{{margin:0 0 8px;font-size:22px}}")
    texts = ([title] if title else []) + body
    d.read = "\n".join(texts)
    d.ask(r.say("What is the title?", "Read the title.", "What is the heading?", "Title?"), title or "not shown")
    d.ask(r.say("What is the first line?" if not title else "What is the first line below the title?", "Read the first line of the body."), body[0])
    d.ask(r.say("What is the last line?", "Read the last line.", "What does the bottom line say?"), body[-1])
    d.ask(r.say("What is the first word of the text?", "First word?", "Read the first word."), texts[0].split()[0])
    i = r.randrange(len(texts))
    d.ask(r.say(f"What is the {ORD[i]} line?", f"Read line {i + 1}.", f"What does the {ORD[i]} line say?", f"Read the {ORD[i]} line.", f"Line {i + 1}?") if i < len(ORD) else "Read the first word.", texts[i] if i < len(ORD) else texts[0].split()[0])
    kind = "page of text" if len(body) > 5 else "paragraph"
    d.captions = [f'A {kind} with the title "{title}".', f'A {kind} titled "{title}".'] if title else [f'A {kind} that begins "{body[0]}".']
    return d, see, None


# ---------------------------------------------------------------------------------------------------------------------
# charts

def heading(r, room):
    what = W.MEASURE.pick(r)
    if not r.p(.88):
        return None, what
    t = W.heading(r, what) if r.p(.5) else what + r.choice(("", f" {W.year(r)}", " by " + r.choice(("region", "month", "product", "team", "country", "category")), f" in {W.CITY.pick(r)}"))
    return (t if len(t) <= room else what), what


def categories(r, n, most):
    while True:
        out = F._cats(r, n)
        if max(map(len, out)) <= most:
            return out


def names(r, n, most=18):
    out = []
    while len(out) < n:
        s = W.series_name(r)
        if s not in out and len(s) <= most:
            out.append(s)
    return out


class Figure:
    """A Matplotlib figure of one of its styles; keep() gives its pixels."""

    def __init__(self, r):
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        self.plt, self.style = plt, r.choice(STYLES)
        plt.rcdefaults()
        plt.style.use(self.style)
        plt.rcParams["font.size"] = r.choice((10, 11, 12, 13))
        self.w, h = r.choice(((6.4, 4.8), (6.4, 4.8), (5, 4), (7, 4.2)))
        self.f, self.ax = plt.subplots(figsize=(self.w, h), dpi=100, layout="constrained")
        self.cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]

    def keep(self, title, xl, yl):
        if title:
            self.ax.set_title(title)
        if xl:
            self.ax.set_xlabel(xl)
        if yl:
            self.ax.set_ylabel(yl)
        out = io.BytesIO()
        self.f.savefig(out, format="png", dpi=100)
        self.plt.close(self.f)
        return np.array(Image.open(out).convert("RGB"))


def gnuplot(r, commands, table_):
    """Rows of a table with a header, plotted by commands that read it as $d."""
    w, h = r.choice(((640, 480), (640, 480), (600, 400)))
    cells = "\n".join("\t".join(f'"{c}"' if isinstance(c, str) else F.fmt(c) for c in x) for x in table_)
    text = f"set terminal pngcairo size {w},{h} noenhanced font '{r.choice(SANS[:3])},{r.choice((11, 12, 13))}'\nset datafile separator tab\n$d << EOD\n{cells}\nEOD\n{commands}\n"
    return np.array(Image.open(io.BytesIO(program(["gnuplot"], text.encode()))).convert("RGB"))


def settings(title, xl, yl):
    return "".join(f'set {k} "{v}"\n' for k, v in (("title", title), ("xlabel", xl), ("ylabel", yl)) if v)


GNUPLOT = ["#9400D3", "#009E73", "#56B4E9", "#E69F00"]


def bar(r, by):
    d = Doc("bar chart", None)
    title, what = heading(r, 38)
    ns = 1 if r.p(.62) else r.randint(2, 3)
    lying = ns == 1 and by == "matplotlib" and r.p(.3)
    n = r.randint(2, 7 if ns == 1 else 4)
    cats = categories(r, n, 14 if lying else max(4, 42 // n))
    series = names(r, ns)
    vals = [F._values(r, n)]
    top = max(vals[0])
    for _ in range(ns - 1):
        vals.append([round(r.uniform(.1, 1) * top, 1) if isinstance(vals[0][0], float) else r.randint(max(1, int(top // 12)), int(top) + 1) for _ in range(n)])
    kind = "grouped bar chart" if ns > 1 else "horizontal bar chart" if lying else "bar chart"
    d.labelled = r.p(.6) and n * ns <= 8
    xl = r.choice(("Region", "Month", "Product", "Category", "Team", "Year", "Group", "Type")) if r.p(.45) else None
    yl = r.choice((what, what, r.choice(W.UNIT))) if r.p(.45) else None
    if by == "matplotlib":
        g = Figure(r)
        colors = [SHADES.get(c) for c in g.cycle[:ns]]
        if lying:
            rects = [g.ax.barh(cats, vals[0])]
            g.ax.invert_yaxis()
        else:
            k = .8 / ns
            rects = [g.ax.bar(np.arange(n) + (j - (ns - 1) / 2) * k, vals[j], k if ns > 1 else r.uniform(.5, .8), label=series[j], color=g.cycle[j]) for j in range(ns)]
            g.ax.set_xticks(range(n), cats)
        if d.labelled:
            for b in rects:
                g.ax.bar_label(b, fmt=F.fmt)
            g.ax.margins(**{"x" if lying else "y": .12})
        if ns > 1:
            g.ax.set_ylim(0, max(map(max, vals)) * 1.35)
            g.ax.legend()
        style = g.style
        bottom, left = (yl, xl) if lying else (xl, yl)
        see = g.keep(title, bottom, left)
    else:
        style, (bottom, left), skip = "default", (xl, yl), " skip 1" if ns > 1 else ""
        colors = [SHADES.get(c) for c in GNUPLOT[:ns]]
        plots = [f"$d using {j + 2}:xtic(1) title {'columnheader' if ns > 1 else chr(39) * 2}" for j in range(ns)]
        if d.labelled:
            plots += [f"$d using ($0{(j - (ns - 1) / 2) / (ns + 1):+.4f}):{j + 2}:{j + 2}{skip} with labels offset 0,.6 notitle" for j in range(ns)]
        see = gnuplot(r, settings(title, xl, yl) + f"set style data histogram\nset style histogram clustered gap 1\nset style fill solid {r.choice(('', 'border -1', 'noborder'))}\nset boxwidth .9\nset yrange [0:{max(map(max, vals)) * (1.35 if ns > 1 else 1.15)}]\n"
                      + r.choice(("", "set grid ytics\n")) + f"plot {', '.join(plots)}", [["", *series]] * (ns > 1) + [[c] + [v[i] for v in vals] for i, c in enumerate(cats)])
    out = F.fmt if d.labelled else F._bound
    if ns == 1:
        for i in r.sample(range(n), min(n, 3)):
            d.ask(r.say(f"What is the value of {cats[i]}?", f"What is the value for {cats[i]}?", f"{cats[i]}?", f"How high is {cats[i]}?", f"Read the value of {cats[i]}."), out(vals[0][i]))
        F._rank(r, d, cats, vals[0])
        if colors[0]:
            d.ask(r.say("What color are the bars?", "Which color do the bars have?", "Bar color?"), colors[0])
        d.fields = [(["title"], title)] if title else []
        d.items = ("data", ["name", "value"], [(c, out(x)) for c, x in zip(cats, vals[0])])
    else:
        for _ in range(3):
            i, j = r.randrange(n), r.randrange(ns)
            d.ask(r.say(f"What is the value of {series[j]} for {cats[i]}?", f"What is {series[j]} in {cats[i]}?", f"{cats[i]}, {series[j]}?"), out(vals[j][i]))
        j = r.randrange(ns)
        if colors[j]:
            d.ask(r.say(f"What color is {series[j]}?", f"Which color stands for {series[j]}?", f"Color of {series[j]}?"), colors[j])
        d.ask(r.say("How many series are there?", "How many groups does the legend list?", "Count the series."), ns)
        d.ask(r.say("Which series are shown?", "Read the legend.", "What are the series?"), ", ".join(series))
    d.ask(r.say("How many categories are there?", "How many bars groups are there?" if ns > 1 else "How many bars are there?", "Count the categories."), n)
    d.ask(r.say("What kind of chart is this?", "Which chart type is it?", "What type of chart is shown?"), kind)
    d.ask(r.say("List the categories.", "Which categories are shown?", "Name the categories."), ", ".join(cats))
    F._common(r, d, title, bottom, left)
    F._captions(r, d, kind, title, cats, vals[0] if ns == 1 else None, series if ns > 1 else None, out)
    return d, see, style


def line(r, by):
    d = Doc("line chart", None)
    title, what = heading(r, 38)
    n, ns = r.randint(4, 9), r.choice((1, 1, 2, 3))
    y0, o = W.year(r) - n + 1, r.randint(0, 12 - n)
    xs = r.choice(([str(y0 + i) for i in range(n)], [m[:3] for m in W.MONTHS[o:o + n]], [str(i + 1) for i in range(n)]))
    series, base, vals = names(r, ns), F._values(r, n), []
    for _ in range(ns):
        v, trend = [r.uniform(.1, 1) * max(base) for _ in range(n)], r.choice(("rise", "fall", "any", "any"))
        v = v if trend == "any" else sorted(v, reverse=trend == "fall")
        vals.append([round(x, 1) if isinstance(base[0], float) else max(1, round(x)) for x in v])
    d.labelled = ns == 1 and r.p(.6)
    xl = r.choice(("Year", "Month", "Day", "Week", "Time", "Round")) if r.p(.5) else None
    yl = r.choice((what, r.choice(W.UNIT))) if r.p(.45) else None
    top = max(map(max, vals)) * (1.4 if ns > 1 else 1.15)
    if by == "matplotlib":
        g = Figure(r)
        style, colors = g.style, [SHADES.get(c) for c in g.cycle[:ns]]
        mark = r.choice((None, "o", "s"))
        for v, s in zip(vals, series):
            g.ax.plot(xs, v, marker=mark, label=s)
        g.ax.set_ylim(0, top)
        if d.labelled:
            for i, v in enumerate(vals[0]):
                g.ax.annotate(F.fmt(v), (i, v), (0, 6), textcoords="offset points", ha="center")
        if ns > 1:
            g.ax.legend()
        see = g.keep(title, xl, yl)
    else:
        style, colors = "default", [SHADES.get(c) for c in GNUPLOT[:ns]]
        with_ = r.choice(("lines", "linespoints", "linespoints"))
        plots = [f"$d using {j + 2}:xtic(1) with {with_} lw 2 title {'columnheader' if ns > 1 else chr(39) * 2}" for j in range(ns)]
        if d.labelled:
            plots.append("$d using 0:2:2 with labels offset 0,.7 notitle")
        see = gnuplot(r, settings(title, xl, yl) + f"set yrange [0:{top}]\n" + r.choice(("", "set grid\n")) + f"plot {', '.join(plots)}", [["", *series]] * (ns > 1) + [[x] + [v[i] for v in vals] for i, x in enumerate(xs)])
    out = F.fmt if d.labelled else F._bound
    for _ in range(3):
        j, i = r.randrange(ns), r.randrange(n)
        d.ask(r.say(f"What is the value at {xs[i]}?", f"What is the value in {xs[i]}?", f"Value at {xs[i]}?", f"{xs[i]}?") if ns == 1 else
              r.say(f"What is the value of {series[j]} at {xs[i]}?", f"{series[j]} at {xs[i]}?", f"How high is {series[j]} at {xs[i]}?"), out(vals[j][i]))
    t = f' titled "{title}"' if title else ""
    if ns == 1:
        v = vals[0]
        if v.count(max(v)) == 1:
            d.ask(r.say("Where is the maximum?", "When is the value highest?", "At which point is the highest value?"), xs[v.index(max(v))])
        if v.count(min(v)) == 1:
            d.ask(r.say("Where is the minimum?", "When is the value lowest?", "At which point is the lowest value?"), xs[v.index(min(v))])
        tr = "rising" if all(b >= a for a, b in zip(v, v[1:])) else "falling" if all(b <= a for a, b in zip(v, v[1:])) else "mixed"
        d.ask(r.say("What is the trend?", "Is the line rising or falling?", "How does the line develop?"), tr)
        if colors[0]:
            d.ask(r.say("What color is the line?", "Which color does the line have?", "Line color?"), colors[0])
        said = {"rising": " The line rises.", "falling": " The line falls."}.get(tr, "")
        d.captions = [f"A line chart{t} from {xs[0]} to {xs[-1]}.{said}"]
    else:
        j = r.randrange(ns)
        if colors[j]:
            d.ask(r.say(f"What color is {series[j]}?", f"Which color stands for {series[j]}?", f"Color of {series[j]}?"), colors[j])
        last = [v[-1] for v in vals]
        if sorted(last)[-1] - sorted(last)[-2] > .06 * max(map(max, vals)):
            d.ask(r.say("Which series is highest at the end?", "Which line ends highest?"), series[last.index(max(last))])
        d.captions = [f"A line chart{t} with {ns} lines: {', '.join(series)}.", f"A line chart{t} comparing {', '.join(series[:-1])} and {series[-1]} from {xs[0]} to {xs[-1]}."]
    d.ask(r.say("How many lines are there?", "How many series are there?", "Count the lines."), ns)
    d.ask(r.say("What kind of chart is this?", "Which chart type is it?", "What type of chart is shown?"), "line chart")
    F._common(r, d, title, xl, yl)
    return d, see, style


def pie(r, by):
    d = Doc("pie chart", None)
    title, _ = heading(r, 34)
    n = r.randint(2, 6)
    cuts = sorted(r.sample(range(1, 16), n - 1))
    vals = [6 * (b - a) for a, b in zip([0] + cuts, cuts + [16])]
    vals[vals.index(max(vals))] += 4
    cats = categories(r, n, 14)
    kind = "doughnut chart" if r.p(.3) else "pie chart"
    d.labelled = r.p(.7)
    g = Figure(r)
    colors = [SHADES.get(c) for c in (g.cycle * 2)[:n]]
    legend = r.p(.5)
    ring = kind == "doughnut chart"
    g.ax.pie(vals, labels=None if legend else cats, colors=(g.cycle * 2)[:n], autopct="%d%%" if d.labelled else None, pctdistance=.8 if ring else .6, startangle=r.choice((0, 90)), wedgeprops=dict(width=.4) if ring else None)
    if legend:
        g.ax.legend(cats, loc="center left", bbox_to_anchor=(1, .5))
    see = g.keep(title, None, None)
    once = {c for c in colors if c and colors.count(c) == 1}
    if d.labelled:
        for i in r.sample(range(n), min(n, 3)):
            d.ask(r.say(f"What is the share of {cats[i]}?", f"How much is {cats[i]}?", f"What percentage is {cats[i]}?", f"{cats[i]}?"), f"{vals[i]}%")
        d.items = ("data", ["name", "share"], [(c, f"{v}%") for c, v in zip(cats, vals)])
    for v, ask in ((max(vals), r.say("Which slice is the largest?", "What has the largest share?", "Which is the biggest part?")), (min(vals), r.say("Which slice is the smallest?", "What has the smallest share?", "Which is the smallest part?"))):
        if vals.count(v) == 1:
            d.ask(ask, cats[vals.index(v)])
    i = r.randrange(n)
    if colors[i] in once:
        d.ask(r.say(f"What color is {cats[i]}?", f"Which color stands for {cats[i]}?", f"Color of {cats[i]}?"), colors[i])
    d.ask(r.say("How many slices are there?", "How many categories are there?", "Count the slices."), n)
    d.ask(r.say("What kind of chart is this?", "Which chart type is it?", "What type of chart is shown?"), kind)
    d.ask(r.say("List the categories.", "Which categories are shown?", "Name the categories."), ", ".join(cats))
    d.ask(r.say("What is the title?", "What is the title of the chart?", "Read the title.", "Title?"), title or "not shown")
    d.used.update(["title"])
    F._captions(r, d, kind, title, cats, vals if d.labelled else None, None, lambda v: f"{v}%")
    return d, see, g.style


def sign(r, by):
    d = Doc("sign", None)
    kind, texts = r.choice((("shop sign", [W.shop(r)]), ("door sign", ["Room " + str(r.randint(1, 999)), W.name(r)]), ("street sign", [W.STREET.pick(r) + " " + r.choice(W.STREETKIND)]),
                            ("sign", [f"{W.CITY.pick(r)} {r.randint(1, 400)} km", "Exit " + str(r.randint(1, 60))]), ("screen", ["Gate " + r.choice("ABCDEF") + str(r.randint(1, 60))]),
                            ("label", [W.GOODS.pick(r), W.Money(r)(W.amount(r, 99), True)])))
    bg, fg = r.choice((("red", "white"), ("blue", "white"), ("green", "white"), ("yellow", "black"), ("white", "black"), ("black", "white"), ("orange", "black"), ("purple", "white")))
    road = r.p(.25)
    if road:
        word, bg, fg, shape, kind = r.choice([s for s in SIGNS if s[3] in ("octagon", "circle", "rect", "diamond")])
        texts = [word]
    w, h = r.choice(((448, 448), (448, 336), (560, 420)))
    k = 2      # drawn twice as large, then made smaller: Pillow does not antialias polygons
    a = Image.new("RGB", (w * k, h * k), r.choice(((205, 215, 225), (180, 190, 170), (235, 235, 230), (120, 130, 140))))
    p = ImageDraw.Draw(a)
    ink, ground = (tuple(int(255 * v) for v in NAMED[c]) for c in (fg, bg))
    cx, cy = w * k / 2, h * k / 2
    if road and shape != "rect":
        rad = min(w, h) * k * .42
        if shape == "circle":
            p.ellipse((cx - rad, cy - rad, cx + rad, cy + rad), fill=ground, outline=ink, width=8)
        else:
            turn, sides = (np.pi / 8, 8) if shape == "octagon" else (0, 4)
            p.polygon([(cx + rad * np.cos(turn + 2 * np.pi * i / sides), cy + rad * np.sin(turn + 2 * np.pi * i / sides)) for i in range(sides)], fill=ground, outline=ink, width=8)
        room, tall = rad * (1.2 if shape == "diamond" else 1.55), rad * .6
    else:
        bw, bh = w * k * .86, h * k * (.3 + .2 * len(texts))
        p.rounded_rectangle((cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2), r.choice((4, 30)), fill=ground, outline=ink, width=r.choice((4, 10)))
        room, tall = bw * .88, bh / len(texts) * .6
    file = program(["fc-match", "-f", "%{file}", r.choice(SANS) + ":bold"], b"").decode()
    for i, t in enumerate(texts):
        f = ImageFont.truetype(file, int(tall))
        f = ImageFont.truetype(file, int(min(tall, tall * room / f.getlength(t))))
        p.text((cx, cy + (i - (len(texts) - 1) / 2) * tall * 1.4), t, fill=ink, font=f, anchor="mm")
    see = np.array(a.resize((w, h), Image.LANCZOS))
    d.read, one = "\n".join(texts), " ".join(texts)
    if road:
        d.ask(r.say("What kind of sign is this?", "Which sign is it?", "What type of sign is shown?"), kind)
    d.ask(r.say("What does the sign say?", "Read the sign.", "What is written on the sign?", "What is the text on it?"), one)
    d.ask(r.say("What color is the sign?", "Which color does the sign have?", "What is the background color of the sign?"), bg)
    d.ask(r.say("What color is the text?", "What color are the letters?", "Which color is the writing?"), fg)
    d.captions = [f'A {bg} {kind} that says "{one}".', f'A {kind} with the text "{one}".']
    return d, see, None


# ---------------------------------------------------------------------------------------------------------------------

DRAW = dict(receipt=receipt, invoice=invoice, form=form, table=table, paragraph=paragraph, bar=bar, line=line, pie=pie, sign=sign)


def picture(family, number):
    """([h, w, 3] u8 in B, G, R order; its random source; its document; its renderer)."""
    by = [b for b, n in PLAN[family] for _ in range(n)][number]
    r = W.R(f"renderers/{data.VERSION}/{family}/{number}")
    d, see, style = DRAW[family](r, by)
    return np.ascontiguousarray(see[..., ::-1]), r, d, f"{by} {style}" if style else by


def versions():
    import matplotlib
    import PIL
    import weasyprint
    first = lambda *argv: program(argv, b"").decode().split("\n")[0]
    return dict(matplotlib=matplotlib.__version__, gnuplot=first("gnuplot", "--version"), groff=first("groff", "--version"), ghostscript=first("gs", "--version"), weasyprint=weasyprint.__version__, pillow=PIL.__version__)


def sheet(path, cell=300, across=8):
    every = [(f, i) for f in PLAN for i in range(sum(n for _, n in PLAN[f]))]
    out = Image.new("RGB", (cell * across, cell * -(-len(every) // across)), (90, 90, 110))
    for k, (f, i) in enumerate(every):
        see, r, d, _ = picture(f, i)
        im = Image.fromarray(np.ascontiguousarray(see[..., ::-1]))
        im.thumbnail((cell - 6, cell - 6))
        out.paste(im, (k % across * cell + 3, k // across * cell + 3))
        for kind, q, a in pictures.questions(r, d, f):
            print(f, i, kind, "|", q, "|", a.replace("\n", " / "))
    out.save(path)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--library")
    ap.add_argument("--model", default=os.path.join(whole.HERE, "..", "..", "assets", "default-model"))
    ap.add_argument("--out")
    ap.add_argument("--answers", help="every question and answer, one JSON object a line")
    ap.add_argument("--sheet")
    a = ap.parse_args()
    if a.sheet:
        return sheet(a.sheet)
    whole.start(os.path.abspath(a.library), a.model, "auto")
    t, records, by, pixels = time.time(), [], {}, hashlib.sha256()
    for family in PLAN:
        for i in range(sum(n for _, n in PLAN[family])):
            see, r, d, renderer = picture(family, i)
            pixels.update(see.tobytes())
            session = whole.machine.look(see)
            by[f"{family} {i}"] = renderer
            for kind, q, want in pictures.questions(r, d, family):
                got, cut = whole.machine.answer(session, q)
                records.append(dict(condition="renderers", control="", family=family, number=i, renderer=renderer, kind=kind, question=q, want=want, got=got, labelled=d.labelled, m=score(d, family, kind, q, want, got, cut)))
    programs = list(dict.fromkeys(v.split()[0] for v in by.values()))
    count = lambda key: dict(Counter(key(x) for x in records))
    text = "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in records)
    head = program(["git", "-C", whole.HERE, "rev-parse", "HEAD"], b"").decode().strip()
    out = dict(generator=data.VERSION, revision=head, script=whole.sha(os.path.abspath(__file__)), code=whole.code(), model=whole.hashes(a.model), versions=versions(), seconds=round(time.time() - t),
               pixels=pixels.hexdigest(), answers=hashlib.sha256(text.encode()).hexdigest(), pictures=len(by), questions=len(records), questions_per_family=count(lambda x: x["family"]), questions_per_renderer=count(lambda x: x["renderer"].split()[0]), total=collect(records),
               families={f: collect(records, lambda x: x["family"] == f) for f in PLAN}, renderers={p: collect(records, lambda x: x["renderer"].split()[0] == p) for p in programs}, picture=by)
    for k in ("field", "anls", "absent", "cer", "json_field", "caption_f1", "run_on"):
        print(k, out["total"].get(k))
    for k in ("families", "renderers"):
        print({f: v.get("field") for f, v in out[k].items()})
    print(f"{out['questions']} questions on {out['pictures']} pictures, {out['seconds']} s")
    if a.answers:
        with open(a.answers, "w", encoding="utf-8") as f:
            f.write(text)
    if a.out:
        with open(a.out, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
