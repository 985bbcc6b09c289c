"""Families made of running text: single lines, paragraphs, signs, and pictures with nothing to read."""
import words as W
from draw import NAMED, Pic, font, named, paper, sibling

ORD = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
READ = ("Read the text.", "What does the text say?", "Transcribe the text.", "What is written here?", "Read everything in the picture.",
        "Write down all the text you see.", "What text is in this image?", "OCR this image.", "Please read this.", "Copy the text.",
        "Read it.", "Read this.", "Read this image.", "Read the page.", "Read out the text.", "Give me the text.", "Extract the text.", "Extract all text.", "Return the text.", "Print the text.",
        "Type out what it says.", "What does it say?", "What's written there?", "What words are in the picture?", "Text only, please.", "Convert the image to text.", "Run OCR.", "Recognize the text.",
        "Tell me what is written.", "Show me the text of this page.", "Full text?", "Transcription, please.", "Transcribe.", "Transcribe this image.", "Write out the text line by line.")


class Doc:
    """One drawn picture and what is true about it."""

    def __init__(self, kind, pic):
        self.kind, self.pic = kind, pic
        self.qa = []            # (question, answer)
        self.captions = []
        self.read = None        # the whole text, lines joined by newlines, if short enough to be asked for
        self.fields = []        # (names, value): for questions and JSON
        self.items = None       # (plural key, keys, rows)
        self.used = set()       # field names that are present, so that absent ones can be asked for
        self.warp = "doc"       # how geometry may be disturbed: doc, sign, none
        self.can_absent = True
        self.labelled = None    # of charts: are the values printed beside what they belong to?

    def ask(self, q, a):
        self.qa.append((q, str(a)))


def quoted(r, s):
    return '"' + s + '"'


def lines(r, w, h):
    ground, ink = paper(r)
    p = Pic(r, w, h, _scale(r), ground)
    p.ink = ink
    area = w * h / 50176
    n = r.randint(1, 4) if area < 2 else r.randint(2, 7)
    big = r.p(.3)
    lo, hi = (20, 34 if area < 2 else 50) if big else (12.5, 22 if area < 2 else 28)
    n = min(n, int((h - 16) / (lo * 1.5)))
    f = font(r, r.choice(["regular", "regular", "regular", "bold", "italic"]))
    size = r.uniform(lo, min(hi, (h - 16) / n / 1.25))
    texts, y = [], 0
    gap = r.uniform(1.15, 1.8) * size
    gap = min(gap, (h - 14) / n)
    y = r.uniform(size + 3, max(size + 4, h - gap * (n - 1) - size * .4 - 3))
    align = r.choice([0, 0, 0, .5, 1]) if n > 1 else 0
    mixed = r.p(.25)
    for i in range(n):
        if mixed:
            f = font(r, r.choice(["regular", "bold", "italic"]))
            size = r.uniform(lo, min(hi, gap / 1.1))
        chars = max(4, int((w - 16) / (size * .56)))
        s = W.line(r, r.randint(4, chars) if r.p(.4) else chars)
        k = p.fit(s, f, size, w - 12, 7)
        room = w - 12 - p.width(s, f, k)
        x = (6 + (r.uniform(0, room) if n == 1 else min(room, 10))) if align == 0 else w / 2 if align == .5 else w - 8
        p.text(x, y, s, f, k, align=align, color=None if r.p(.85) else named(r, r.choice(["red", "blue", "green", "purple"])) if sum(ground) > 2 else None)
        texts.append(s)
        y += gap
    d = Doc("text", p)
    d.read = "\n".join(texts)
    if n > 1:
        i = r.randrange(n)
        k = ORD[i]
        d.ask(r.say(f"What is the {k} line?", f"Read line {i + 1}.", f"What does the {k} line say?", f"Read the {k} line.", f"Line {i + 1}?"), texts[i])
        d.ask(r.say("What is the last line?", "Read the last line.", "What does the bottom line say?"), texts[-1])
        d.ask(r.say("How many lines of text are there?", "Count the lines.", "How many lines?"), n)
    ws = [x.strip(".,;:!?") for t in texts for x in t.split() if x.strip(".,;:!?").isalpha() and len(x) > 2]
    if ws and r.p(.7):
        _contains(r, d, ws)
    many = "one line" if n == 1 else f"{n} lines"
    if n == 1:
        d.captions = [f'One line of text: "{texts[0]}".', f'The text "{texts[0]}".', f'A picture of the text "{texts[0]}".', f'It says "{texts[0]}".']
    else:
        d.captions = [f'{many.capitalize()} of text, beginning with "{texts[0]}".', f'A text of {many}. The first line is "{texts[0]}".',
                      f'{many.capitalize()} of text; the first says "{texts[0]}", the last "{texts[-1]}".']
    return d


