"""Scenes: geometric shapes and everyday objects on plain, coloured, outdoor and indoor grounds."""
from math import cos, pi, sin

from draw import NAMED, Pic, named, sprite, sprite_names
from fam_text import Doc, _backdrop, _scale

SHAPES = ["circle", "square", "triangle", "star", "rectangle", "diamond", "hexagon", "ring", "heart", "cross"]
NUM = ["no", "one", "two", "three", "four", "five", "six", "seven"]
IRREG = {"mouse": "mice", "loaf of bread": "loaves of bread", "bunch of grapes": "bunches of grapes", "pair of cherries": "pairs of cherries", "sheep": "sheep",
         "fish": "fish", "ear of corn": "ears of corn", "piece of cheese": "pieces of cheese", "cup of coffee": "cups of coffee", "glass of wine": "glasses of wine",
         "mug of beer": "mugs of beer", "pair of scissors": "pairs of scissors", "pair of glasses": "pairs of glasses", "pair of jeans": "pairs of jeans", "box": "boxes",
         "bus": "buses", "watch": "watches", "torch": "torches", "leaf": "leaves", "maple leaf": "maple leaves", "dress": "dresses", "cross": "crosses", "church": "churches",
         "octopus": "octopuses", "cactus": "cacti", "butterfly": "butterflies", "candy": "candies", "key": "keys", "monkey": "monkeys", "ladybug": "ladybugs", "strawberry": "strawberries",
         "trophy": "trophies", "peach": "peaches", "tomato": "tomatoes", "ice cream": "ice creams"}


def plural(s):
    if s in IRREG:
        return IRREG[s]
    return s + "es" if s.endswith(("s", "x", "ch", "sh")) else s[:-1] + "ies" if s.endswith("y") and s[-2] not in "aeiou" else s + "s"


def a(s):
    return ("an " if s[0] in "aeiou" else "a ") + s


def count(n, s):
    head, _, last = s.rpartition(" ")
    if n == 1:
        return a(s)
    if s in IRREG or not head or " of " in s:
        return NUM[n] + " " + plural(s)
    return NUM[n] + " " + head + " " + plural(last)


def shape(p, kind, x, y, q, fill, line):
    if kind == "circle":
        p.circle(x, y, q, fill, line, 1.5)
    elif kind == "ring":
        p.circle(x, y, q * .8, None, fill, q * .35)
    elif kind == "square":
        p.rect(x - q * .85, y - q * .85, q * 1.7, q * 1.7, fill, line, 1.5)
    elif kind == "rectangle":
        p.rect(x - q, y - q * .55, q * 2, q * 1.1, fill, line, 1.5)
    elif kind == "cross":
        t = q * .3
        p.poly([(x - t, y - q), (x + t, y - q), (x + t, y - t), (x + q, y - t), (x + q, y + t), (x + t, y + t), (x + t, y + q), (x - t, y + q), (x - t, y + t), (x - q, y + t), (x - q, y - t), (x - t, y - t)], fill, line, 1.5)
    elif kind == "heart":
        c = p.c
        c.move_to(x, y + q * .9)
        c.curve_to(x - q * 1.6, y - q * .1, x - q * .8, y - q * 1.2, x, y - q * .4)
        c.curve_to(x + q * .8, y - q * 1.2, x + q * 1.6, y - q * .1, x, y + q * .9)
        c.close_path()
        p._paint(fill, line, 1.5)
    else:
        n, off = {"triangle": (3, -pi / 2), "diamond": (4, -pi / 2), "hexagon": (6, 0), "star": (10, -pi / 2)}[kind]
        pts = []
        for i in range(n):
            k = q * (.45 if kind == "star" and i % 2 else 1) * (.8 if kind == "diamond" and i % 2 else 1)
            pts.append((x + k * cos(off + 2 * pi * i / n), y + k * sin(off + 2 * pi * i / n)))
        p.poly(pts, fill, line, 1.5)


