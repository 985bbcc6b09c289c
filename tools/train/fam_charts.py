"""Charts: bars (plain, horizontal, grouped, stacked), lines, pies."""
from math import cos, floor, log10, pi, sin

import words as W
from draw import NAMED, Pic, font, named, paper, sibling
from fam_text import Doc, _scale

SERIES_COLORS = ["blue", "orange", "green", "red", "purple", "brown", "pink", "gray", "cyan", "yellow"]


def nice(lo, hi, n=5):
    raw = (hi - lo) / n or 1
    e = 10 ** floor(log10(raw))
    step = min((s for s in (1, 2, 2.5, 5, 10) if s * e >= raw * .999), default=10) * e
    return step


def fmt(v):
    s = f"{v:.10g}"
    return s


class Axes:
    def __init__(self, r, p, f, size, box, lo, hi, horizontal=False, grid=True):
        self.r, self.p, self.f, self.size, self.horizontal = r, p, f, size, horizontal
        self.x0, self.y0, self.x1, self.y1 = box
        step = nice(lo, hi, r.choice([4, 5, 6]))
        self.lo = floor(lo / step + 1e-9) * step
        self.hi = self.lo
        self.ticks = [self.lo]
        while self.hi < hi - 1e-9:
            self.hi += step
            self.ticks.append(round(self.hi, 10))
        self.grid = grid

    def pos(self, v):
        t = (v - self.lo) / (self.hi - self.lo)
        return self.x0 + t * (self.x1 - self.x0) if self.horizontal else self.y1 - t * (self.y1 - self.y0)

    def draw(self, shade):
        p, s = self.p, self.size
        for t in self.ticks:
            q = self.pos(t)
            if self.horizontal:
                if self.grid:
                    p.line(q, self.y0, q, self.y1, shade, .7)
                p.line(q, self.y1, q, self.y1 + 3, lw=.8)
                p.text(q, self.y1 + 4 + s, fmt(t), self.f, s, align=.5)
            else:
                if self.grid:
                    p.line(self.x0, q, self.x1, q, shade, .7)
                p.line(self.x0 - 3, q, self.x0, q, lw=.8)
                p.text(self.x0 - 5, q + s * .35, fmt(t), self.f, s, align=1)