def _contains(r, d, ws):
    if r.p(.5):
        d.ask(r.say(f'Is the word "{(x := r.choice(ws))}" in the text?', f'Does the text contain "{x}"?', f'Can you see the word "{x}"?'), "yes")
    else:
        x = W.word(r)
        if x.lower() not in [v.lower() for v in ws]:
            d.ask(r.say(f'Is the word "{x}" in the text?', f'Does the text contain "{x}"?', f'Can you see the word "{x}"?'), "no")


def _scale(r):
    """Half of all pictures are drawn at canvas size, the others are resized by the tiler."""
    return 1.0 if r.p(.5) else r.uniform(.85, 1.6)


def paragraph(r, w, h):
    ground, ink = paper(r)
    p = Pic(r, w, h, _scale(r), ground)
    p.ink = ink
    f = font(r, r.choice(["regular"] * 5 + ["italic"]))
    size = r.uniform(12, 17) if r.p(.6) else r.uniform(13, 24)
    m = r.uniform(8, 22)
    lead = size * r.uniform(1.2, 1.6)
    y = m + size
    title = None
    texts = []
    if r.p(.7):
        tf = sibling(f, "bold") if r.p(.6) else font(r, "bold")
        title = W.title_case(W.phrase(r, 1, 3))
        ts = p.fit(title, tf, size * r.uniform(1.2, 1.8), w - 2 * m)
        y += ts * .3
        c = r.p(.3)
        p.text(w / 2 if c else m, y, title, tf, ts, align=.5 if c else 0)
        y += ts * .5 + lead
        texts.append(title)
    room = max(2, int((h - y - 4) / lead))
    n = min(r.randint(3, 14), room)
    bullets = r.p(.25)
    body, first = [], True
    mark = r.choice(["-", "*", "•"]) if bullets else ""
    if mark and mark not in " -*" and mark not in f["extra"]:
        mark = "-"
    cur = ""
    while len(body) < n:
        s = W.SENTENCES.pick(r) if r.p(.85) else W.line(r, 40)
        s = s[0].upper() + s[1:] + ("" if bullets else ".")
        if bullets:
            ind = p.width(mark + " ", f, size)
            while s and p.width(s, f, size) > w - 2 * m - ind:
                s = s.rsplit(" ", 1)[0] if " " in s else s[:-1]
            body.append(mark + " " + s)
            continue
        for x in s.split():
            t = cur + " " + x if cur else x
            if p.width(t, f, size) > w - 2 * m and cur:
                body.append(cur)
                cur = x
            else:
                cur = t
    body = body[:n]
    if not bullets and body and r.p(.6):
        k = body[-1].split()
        body[-1] = " ".join(k[:max(1, r.randint(1, len(k)))])
    for s in body:
        p.text(m, y, s, f, p.fit(s, f, size, w - m - 4))
        y += lead
    d = Doc("page of text", p)
    texts += body
    d.read = "\n".join(texts)
    if title:
        d.ask(r.say("What is the title?", "Read the title.", "What is the heading?", "Title?"), title)
    else:
        d.ask(r.say("What is the title?", "Read the title.", "What is the heading?", "Title?"), "not shown")
    d.ask(r.say("What is the first line?" if not title else "What is the first line below the title?", "Read the first line of the body."), body[0])
    d.ask(r.say("What is the last line?", "Read the last line.", "What does the bottom line say?"), body[-1])
    d.ask(r.say("What is the first word of the text?", "First word?", "Read the first word."), texts[0].lstrip("-*• ").split()[0])
    ws = [x.strip(".,;:!?") for t in body for x in t.split() if x.strip(".,;:!?").isalpha() and len(x) > 3]
    if ws:
        _contains(r, d, ws)
    kind = "list" if bullets else "page of text" if n > 5 else "paragraph"
    if title:
        d.captions = [f'A {kind} with the title "{title}".', f'A {kind} titled "{title}".', f'A {kind}. Its heading is "{title}".', f'Text under the heading "{title}".']
    else:
        d.captions = [f'A {kind} without a title. It begins "{body[0]}".', f'A {kind} that begins "{body[0]}".', f'A {kind}; the first line is "{body[0]}".']
    return d