def scene(r, w, h):
    p = Pic(r, w, h, _scale(r))
    k = r.random()
    if k < .3:
        ground, gname = r.choice(["white", "black", "gray", "blue", "green", "yellow", "pink", "cyan"]), None
        p.rect(0, 0, w, h, fill=named(r, ground))
        gname = ground + " background"
    elif k < .55:
        gname = "sky and grass"
        y = h * r.uniform(.4, .65)
        p.gradient((.4, .62, .95), (.82, .92, 1), h=y)
        p.rect(0, y, w, h - y, fill=(.25, r.uniform(.5, .68), .22))
        ground = None
    else:
        gname, ground = None, None
        if k < .8:
            b = r.uniform(.75, 1)
            p.gradient((b, b, b * r.uniform(.85, 1)), tuple(r.uniform(.6, 1) for _ in "rgb"))
        else:
            _backdrop(r, p)
    d = Doc("scene", p)
    d.warp = "doc"
    n = min(6, 1 + int(r.random() ** 1.4 * 6))
    cells = [(i, j) for i in range(3) for j in range(2 if h < w * .8 else 3)]
    nr = max(j for _, j in cells) + 1
    r.shuffle(cells)
    kinds = []
    use_shapes = r.random()
    for _ in range(n):
        if kinds and r.p(.35):
            kinds.append(r.choice(kinds))
        elif r.random() < (use_shapes > .5) * .8 + .1:
            cs = [c for c in NAMED if c != ground and not (gname == "sky and grass" and c in ("green", "cyan"))]
            kinds.append((r.choice(cs), r.choice(SHAPES)))
        else:
            kinds.append((None, r.choice(sprite_names())))
    objs = []
    cw, ch = w / 3, h / nr
    for (color, name), (i, j) in zip(kinds, cells):
        q = min(cw, ch) * r.uniform(.3, .47) * (1.5 if n == 1 and r.p(.6) else 1)
        x, y = (i + .5) * cw + r.uniform(-.08, .08) * cw, (j + .5) * ch + r.uniform(-.08, .08) * ch
        x, y = min(max(x, q), w - q), min(max(y, q), h - q)
        if color:
            shape(p, name, x, y, q, named(r, color), r.choice([None, None, (.1, .1, .1)]))
        else:
            s = sprite(name)
            k = 2 * q / max(s.get_width(), s.get_height())
            p.image(s, x - s.get_width() * k / 2, y - s.get_height() * k / 2, s.get_width() * k, s.get_height() * k, r.p(.4))
        objs.append((color, name, x, y))
    full = [(f"{c} {m}" if c else m) for c, m, _, _ in objs]
    tally = {}
    for f in full:
        tally[f] = tally.get(f, 0) + 1
    # Objects are named from left to right, so that the order of words can be learnt.
    order = sorted(tally, key=lambda f: min(o[2] for o, g in zip(objs, full) if g == f))
    parts = [count(tally[f], f) for f in order]
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    tail = f" on a {gname}" if ground else " in front of sky and grass" if gname else ""
    cap = text[0].upper() + text[1:]
    d.captions = [cap + tail + ".", "The picture shows " + text + tail + ".", "There " + ("is " if tally[order[0]] == 1 else "are ") + text + tail + ".", "I see " + text + tail + "."]
    rel = None
    uniq = [o for o, f in zip(objs, full) if tally[f] == 1]
    if len(uniq) > 1:
        o1, o2 = r.sample(uniq, 2)
        n1, n2 = [(f"{o[0]} {o[1]}" if o[0] else o[1]) for o in (o1, o2)]
        dx, dy = o2[2] - o1[2], o2[3] - o1[3]
        if abs(dx) > abs(dy) * 1.3 and abs(dx) > cw * .6:
            rel = f"to the {'left' if dx > 0 else 'right'} of"
        elif abs(dy) > abs(dx) * 1.3 and abs(dy) > ch * .6:
            rel = "above" if dy > 0 else "below"
        if rel:
            s = f" The {n1} is {rel} the {n2}."
            d.captions += [c + s for c in d.captions[:3]]
            d.ask(r.say(f"Is the {n1} {rel} the {n2}?", f"True or false: the {n1} is {rel} the {n2}."), "yes" if "Is" else "")
            d.qa[-1] = (d.qa[-1][0], "true" if d.qa[-1][0].startswith("True") else "yes")
            opp = {"above": "below", "below": "above", "to the left of": "to the right of", "to the right of": "to the left of"}[rel]
            if r.p(.5):
                d.qa.pop()
                d.ask(f"Is the {n1} {opp} the {n2}?", "no")
            d.ask(r.say(f"Where is the {n1} relative to the {n2}?", f"Where is the {n1}, seen from the {n2}?"), rel.replace(" of", "").replace("to the ", ""))
    f = r.choice(order)
    head, _, last = f.rpartition(" ")
    pl = plural(f) if f in IRREG or not head or " of " in f else head + " " + plural(last)
    d.ask(r.say(f"How many {pl} are there?", f"How many {pl} do you see?", f"Count the {pl}."), tally[f])
    d.ask(r.say("How many objects are there?", "How many things are in the picture?", "Count the objects."), n)
    d.ask(r.say("What objects are there?", "What is in the picture?", "List the objects.", "Name the things you see."), text)
    for c, m, x, y in objs:
        if c and sum(1 for o in objs if o[1] == m) == 1:
            d.ask(r.say(f"What color is the {m}?", f"Which color does the {m} have?", f"Color of the {m}?"), c)
            break
    d.ask(r.say(f"Is there {a(f)}?", f"Do you see {a(f)}?", f"Can you find {a(f)}?"), "yes")
    for _ in range(3):
        c, m = (r.choice(list(NAMED)), r.choice(SHAPES)) if r.p(.4) else (None, r.choice(sprite_names()))
        g = f"{c} {m}" if c else m
        if g not in tally:
            d.ask(r.say(f"Is there {a(g)}?", f"Do you see {a(g)}?", f"Can you find {a(g)}?"), "no")
            if r.p(.4):
                if c and not any(o[1] == m for o in objs):
                    d.ask(r.say(f"What color is the {m}?", f"Which color does the {m} have?", f"Color of the {m}?"), "not shown")
            break
    if ground:
        d.ask(r.say("What color is the background?", "Background color?", "Which color is the ground?"), ground)
    d.ask(r.say("What does the text say?", "Is there text? Read it.", "What is written here?"), "not shown")
    if n == 1:
        d.ask(r.say("What is this?", "What is shown?", "Which object is this?"), f)
    return d