def _values(r, n):
    top = r.choice([10, 20, 50, 100, 100, 200, 500, 1000, 5000])
    if top <= 20 and r.p(.4):
        return [round(r.uniform(.08, 1) * top, 1) for _ in range(n)]
    return [r.randint(max(1, top // 12), top) for _ in range(n)]


def _frame(r, kind, w, h):
    ground, ink = paper(r) if r.p(.4) else ((1, 1, 1), (.1, .1, .1))
    p = Pic(r, w, h, _scale(r), ground)
    p.ink = ink
    d = Doc(kind, p)
    f = font(r, "regular", "sans" if r.p(.75) else None)
    size = r.uniform(11, 13) if w < 300 else r.uniform(11.5, 15 if w < 600 else 20)
    return d, p, f, size, tuple(.82 * g + .18 * i for g, i in zip(ground, ink))


def _title_c(r, d, p, f, size):
    """Title at the top; returns (title or None, measure, next y)."""
    what = W.MEASURE.pick(r)
    if not r.p(.88):
        return None, what, 8.0
    t = W.heading(r, what) if r.p(.5) else what + r.choice(["", f" {W.year(r)}", f" by {r.choice(['region', 'month', 'product', 'team', 'country', 'category'])}", f" in {W.CITY.pick(r)}", f" ({r.choice(W.UNIT)})"])
    b = sibling(f, "bold") if r.p(.5) else f
    k = p.fit(t, b, size * r.uniform(1.1, 1.35), p.w - 12)
    mid = r.p(.75)
    p.text(p.w / 2 if mid else 8, 5 + k, t, b, k, align=.5 if mid else 0)
    return t, what, 5 + k * 1.6


def _cats(r, n):
    pool = r.choice(W.CATEGORY) if r.p(.7) else None
    out, tries = [], 0
    while len(out) < n:
        tries += 1
        v = pool.pick(r) if pool and tries < 30 else (str(r.randint(1990, 2030)) if pool is None and r.p(.0) else W.word(r).capitalize() if r.p(.6) else W.GOODS.pick(r))
        if v not in out:
            out.append(v)
    return out


def _colors(r, n, avoid=()):
    cs = [c for c in SERIES_COLORS if c not in avoid]
    r.shuffle(cs)
    return cs[:n]


def _legend(r, p, f, size, names, colors, rgb, x, y, horizontal, room):
    if horizontal:
        for s, c in zip(names, rgb):
            p.rect(x, y - size * .75, size * .8, size * .8, fill=c)
            x = p.text(x + size * 1.1, y, s, f, size) + size * .9
    else:
        for s, c in zip(names, rgb):
            p.rect(x, y - size * .75, size * .8, size * .8, fill=c)
            p.text(x + size * 1.1, y, s, f, p.fit(s, f, size, room - size * 1.2))
            y += size * 1.5


def _inner_legend(r, p, f, size, names, rgb, ax_box, kind):
    """A legend inside the plot area, in one of its upper corners; rows or one line. Returns the height it takes."""
    x0, y0, x1, y1 = ax_box
    wide = max(p.width(s, f, size) for s in names)
    right = r.p(.5)
    one = len(names) > 1 and sum(p.width(s, f, size) + size * 3.6 for s in names) < (x1 - x0) * .9 and r.p(.5)
    x = (x0 + x1) / 2 - sum(p.width(s, f, size) + size * 3.6 for s in names) / 2 if one else (x1 - wide - size * 3.4 if right else x0 + size)
    y = y0 + size * 1.3
    before = r.p(.5)
    for s, c in zip(names, rgb):
        w = p.width(s, f, size)
        tx, sx = (x if one else x + wide - w, x + (w if one else wide) + size * .5) if before else (x + size * 2.2, x)
        p.text(tx, y, s, f, size)
        if kind == "bar":
            p.rect(sx, y - size * .7, size * 1.8, size * .7, fill=c, line=p.ink if r.p(.5) else None, lw=.8)
        else:
            p.line(sx, y - size * .35, sx + size * 1.9, y - size * .35, c, 2)
            p.circle(sx + size * .95, y - size * .35, 2.5, fill=c)
        if one:
            x += w + size * 3.6
        else:
            y += size * 1.35
    return size * 1.5 * (1 if one else len(names))


def _common(r, d, title, xl, yl):
    d.ask(r.say("What is the title?", "What is the title of the chart?", "Read the title.", "Title?"), title or "not shown")
    d.ask(r.say("What is the label of the y axis?", "What does the y axis show?", "y axis label?"), yl or "not shown")
    d.ask(r.say("What is the label of the x axis?", "What does the x axis show?", "x axis label?"), xl or "not shown")
    d.used.update(["title"])


def _bound(v):
    """A value read off a chart without labels: at most three significant digits."""
    return fmt(float(f"{v:.3g}"))


def bar(r, w, h):
    horizontal = r.p(.3)
    d, p, f, size, shade = _frame(r, "bar chart", w, h)
    title, what, y = _title_c(r, d, p, f, size)
    hi_n = 8 if "values" in r.held else 7
    n = r.randint(2, 4 if w < 300 else hi_n)
    ns = 1 if r.p(.62) else r.randint(2, 3)
    stacked = ns > 1 and r.p(.35)
    cats = _cats(r, n)
    series = []
    while len(series) < ns:
        s = W.series_name(r)
        if s not in series:
            series.append(s)
    vals = [_values(r, n)]
    top = max(vals[0])
    for _ in range(ns - 1):
        vals.append([round(r.uniform(.1, 1) * top, 1) if isinstance(vals[0][0], float) else r.randint(max(1, int(top // 12)), int(top) + 1) for _ in range(n)])
    kind = {True: "stacked ", False: "grouped "}[stacked] + "bar chart" if ns > 1 else ("horizontal bar chart" if horizontal else "bar chart")
    labels = d.labelled = r.p(.6)
    avoid = [c for c in ("gray",) if sum(p.ink) > 1.5]
    colors = _colors(r, ns, avoid)
    rgb = [named(r, c, .05) for c in colors]
    each = ns == 1 and r.p(.2)
    ecol = _colors(r, n, avoid) if each else None
    xl = r.choice(["Region", "Month", "Product", "Category", "Team", "Year", "Group", "Type"]) if r.p(.45) else None
    yl = r.choice([what, what, r.choice(W.UNIT)]) if r.p(.45) else None
    tot = [sum(v[i] for v in vals) for i in range(n)] if stacked else [max(v[i] for v in vals) for i in range(n)]
    vmax = max(tot) * (1.06 if labels else 1.0)
    left, bottom, right = 8.0, h - 6.0, w - 8.0
    inside = ns > 1 and r.p(.35)
    if ns > 1 and not inside:
        lw = sum(p.width(s, f, size) + size * 2 for s in series)
        if lw < w - 20:
            _legend(r, p, f, size, series, colors, rgb, max(8, (w - lw) / 2), y + size, True, 0)
            y += size * 1.8
        else:
            for s, c in zip(series, rgb):
                _legend(r, p, f, size, [s], [None], [c], 10, y + size, True, 0)
                y += size * 1.5
    va, ca = (xl, yl) if False else (yl, xl)
    bl, ll = (va, ca) if horizontal else (ca, va)      # bottom label, left label
    if bl:
        p.text(w / 2, bottom, bl, f, size, align=.5)
        bottom -= size * 1.4
    if ll:
        p.text_at(size * .7 + 2, (y + bottom) / 2, -pi / 2, ll, f, size)
        left += size * 1.5
    bottom -= size * 1.5
    if horizontal:
        room = max(p.width(c, f, size) for c in cats)
        k = size if room < w * .38 else max(9.5, size * w * .38 / room)
        left += max(p.width(c, f, k) for c in cats) + 6
        right -= size * 1.2 + (p.width("0000", f, size) if labels else 0)
    else:
        left += p.width(fmt(int(vmax)), f, size) + 9
        k = size
    y += size * .6
    if inside and not horizontal:
        vmax *= 1 + (size * 1.5 * ns) / max(40, bottom - y)
    elif inside:
        vmax *= 1.6
    ax = Axes(r, p, f, size * .95, (left, y, right, bottom), 0, vmax, horizontal, r.p(.6))
    ax.draw(shade)
    if inside:
        _inner_legend(r, p, f, size, series, rgb, (left, y, right, bottom), "bar")
    span = (bottom - y) if horizontal else (right - left)
    slot = span / n
    bw = slot * r.uniform(.5, .85)
    outline = r.p(.25)
    for i, c in enumerate(cats):
        mid = (y if horizontal else left) + slot * (i + .5)
        if horizontal:
            p.text(left - 5, mid + k * .35, c, f, k, align=1)
        else:
            p.text(mid, bottom + size * 1.25, c, f, p.fit(c, f, size, slot - 3, 7), align=.5)
        acc = 0
        for j in range(ns):
            v = vals[j][i]
            col = named(r, ecol[i], .02) if each else rgb[j]
            if stacked:
                a0, a1, o, t = acc, acc + v, mid - bw / 2, bw
                acc += v
            else:
                a0, a1, t = 0, v, bw / ns
                o = mid - bw / 2 + j * t
            q0, q1 = ax.pos(a0), ax.pos(a1)
            edge = p.ink if outline else None
            if horizontal:
                p.rect(q0, o, q1 - q0, t, fill=col, line=edge)
            else:
                p.rect(o, q1, t, q0 - q1, fill=col, line=edge)
            if labels:
                s = fmt(v)
                ls = min(size, 12.5)
                if horizontal:
                    if stacked:
                        if abs(q1 - q0) > p.width(s, f, ls) + 3:
                            p.text((q0 + q1) / 2, o + t / 2 + ls * .35, s, f, ls, (1, 1, 1) if sum(col) < 1.6 else (0, 0, 0), .5)
                    elif t >= ls * .9:
                        p.text(q1 + 4, o + t / 2 + ls * .35, s, f, ls)
                else:
                    if stacked:
                        if abs(q1 - q0) > ls * 1.1 and p.width(s, f, ls) < t:
                            p.text(o + t / 2, (q0 + q1) / 2 + ls * .35, s, f, ls, (1, 1, 1) if sum(col) < 1.6 else (0, 0, 0), .5)
                    elif p.width(s, f, ls) < max(t * 1.25, slot * .95 / ns):
                        p.text(o + t / 2, q1 - 3, s, f, ls, align=.5)
    p.line(left, y, left, bottom, lw=1)
    p.line(left, bottom, right, bottom, lw=1)
    if r.p(.3):
        p.line(right, y, right, bottom, lw=1)
        p.line(left, y, right, y, lw=1)
    out = fmt if labels else _bound
    if ns == 1:
        v = vals[0]
        for i in r.sample(range(n), min(n, 3)):
            d.ask(r.say(f"What is the value of {cats[i]}?", f"What is the value for {cats[i]}?", f"{cats[i]}?", f"How high is {cats[i]}?", f"Read the value of {cats[i]}."), out(v[i]))
        _rank(r, d, cats, v)
        if each:
            i = r.randrange(n)
            d.ask(r.say(f"What color is the bar of {cats[i]}?", f"Which color is {cats[i]}?"), ecol[i])
        else:
            d.ask(r.say("What color are the bars?", "Which color do the bars have?", "Bar color?"), colors[0])
    else:
        for _ in range(3):
            i, j = r.randrange(n), r.randrange(ns)
            d.ask(r.say(f"What is the value of {series[j]} for {cats[i]}?", f"What is {series[j]} in {cats[i]}?", f"{cats[i]}, {series[j]}?"), out(vals[j][i]))
        j = r.randrange(ns)
        d.ask(r.say(f"What color is {series[j]}?", f"Which color stands for {series[j]}?", f"Color of {series[j]}?"), colors[j])
        d.ask(r.say(f"Which series is {colors[j]}?", f"What does {colors[j]} stand for?"), series[j])
        d.ask(r.say("How many series are there?", "How many groups does the legend list?", "Count the series."), ns)
        d.ask(r.say("Which series are shown?", "Read the legend.", "What are the series?"), ", ".join(series))
    d.ask(r.say("How many categories are there?", "How many bars groups are there?" if ns > 1 else "How many bars are there?", "Count the categories."), n)
    d.ask(r.say("What kind of chart is this?", "Which chart type is it?", "What type of chart is shown?"), kind)
    d.ask(r.say("List the categories.", "Which categories are shown?", "Name the categories."), ", ".join(cats))
    _common(r, d, title, bl, ll)
    if n * ns <= 10:
        d.long = (r.say("Convert the chart to a table.", "Give me the chart data as CSV.", "Write the data as CSV."), "\n".join([",".join(["category"] + (series if ns > 1 else ["value"]))] + [",".join([cats[i]] + [out(v[i]) for v in vals]) for i in range(n)]))
    _captions(r, d, kind, title, cats, vals[0] if ns == 1 else None, series if ns > 1 else None, out)
    if ns == 1:
        d.fields = [(["title"], title)] if title else []
        d.items = ("data", ["name", "value"], [(c, out(x)) for c, x in zip(cats, vals[0])])
    x = W.word(r).capitalize()
    if x not in cats:
        d.ask(r.say(f"What is the value of {x}?", f"What is the value for {x}?", f"How high is {x}?"), "not shown")
    return d


def _rank(r, d, cats, v):
    n = len(v)
    hi, lo = max(v), min(v)
    if v.count(hi) == 1:
        d.ask(r.say("Which category has the highest value?", "Which is the highest?", "What has the largest value?", "Which one is the biggest?"), cats[v.index(hi)])
    if v.count(lo) == 1:
        d.ask(r.say("Which category has the lowest value?", "Which is the lowest?", "What has the smallest value?", "Which one is the smallest?"), cats[v.index(lo)])
    i, j = r.sample(range(n), 2)
    if abs(v[i] - v[j]) > .06 * hi:
        d.ask(r.say(f"Is {cats[i]} higher than {cats[j]}?", f"Is {cats[i]} larger than {cats[j]}?"), "yes" if v[i] > v[j] else "no")
        d.ask(r.say(f"Which is higher, {cats[i]} or {cats[j]}?", f"{cats[i]} or {cats[j]}: which is larger?"), cats[i] if v[i] > v[j] else cats[j])


def _captions(r, d, kind, title, cats, v, series, out):
    an = ("An " if kind[0] in "aeiou" else "A ") + kind
    t = f' titled "{title}"' if title else ""
    n = len(cats)
    d.captions = [f"{an}{t} with {n} categories: {', '.join(cats)}." if n < 6 else f"{an}{t} with {n} categories from {cats[0]} to {cats[-1]}.", f"{an}{t} showing {n} categories."]
    if v:
        i, j = v.index(max(v)), v.index(min(v))
        ext = f" {cats[i]} is the highest with {out(v[i])}." if v.count(max(v)) == 1 else ""
        ext2 = f" The highest is {cats[i]}, the lowest is {cats[j]}." if v.count(max(v)) == 1 and v.count(min(v)) == 1 else ""
        d.captions = [c + e for c in d.captions for e in (ext, ext2)]
    if series:
        d.captions += [f"{an}{t} comparing {', '.join(series[:-1])} and {series[-1]} over {n} categories."]


def line(r, w, h):
    d, p, f, size, shade = _frame(r, "line chart", w, h)
    title, what, y = _title_c(r, d, p, f, size)
    n = r.randint(4, 5 if w < 300 else 12)
    ns = r.choice([1, 1, 2, 3])
    k = r.randrange(4)
    if k == 0:
        y0 = W.year(r) - n + 1
        xs = [str(y0 + i) for i in range(n)]
    elif k == 1:
        o = r.randint(0, 12 - n) if n <= 12 else 0
        xs = [m[:3] for m in W.MONTHS[o:o + n]]
    elif k == 2:
        xs = [str(i + 1) for i in range(n)]
    else:
        o = r.choice([5, 10, 20])
        xs = [str(o * i) for i in range(n)]
    series = []
    while len(series) < ns:
        s = W.series_name(r)
        if s not in series:
            series.append(s)
    base = _values(r, n)
    top = max(base)
    vals = []
    for j in range(ns):
        trend = r.choice(["rise", "fall", "any", "any"])
        v = [r.uniform(.1, 1) * top for _ in range(n)]
        if trend != "any":
            v = sorted(v, reverse=trend == "fall")
        vals.append([round(x, 1) if isinstance(base[0], float) else max(1, round(x)) for x in v])
    labels = d.labelled = ns == 1 and r.p(.6)
    colors = _colors(r, ns, ["yellow"] + (["gray"] if sum(p.ink) > 1.5 else []))
    rgb = [named(r, c, .05) for c in colors]
    xl = (r.choice(["Year", "Month", "Day", "Week", "Time", "Round"]) if r.p(.6) else f"{r.choice(['week', 'day', 'month', 'hour'])} of {W.year(r)}" if r.p(.5) else W.phrase(r, 1, 2)) if r.p(.5) else None
    yl = r.choice([what, r.choice(W.UNIT)]) if r.p(.45) else None
    left, bottom, right = 8.0, h - 6.0, w - 14.0
    inside = r.p(.4) and (ns > 1 or r.p(.25))
    if inside:
        legend = True
    elif ns > 1 or r.p(.25):
        x = 10.0
        for s, c in zip(series, rgb):
            if x + p.width(s, f, size) + size * 2.6 > w and x > 10:
                x, y = 10.0, y + size * 1.5
            p.line(x, y + size * .65, x + size * 1.4, y + size * .65, c, 2.2)
            x = p.text(x + size * 1.7, y + size, s, f, size) + size
        y += size * 1.8
        legend = True
    else:
        legend = False
    if xl:
        p.text(w / 2, bottom, xl, f, size, align=.5)
        bottom -= size * 1.4
    if yl:
        p.text_at(size * .7 + 2, (y + bottom) / 2, -pi / 2, yl, f, size)
        left += size * 1.5
    bottom -= size * 1.5
    allv = [x for v in vals for x in v]
    lo = 0 if r.p(.7) or min(allv) < .3 * max(allv) else min(allv) * .9
    hi = max(allv) * (1.1 if labels else 1.02)
    if inside:
        hi += (hi - lo) * min(.6, size * 1.5 * ns / max(40, bottom - y))
    left += max(p.width(fmt(int(hi)), f, size), p.width("0.5", f, size)) + 9
    y += size * .8
    ax = Axes(r, p, f, size * .95, (left, y, right, bottom), lo, hi, False, r.p(.6))
    ax.draw(shade)
    if inside:
        _inner_legend(r, p, f, size, series, rgb, (left, y, right, bottom), "line")
    pad = r.choice([0, 10])
    px = [left + pad + (right - left - 2 * pad) * i / (n - 1) for i in range(n)]
    step = px[1] - px[0]
    skip = 1 if max(p.width(s, f, size) for s in xs) < step - 2 else 2
    for i, s in enumerate(xs):
        if i % skip == 0:
            p.text(px[i], bottom + size * 1.25, s, f, p.fit(s, f, size, step * skip - 2, 7), align=.5)
        p.line(px[i], bottom, px[i], bottom + 3, lw=.8)
    mark = r.choice(["none", "dot", "square"])
    for v, c in zip(vals, rgb):
        pts = [(px[i], ax.pos(v[i])) for i in range(n)]
        p.poly(pts, None, c, r.uniform(1.4, 2.8), close=False)
        for a, b in pts:
            if mark == "dot":
                p.circle(a, b, 3, fill=c)
            elif mark == "square":
                p.rect(a - 2.6, b - 2.6, 5.2, 5.2, fill=c)
    shown = set()
    if labels:
        ls = min(size, 12)
        for i in range(n):
            s = fmt(vals[0][i])
            if p.width(s, f, ls) < step * 1.1:
                shown.add(i)
                p.text(px[i], ax.pos(vals[0][i]) - 5, s, f, ls, align=.5)
    p.line(left, y, left, bottom, lw=1)
    p.line(left, bottom, right, bottom, lw=1)
    if r.p(.4):
        p.line(right, y, right, bottom, lw=1)
        p.line(left, y, right, y, lw=1)
    for _ in range(3):
        j, i = r.randrange(ns), r.randrange(0, n, skip)
        a = fmt(vals[j][i]) if i in shown else _bound(vals[j][i])
        if ns == 1:
            d.ask(r.say(f"What is the value at {xs[i]}?", f"What is the value in {xs[i]}?", f"Value at {xs[i]}?", f"{xs[i]}?"), a)
        else:
            d.ask(r.say(f"What is the value of {series[j]} at {xs[i]}?", f"{series[j]} at {xs[i]}?", f"How high is {series[j]} at {xs[i]}?"), a)
    if ns == 1:
        v = vals[0]
        if v.count(max(v)) == 1 and v.index(max(v)) % skip == 0:
            d.ask(r.say("Where is the maximum?", "When is the value highest?", "At which point is the highest value?"), xs[v.index(max(v))])
        if v.count(min(v)) == 1 and v.index(min(v)) % skip == 0:
            d.ask(r.say("Where is the minimum?", "When is the value lowest?", "At which point is the lowest value?"), xs[v.index(min(v))])
        tr = "rising" if all(b >= a for a, b in zip(v, v[1:])) else "falling" if all(b <= a for a, b in zip(v, v[1:])) else "mixed"
        d.ask(r.say("What is the trend?", "Is the line rising or falling?", "How does the line develop?"), tr)
        d.ask(r.say("What color is the line?", "Which color does the line have?", "Line color?"), colors[0])
    else:
        j = r.randrange(ns)
        d.ask(r.say(f"What color is {series[j]}?", f"Which color stands for {series[j]}?", f"Color of {series[j]}?"), colors[j])
        d.ask(r.say(f"Which series is {colors[j]}?", f"What does the {colors[j]} line stand for?"), series[j])
        last = [v[-1] for v in vals]
        if sorted(last)[-1] - sorted(last)[-2] > .06 * max(allv):
            d.ask(r.say("Which series is highest at the end?", "Which line ends highest?"), series[last.index(max(last))])
        mx = [max(v) for v in vals]
        if sorted(mx)[-1] - sorted(mx)[-2] > .04 * max(allv):
            d.ask(r.say("Which series reaches the highest value?", "Which line has the highest point?"), series[mx.index(max(mx))])
    d.ask(r.say("How many lines are there?", "How many series are there?", "Count the lines."), ns)
    d.ask(r.say("What kind of chart is this?", "Which chart type is it?", "What type of chart is shown?"), "line chart")
    _common(r, d, title, xl, yl)
    t = f' titled "{title}"' if title else ""
    rng = f" from {xs[0]} to {xs[-1]}" if (n - 1) % skip == 0 else f" beginning at {xs[0]}"
    if ns == 1:
        v = vals[0]
        tr = {"rising": " The line rises.", "falling": " The line falls."}.get(tr, "")
        d.captions = [f"A line chart{t}{rng}.{tr}", f"A line chart{t} with one line{rng}.{tr}"]
        if legend:
            d.captions.append(f"A line chart{t} of {series[0]}{rng}.{tr}")
    else:
        d.captions = [f"A line chart{t} with {ns} lines: {', '.join(series)}.", f"A line chart{t} comparing {', '.join(series[:-1])} and {series[-1]}{rng}."]
    return d


def pie(r, w, h):
    d, p, f, size, shade = _frame(r, "pie chart", w, h)
    title, what, y = _title_c(r, d, p, f, size)
    n = r.randint(2, 4 if w < 300 else 7)
    cats = _cats(r, n)
    cuts = sorted(r.sample(range(1, 96 // 4), n - 1))
    parts = [b - a for a, b in zip([0] + cuts, cuts + [24])]
    vals = [q * 4 + r.randint(-1, 1) for q in parts]
    vals[r.randrange(n)] += 0
    k = vals.index(max(vals))
    vals[k] += 100 - sum(vals)
    if min(vals) < 3:
        return pie(r, w, h)
    dough = r.p(.3)
    kind = "doughnut chart" if dough else "pie chart"
    colors = _colors(r, n)
    rgb = [named(r, c, .04) for c in colors]
    legend = r.p(.6)
    pct = d.labelled = r.p(.7)
    side = w > h * .85
    lw = max(p.width(c, f, size) for c in cats) + size * 1.6
    x0, x1, y0, y1 = 8.0, w - 8.0, y + 4, h - 8.0
    if legend:
        if side and lw < w * .42:
            x1 -= lw + 4
            _legend(r, p, f, size, cats, colors, rgb, x1 + 6, y + (y1 - y) / 2 - n * size * .75 + size, False, lw)
        else:
            y1 -= size * 1.5 * n
            _legend(r, p, f, size, cats, colors, rgb, 14, y1 + size * 1.3, False, w - 24)
    else:
        m = lw - size
        x0, x1 = x0 + m * .75, x1 - m * .75
        y0, y1 = y0 + size, y1 - size
    rad = min(x1 - x0, y1 - y0) / 2
    if rad < 30:
        return bar(r, w, h)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    a = r.uniform(0, 2 * pi) if r.p(.5) else -pi / 2
    edge = r.p(.6)
    ls = min(size, rad * .3)
    put = []
    for v, c, q in zip(vals, cats, rgb):
        b = a + 2 * pi * v / 100
        p.wedge(cx, cy, rad, a, b, q, (1, 1, 1) if edge else None, 1.2)
        put.append(((a + b) / 2, v, c, q))
        a = b
    if dough:
        p.circle(cx, cy, rad * .45, fill=(1, 1, 1))
    seen = set()
    for i, (m, v, c, q) in enumerate(put):
        if pct and v >= 6:
            k = rad * (.72 if dough else .63)
            s = f"{v}%"
            if p.width(s, f, ls) < 2 * k * sin(min(pi / 2, pi * v / 100)) + 4 or v >= 12:
                p.text(cx + k * cos(m), cy + k * sin(m) + ls * .35, s, f, ls, (1, 1, 1) if sum(q) < 1.55 else (0, 0, 0), .5)
                seen.add(i)
        if not legend:
            k = rad + 5
            ex = cx + k * cos(m)
            p.text(ex, cy + k * sin(m) + ls * .35, c, f, p.fit(c, f, size, max(20, (w - ex - 3) if cos(m) > 0 else ex - 3), 8), align=0 if cos(m) > .1 else 1 if cos(m) < -.1 else .5)
    for i in r.sample(range(n), min(n, 3)):
        if pct and i in seen:
            d.ask(r.say(f"What is the share of {cats[i]}?", f"How much is {cats[i]}?", f"What percentage is {cats[i]}?", f"{cats[i]}?"), f"{vals[i]}%")
    s = sorted(vals)
    if s[-1] - s[-2] >= 3:
        d.ask(r.say("Which slice is the largest?", "What has the largest share?", "Which is the biggest part?"), cats[vals.index(s[-1])])
    if s[1] - s[0] >= 3:
        d.ask(r.say("Which slice is the smallest?", "What has the smallest share?", "Which is the smallest part?"), cats[vals.index(s[0])])
    i = r.randrange(n)
    d.ask(r.say(f"What color is {cats[i]}?", f"Which color stands for {cats[i]}?", f"Color of {cats[i]}?"), colors[i])
    d.ask(r.say(f"Which category is {colors[i]}?", f"What does {colors[i]} stand for?"), cats[i])
    i, j = r.sample(range(n), 2)
    if abs(vals[i] - vals[j]) >= 4:
        d.ask(r.say(f"Which is larger, {cats[i]} or {cats[j]}?", f"{cats[i]} or {cats[j]}: which is larger?"), cats[i] if vals[i] > vals[j] else cats[j])
    d.ask(r.say("How many slices are there?", "How many categories are there?", "Count the slices."), n)
    d.ask(r.say("What kind of chart is this?", "Which chart type is it?", "What type of chart is shown?"), kind)
    d.ask(r.say("List the categories.", "Which categories are shown?", "Name the categories."), ", ".join(cats))
    d.ask(r.say("What is the title?", "What is the title of the chart?", "Read the title.", "Title?"), title or "not shown")
    d.used.update(["title"])
    if pct and len(seen) == n:
        d.items = ("data", ["name", "share"], [(c, f"{v}%") for c, v in zip(cats, vals)])
    _captions(r, d, kind, title, cats, vals if s[-1] - s[-2] >= 3 and s[1] - s[0] >= 3 and len(seen) == n else None, None, lambda v: f"{v}%")
    if s[-1] - s[-2] >= 3:
        d.captions.append(f"{d.captions[0].split('.')[0]}. {cats[vals.index(s[-1])]} is the largest.")
    x = W.word(r).capitalize()
    if x not in cats:
        d.ask(r.say(f"What is the share of {x}?", f"What color is {x}?"), "not shown")
    return d