SIGNS = (("STOP", "red", "white", "octagon", "stop sign"), ("YIELD", "white", "red", "triangle", "yield sign"), ("NO ENTRY", "red", "white", "circle", "no entry sign"),
         ("EXIT", "green", "white", "rect", "exit sign"), ("SPEED LIMIT", "white", "black", "speed", "speed limit sign"), ("WARNING", "yellow", "black", "diamond", "warning sign"))


def sign(r, w, h):
    p = Pic(r, w, h, _scale(r))
    _backdrop(r, p)
    d = Doc("sign", p)
    d.warp = "sign"
    k = r.random()
    cx, cy = w * r.uniform(.47, .53), h * r.uniform(.45, .52)
    f = font(r, "bold" if r.p(.7) else "regular")
    if k < .28:
        text, bg, fg, shape, kind = r.choice(SIGNS)
        rad = min(w, h) * r.uniform(.3, .42)
        b, fgc = named(r, bg), named(r, fg)
        if r.p(.5):
            p.rect(cx - 4, cy, 8, h, fill=(.45, .45, .47))
        if shape == "octagon":
            from math import cos, pi, sin
            oc = [(cx + rad * cos(pi / 8 + i * pi / 4), cy + rad * sin(pi / 8 + i * pi / 4)) for i in range(8)]
            p.poly(oc, fill=b, line=(1, 1, 1), lw=rad * .06)
        elif shape == "circle":
            p.circle(cx, cy, rad, fill=b, line=(1, 1, 1), lw=rad * .05)
        elif shape == "triangle":
            p.poly([(cx - rad, cy - rad * .8), (cx + rad, cy - rad * .8), (cx, cy + rad)], fill=b, line=fgc, lw=rad * .14)
        elif shape == "diamond":
            p.poly([(cx, cy - rad), (cx + rad, cy), (cx, cy + rad), (cx - rad, cy)], fill=b, line=fgc, lw=rad * .05)
        else:
            p.rect(cx - rad, cy - rad * (.5 if shape == "rect" else 1.1), 2 * rad, rad * (1 if shape == "rect" else 2.2), fill=b, line=fgc, lw=3, radius=6)
        room = rad * {"triangle": 1.1, "diamond": 1.25, "octagon": 1.6, "circle": 1.65}.get(shape, 1.75)
        if shape == "speed":
            n = str(r.choice([5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 80, 90, 100, 110, 120, 130]))
            p.text(cx, cy - rad * .3, text, f, p.fit(text, f, rad * .4, room), fgc, .5)
            p.text(cx, cy + rad * .75, n, f, rad * .9, fgc, .5)
            d.ask(r.say("What is the speed limit?", "How fast may you drive?", "What number is on the sign?"), n)
            d.read = text + "\n" + n
            d.captions = [f"A speed limit sign: {n}.", f"A {bg} speed limit sign with the number {n}.", f"A road sign that sets the speed limit to {n}."]
        else:
            sz = p.fit(text, f, rad * .75, room)
            p.text(cx, cy + sz * .35 - (rad * .25 if shape == "triangle" else 0), text, f, sz, fgc, .5)
            d.read = text
            d.captions = [f"A {kind}.", f'A {bg} {kind} that says "{text}".', f'A {bg} sign with the word "{text}" in {fg}.']
        d.ask(r.say("What kind of sign is this?", "Which sign is it?", "What type of sign is shown?"), kind)
        d.ask(r.say("What color is the sign?", "Which color does the sign have?", "Color of the sign?"), bg)
        d.ask(r.say("What does the sign say?", "Read the sign.", "What is written on the sign?"), d.read.replace("\n", " "))
        return d
    bg, fg = r.choice([("red", "white"), ("blue", "white"), ("green", "white"), ("yellow", "black"), ("white", "black"), ("black", "white"), ("white", "blue"),
                       ("white", "red"), ("black", "yellow"), ("orange", "black"), ("purple", "white"), ("brown", "white"), ("pink", "black"), ("gray", "white"), ("cyan", "black")])
    kind = r.choice(["shop sign", "door sign", "label", "sign", "screen", "street sign"])
    if kind == "shop sign":
        texts = [W.shop(r)]
        if r.p(.4):
            texts.append(r.choice(["OPEN", "CLOSED", "SALE", "Since " + str(W.year(r) - 60), "Open 24 hours", f"Open {r.randint(6, 10)}-{r.randint(16, 23)}", W.phone(r)]))
    elif kind == "door sign":
        texts = r.choice([["Room " + str(r.randint(1, 999))], [W.name(r)], ["Room " + str(r.randint(1, 999)), W.name(r)], ["Private"], ["Push"], ["Pull"], ["Staff only"],
                          ["No smoking"], ["Please knock"], ["Meeting room", W.word(r).capitalize()], ["Office " + W.code(r, 4)], ["Do not enter"], ["Office hours", f"{r.randint(7, 10)}-{r.randint(14, 18)}"]])
    elif kind == "street sign":
        texts = [W.STREET.pick(r) + " " + r.choice(W.STREETKIND)]
        if r.p(.3):
            texts.append(W.CITY.pick(r) + " " + str(r.randint(1, 400)) + " km")
    elif kind == "label":
        texts = [W.word(r).capitalize(), W.Money(r)(W.amount(r, 99), True)] if r.p(.5) else [W.code(r)] if r.p(.4) else [W.GOODS.pick(r), str(r.randint(1, 900)) + r.choice([" g", " ml", " kg", " pcs"])]
    elif kind == "screen":
        texts = r.choice([[W.time_(r)], [str(r.randint(-15, 42)) + " C"], ["Error " + str(r.randint(100, 999))], ["Gate " + r.choice("ABCDEF") + str(r.randint(1, 60))],
                          ["Track " + str(r.randint(1, 24)), W.CITY.pick(r)], ["Now serving", str(r.randint(1, 300))], [str(r.randint(1, 100)) + "%"], ["Welcome", W.name(r)]])
    else:
        texts = [W.line(r, 18) for _ in range(r.randint(1, 3))]
    if kind in ("sign", "street sign") and r.p(.4):
        more = [r.choice(["Parking ", "Gate ", "Exit ", "Platform ", "Dock ", "Level "]) + W.code(r, 2)[:3], W.SHOPWORD.pick(r) + " " + r.choice(["Terminal", "Station", "Park", "Beach", "Museum", "Center", "Hospital"]),
                f"{r.randint(1, 99) * 50} m", f"No entry after {r.randint(18, 23)}:00", f"{r.randint(1, 40)} km", W.CITY.pick(r), W.time_(r) + " - " + W.time_(r)]
        texts = r.sample(more, r.randint(2, 4))
        kind = r.choice(["sign", "road sign", "street sign"])
    if r.p(.3):
        texts = [t.upper() for t in texts]
    bw, bh = w * r.uniform(.7, .92), min(h * .8, len(texts) * h * r.uniform(.22, .38))
    b, fgc = named(r, bg), named(r, fg)
    x0, y0 = cx - bw / 2, cy - bh / 2
    if kind == "street sign" and r.p(.6):
        p.rect(cx - 4, cy, 8, h, fill=(.4, .4, .42))
    p.rect(x0, y0, bw, bh, fill=b, line=fgc if r.p(.5) else None, lw=r.uniform(1.5, 4), radius=r.choice([0, 0, 6, 14]))
    row = bh / len(texts)
    base = min(row * .6, 52)
    flush = r.p(.25)
    for i, t in enumerate(texts):
        sz = p.fit(t, f, base * (1 if i == 0 else r.uniform(.65, 1)), bw * .88, 8)
        e = p.text(x0 + bw * .06 if flush else cx, y0 + row * (i + .5) + sz * .35, t, f, sz, fgc, 0 if flush else .5)
        if flush and i == len(texts) - 1 and x0 + bw - e > sz * 2.2 and r.p(.5):      # an arrow
            ax, ay = x0 + bw - sz * .5, y0 + row * (i + .5)
            p.line(ax - sz * 1.2, ay, ax - sz * .3, ay, fgc, sz * .2)
            p.poly([(ax, ay), (ax - sz * .45, ay - sz * .35), (ax - sz * .45, ay + sz * .35)], fgc)
    d.read = "\n".join(texts)
    one = " ".join(texts)
    d.ask(r.say("What does the sign say?", "Read the sign.", "What is written on the sign?", "What is the text on it?"), one)
    d.ask(r.say("What color is the sign?", "Which color does the sign have?", "What is the background color of the sign?"), bg)
    d.ask(r.say("What color is the text?", "What color are the letters?", "Which color is the writing?"), fg)
    if kind == "shop sign":
        d.ask(r.say("What is the name of the shop?", "Which shop is it?", "Name of the shop?"), texts[0])
    d.captions = [f'A {bg} {kind} that says "{one}".', f'A {kind} with the text "{one}".', f'A {bg} {kind}. It reads "{one}" in {fg} letters.', f'A {kind}, {fg} on {bg}: "{one}".']
    return d


def _backdrop(r, p):
    k = r.random()
    w, h = p.w, p.h
    if "vocab" not in r.held and r.p(.2):
        from fam_world import ground
        ground(r, p)
    elif k < .35:
        p.gradient(tuple(r.uniform(.3, .95) for _ in "rgb"), tuple(r.uniform(.3, .95) for _ in "rgb"))
    elif k < .6:
        p.gradient((.45, .65, .92), (.8, .9, 1))
        p.rect(0, h * r.uniform(.7, .9), w, h, fill=(.3, r.uniform(.4, .6), .25) if r.p(.6) else (.45, .45, .45))
    elif k < .75:
        bw, bh = r.uniform(18, 40), r.uniform(8, 18)
        base = r.choice([(.62, .3, .22), (.7, .65, .6), (.5, .5, .52)])
        p.rect(0, 0, w, h, fill=tuple(v * .8 for v in base))
        y, odd = 0, 0
        while y < h:
            x = -bw * .5 * odd
            while x < w:
                k = r.uniform(.85, 1.1)
                p.rect(x + .7, y + .7, bw - 1.4, bh - 1.4, fill=tuple(min(1, v * k) for v in base))
                x += bw
            y += bh
            odd = 1 - odd
    elif k < .85:
        base = (r.uniform(.4, .7), r.uniform(.25, .45), r.uniform(.1, .25))
        p.rect(0, 0, w, h, fill=base)
        for _ in range(40):
            y = r.uniform(0, h)
            p.line(0, y, w, y + r.uniform(-8, 8), tuple(v * r.uniform(.7, 1.2) for v in base), r.uniform(.5, 3))
    else:
        v = r.uniform(.2, 1)
        p.rect(0, 0, w, h, fill=(v, v, v))


def diagram(r, w, h):
    """Boxes with words and arrows between them; sometimes decisions, labelled arrows and a branch to the side."""
    ground, ink = paper(r) if r.p(.4) else ((1, 1, 1), (0, 0, 0))
    p = Pic(r, w, h, _scale(r), ground)
    p.ink = ink
    f = font(r)
    down = h > w * .8
    n = r.randint(2, 6 if down and h > 400 else 5)
    size = min(24, (h if down else w) / n / (3.2 if down else 6))
    size = max(11.5, size * r.uniform(.75, 1.1))
    names = []
    while len(names) < n:
        s = W.title_case(W.phrase(r, 1, 2)) if r.p(.4) else W.phrase(r, 1, 3).capitalize()[:22].strip() if r.p(.5) else W.SERVICE.pick(r)
        if s not in names:
            names.append(s)
    dark = sum(ink) > 1.5
    tints = [tuple(.75 + .25 * v for v in named(r, c, .1)) for c in r.sample(list(NAMED), 4)]
    many = r.p(.4)
    plain = r.p(.4) or dark
    shape = r.choice(["box", "round", "oval"])
    decide = {i for i in range(1, n - 1) if down and r.p(.3)}
    y0, title = 6.0, None
    if r.p(.3):
        title = W.title_case(W.phrase(r, 1, 3))
        k = p.fit(title, f, size * 1.3, w - 12)
        p.text(w / 2, y0 + k, title, f, k, align=.5)
        y0 += k * 1.7
    step = ((h - y0 - 6) if down else (w - 12)) / n
    sway = r.uniform(0, .12) * w if down and r.p(.4) else 0
    places = []
    for i, s in enumerate(names):
        if down:
            bw, bh = min(w - 20 - 2 * sway, p.width(s, f, size) + size * (3.6 if i in decide else 2.4)), min(size * (2.6 if i in decide else 2.2), step * .62)
            cx, cy = w / 2 + r.uniform(-sway, sway), y0 + step * (i + .5)
        else:
            bw, bh = step * .74, size * 2.4
            cx, cy = 6 + step * (i + .5), y0 + (h - y0) / 2
        places.append((cx, cy, bw, bh))
    q = 5
    for i in range(1, n):
        (ax, ay, aw, ah), (bx, by, bw, bh) = places[i - 1], places[i]
        a, b = ((ax, ay + ah / 2), (bx, by - bh / 2)) if down else ((ax + aw / 2, ay), (bx - bw / 2, by))
        p.line(*a, *b, lw=1.3)
        p.poly([b, (b[0] - q, b[1] - q * 1.6), (b[0] + q, b[1] - q * 1.6)] if down else [b, (b[0] - q * 1.6, b[1] - q), (b[0] - q * 1.6, b[1] + q)], ink)
        if i - 1 in decide:
            k = max(9.5, size * .8)
            p.text((a[0] + b[0]) / 2 + 4, (a[1] + b[1]) / 2 + k * .35, r.choice(["yes", "no", "ok"]), f, k)
            if r.p(.5) and ax - aw / 2 > 40:      # the other way out
                p.line(ax - aw / 2, ay, 22, ay, lw=1.3)
                p.text((22 + ax - aw / 2) / 2, ay - 3, r.choice(["no", "yes"]), f, k, align=.5)
                end = r.choice(places[i:])
                p.line(22, ay, 22, end[1], lw=1.3)
                p.line(22, end[1], end[0] - end[2] / 2, end[1], lw=1.3)
                b = (end[0] - end[2] / 2, end[1])
                p.poly([b, (b[0] - q * 1.6, b[1] - q), (b[0] - q * 1.6, b[1] + q)], ink)
    for i, (s, (cx, cy, bw, bh)) in enumerate(zip(names, places)):
        fill = ground if plain else r.choice(tints) if many else tints[0]
        k = p.fit(s, f, size, bw * (.72 if i in decide else 1) - 8, 8)
        if i in decide:
            p.poly([(cx - bw / 2, cy), (cx, cy - bh / 2), (cx + bw / 2, cy), (cx, cy + bh / 2)], fill, ink, 1.2)
        else:
            end = many and i in (0, n - 1)
            p.rect(cx - bw / 2, cy - bh / 2, bw, bh, fill, ink, 1.2, 0 if shape == "box" and not end else 6 if shape == "round" and not end else bh / 2)
        p.text(cx, cy + k * .35, s, f, k, align=.5)
    d = Doc("diagram", p)
    d.read = "\n".join(([title] if title else []) + names) if not decide else None
    d.ask(r.say("What kind of picture is this?", "What is this?", "What type of image is it?", "Which kind of figure is this?"), "diagram")
    d.ask(r.say("How many boxes are there?", "Count the boxes.", "How many steps does it have?"), n)
    i = r.randrange(n - 1)
    d.ask(r.say(f"What follows {names[i]}?", f"Which box comes after {names[i]}?", f"Where does the arrow from {names[i]} lead?"), names[i + 1])
    d.ask(r.say("What is the first box?", "Where does it begin?", "Which step is first?"), names[0])
    d.ask(r.say("What is the last box?", "Where does it end?", "Which step is last?"), names[-1])
    d.ask(r.say("List the boxes.", "Name the steps.", "What are the boxes?"), ", ".join(names))
    d.ask(r.say("What is the title?", "Title?", "Read the title."), title or "not shown")
    t = f' titled "{title}"' if title else ""
    d.captions = [f"A diagram{t} with {n} boxes: {', '.join(names)}.", f"A flow chart{t} from {names[0]} to {names[-1]} in {n} steps.", f"A diagram{t} of {n} boxes joined by arrows, from {names[0]} to {names[-1]}."]
    return d


def _fractal(r, p, shapes=6):
    """Coloured noise with a natural spectrum, and a few soft shapes: nothing that has a name."""
    import cv2
    import numpy as np
    g = np.random.default_rng(r.getrandbits(32))
    h, w = p.ph, p.pw
    x = np.zeros((h, w, 3), np.float32)
    n, k = r.choice((2, 3, 5)), 1.0
    fall = r.uniform(.45, .9)
    while n < max(h, w):
        grey = r.p(.5)
        a = g.standard_normal((n, n, 1 if grey else 3)).astype(np.float32)
        a = cv2.resize(a, (w, h), interpolation=cv2.INTER_CUBIC if n < 60 else cv2.INTER_LINEAR)
        x += k * (a[..., None] if a.ndim == 2 else a)
        n, k = n * 2, k * fall
    x = (x - x.min()) / (np.ptp(x) + 1e-6)
    c0, c1 = (np.array([r.random() for _ in "rgb"], np.float32) for _ in "ab")
    x = c0 + (c1 - c0) * np.clip((x - .5) * r.uniform(1, 2.5) + .5, 0, 1)
    p.surface.flush()
    out = np.frombuffer(p.surface.get_data(), np.uint8).reshape(h, p.surface.get_stride() // 4, 4)
    out[:, :w, :3] = (255 * np.clip(x, 0, 1)).astype(np.uint8)
    p.surface.mark_dirty()
    for _ in range(r.randint(0, shapes)):
        v = tuple(r.random() for _ in "rgb")
        p.c.set_source_rgba(*v, r.uniform(.3, .9))
        cx, cy, q = r.uniform(0, p.w), r.uniform(0, p.h), r.uniform(.1, .5) * p.w
        p.c.move_to(cx + q, cy)
        for i in range(1, 6):
            a = i * 1.047
            from math import cos, sin
            z = [q * r.uniform(.5, 1.2) for _ in range(3)]
            p.c.curve_to(cx + z[0] * cos(a - .7), cy + z[0] * sin(a - .7), cx + z[1] * cos(a - .35), cy + z[1] * sin(a - .35), cx + z[2] * cos(a), cy + z[2] * sin(a))
        p.c.fill()


def nothing(r, w, h):
    """Pictures without text or known objects: the honest answer is a vague one."""
    p = Pic(r, w, h, 1.0)
    d = Doc("nothing", p)
    d.can_absent = False
    k = r.choice((0, 1, 2, 3, 3, 4, 4))
    if k == 0:
        v = tuple(r.uniform(0, 1) for _ in "rgb") if r.p(.6) else (1, 1, 1)
        p.rect(0, 0, w, h, fill=v)
        d.captions = ["An empty picture."]
        d.ask("What objects are there?", "none")
    elif k == 1:
        p.gradient(tuple(r.random() for _ in "rgb"), tuple(r.random() for _ in "rgb"), horizontal=r.p(.5))
        d.captions = ["An empty picture with a color gradient."]
    elif k == 2:
        _backdrop(r, p)
        d.captions = ["A plain background with nothing on it."]
    elif k == 4:
        _fractal(r, p)
        d.captions = ["A photograph or texture; I cannot name what is in it."]
    else:
        # A collage of soft blobs and strokes stands in for photographs, which are outside this model's world.
        p.gradient(tuple(r.random() for _ in "rgb"), tuple(r.random() for _ in "rgb"))
        for _ in range(r.randint(60, 200)):
            x, y, q = r.uniform(0, w), r.uniform(0, h), r.uniform(4, 60)
            v = tuple(r.random() for _ in "rgb")
            p.c.set_source_rgba(*v, r.uniform(.1, .6))
            p.c.move_to(x, y)
            p.c.curve_to(x + r.uniform(-q, q), y + r.uniform(-q, q), x + r.uniform(-q, q), y + r.uniform(-q, q), x + r.uniform(-q, q), y + r.uniform(-q, q))
            p.c.fill()
        d.captions = ["A photograph or texture; I cannot name what is in it."]
    d.ask(r.say("What does the text say?", "Read the text.", "What is written here?"), "not shown")
    d.ask(r.say("Is there any text?", "Do you see text?", "Does the picture contain text?"), "no")
    d.ask(r.say("What is the total?", "What is the date?", "What is the title?", "Who is the vendor?"), "not shown")
    return d
