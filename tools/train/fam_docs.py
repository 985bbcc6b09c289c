"""Documents: receipts, invoices, forms, cards, tickets and tables."""
import words as W
from draw import Pic, font, named, paper, sibling
from fam_text import Doc, _scale


def _paper(r):
    g, ink = paper(r)
    return (g, ink) if sum(g) > 1.5 or r.p(.15) else ((1, 1, 1), (0, 0, 0))


def _doc(r, kind, w, h):
    g, ink = _paper(r)
    p = Pic(r, w, h, _scale(r), g)
    p.ink = ink
    return Doc(kind, p), p


def fill(r, room, lines, width, chars):
    """(font size, line distance) with which so many lines of so many characters fill most of the room."""
    size = min(room / (lines * 1.3), width / (chars * .6)) * r.uniform(.72, 1)
    size = min(max(size, 11.5), 27)
    return size, max(size * 1.2, min(size * r.uniform(1.25, 1.9), room / lines))


def field(d, names, value):
    """A fact that can be asked for under several names."""
    d.fields.append((names, value))
    d.used.update(names)


ASK = ("What is the {}?", "{}?", "Which {} is given?", "Tell me the {}.", "Read the {}.", "What is the {} here?", "Give me the {}.", "What's the {}?", "Find the {}.",
       "{}", "What does it say for {}?", "Can you read the {}?", "Please give the {}.", "I need the {}.", "Extract the {}.", "Look up the {}.", "Show me the {}.", "What {} is shown?")


def receipt(r, w, h):
    d, p = _doc(r, "receipt", w, h)
    f = font(r, "regular", "mono" if r.p(.55) else None)
    b = sibling(f, "bold") if r.p(.7) else f
    held = "layouts" in r.held
    m = W.Money(r)
    if r.p(.5):
        m.where = "none"
    size = 12.5
    # The paper may be narrower than the picture.
    x0, x1 = 8.0, w - 8.0
    if w > 300 and r.p(.35):
        k = r.uniform(.05, .18) * w
        x0, x1 = x0 + k, x1 - k
        if r.p(.6):
            v = r.uniform(.2, .7)
            p.rect(0, 0, w, h, fill=(v, v * r.uniform(.8, 1), v * r.uniform(.7, 1)))
            if r.p(.4):
                from fam_text import _fractal
                from fam_world import ground
                ground(r, p) if r.p(.4) else _fractal(r, p, 0)
            p.rect(x0 - 8, 4, x1 - x0 + 16, h - 8, fill=(.98, .98, .96))
            p.ink = (.1, .1, .1)
    lead = size * 1.25
    room = int((h - 14) / lead)
    vendor = W.shop(r)
    if r.p(.25):
        vendor = vendor.upper()
    date, time, total_name = W.date(r), W.time_(r), r.choice(["TOTAL", "Total", "Total", "Amount due", "TOTAL DUE", "Grand total", "Sum"])
    has_addr, has_phone, has_time, has_no, has_tax, has_card, has_thanks = r.p(.6), r.p(.3), r.p(.5), r.p(.4), r.p(.6), r.p(.5), r.p(.5)
    fixed = 3 + has_addr + has_phone + has_no + 2 * has_tax + 2 * has_card + has_thanks + 2
    if room < fixed + 2:
        has_phone = has_thanks = False
        has_card = has_card and room > 12
        fixed = 3 + has_addr + has_no + 2 * has_tax + 2 * has_card + 2
    hi = 12 if "values" in r.held else 8
    n = max(1, min(r.randint(9, hi) if hi > 8 and r.p(.5) else r.randint(1, 8), room - fixed))
    size, lead = fill(r, h - 22, fixed + n + 1 + (has_addr or has_phone), x1 - x0, r.uniform(22, 30))
    # rows
    qty_style = r.choice(["none", "none", "pre", "x", "col"])
    items, seen = [], set()
    while len(items) < n:
        g = W.GOODS.pick(r)
        if r.p(.25):
            g = W.ADJ.pick(r) + " " + g
        if g in seen:
            continue
        seen.add(g)
        q = 1 if r.p(.65) else r.randint(2, 6)
        unit = W.amount(r, 300 if "values" in r.held else 60)
        items.append((g, q, unit * q))
    sub = sum(i[2] for i in items)
    rate = r.choice([5, 7, 7.7, 8, 8.25, 10, 19, 20, 21])
    included = has_tax and r.p(.35)      # the prices hold the tax already
    tax = (round(sub * rate / (100 + rate)) if included else round(sub * rate / 100)) if has_tax else 0
    total = sub if included else sub + tax
    if not ("values" in r.held) and total >= 100000:
        return receipt(r, w, h)
    y = 10 + size
    if not held and r.p(.15):
        y += lead * .5
    head = 0.5 if not held and r.p(.75) else 0.0
    hx = (x0 + x1) / 2 if head else x0

    def put(s, ff=f, k=size, al=head, xx=None):
        nonlocal y
        p.text(hx if xx is None else xx, y, s, ff, p.fit(s, ff, k, x1 - x0), align=al)
        y += lead

    def pair(a, v, ff=f, k=size):
        nonlocal y
        wv = p.width(v, ff, k)
        ka = p.fit(a, ff, k, x1 - x0 - wv - 6)
        e = p.text(x0, y, a, ff, ka)
        p.text(x1, y, v, ff, k, align=1)
        if dots and x1 - wv - e > 20:
            p.line(e + 4, y - 1, x1 - wv - 4, y - 1, lw=.8, dash=[1, 3])
        y += lead

    dots = r.p(.15)
    rule = r.choice(["none", "line", "dash", "-", "="])

    def bar():
        nonlocal y
        if rule in "-=":
            k = int((x1 - x0) / p.width(rule, f, size))
            p.text(x0, y, rule * k, f, size)
            del p.glyphs[-k:]
            y += lead
        elif rule != "none":
            p.line(x0, y - size * .7, x1, y - size * .7, lw=1, dash=[4, 3] if rule == "dash" else None)
            y += lead * .35

    meta = []
    addr = W.street(r) if has_addr else None
    phone = W.phone(r) if has_phone else None
    no = W.code(r, r.randint(4, 7)) if has_no else None
    no_name = r.choice(["Receipt", "No.", "Bon", "Order", "Receipt no."])
    put(vendor, b, size * r.uniform(1.1, 1.5))
    if addr:
        put(addr)
    if phone:
        put(r.choice(["Tel. ", "Tel: ", "Phone ", ""]) + phone)
    dt = date + ((r.choice([" ", "  "]) + time) if has_time else "") + (f"  {r.choice(['Till', 'Pos', 'Op.', 'Desk'])} {r.randint(1, 12)}" if r.p(.15) else "")
    foot = held or r.p(.2)
    if not foot:
        pair(date, time) if has_time and r.p(.4) else put(r.choice(["", "", "Date: "]) + dt)
    if no:
        put(no_name + r.choice([" ", ": ", " #"]) + no)
    bar()
    for g, q, v in items:
        label = g if qty_style == "none" else (f"{q} x {g}" if qty_style == "x" else f"{q} {g}" if qty_style == "pre" else f"{g} x{q}")
        if r.p(.12):
            label += r.choice([" 500 g", " 1 kg", " 250 g", " 1 l", " 0.5 l", " 6 pcs", " 2x"])
        if qty_style == "none" and q > 1:
            label = f"{g} x{q}" if r.p(.5) else f"{q} x {g}"
        pair(label, m(v))
    bar()
    if has_tax:
        pair(r.choice(["Subtotal", "Sub-total", "Net", "SUBTOTAL"]), m(sub))
        label = r.choice(["Tax", "VAT", "Sales tax", "MwSt", f"VAT {r.randint(5, 25)}%", f"Tax {r.randint(5, 12)}%"])
        pair(r.choice([label + " included", "incl. " + label, "Includes " + label, label + " (incl.)", label]) if included else label, m(tax))
    tk = size * r.choice([1, 1, 1.2, 1.35])
    pair(total_name, m(total, r.p(.4)) if m.where == "none" else m(total), b, p.fit(total_name + "  " + m(total, True), b, tk, x1 - x0))
    shown_total = m(total)
    card = None
    pay = None
    given = None
    if has_card:
        pay = r.choice(["VISA", "Mastercard", "Cash", "Debit card", "Maestro", "AMEX"])
        if pay == "Cash":
            given = -(-total // 500) * 500 + r.choice([0, 0, 500, 1000]) if r.p(.75) else total
            pair(r.choice(["Cash", "CASH", "Cash paid", "Given"]), m(given))
            if given > total and r.p(.85):
                pair(r.choice(["Change", "CHANGE", "Back", "Change due"]), m(given - total))
                field(d, ["change"], m(given - total))
            field(d, ["cash", "cash paid"], m(given))
        else:
            card = f"{r.randint(0, 9999):04d}"
            put(pay + " " + r.choice(["****", "**** **** ****", "xxxx", "...."]) + " " + card, al=0, xx=x0)
    if foot:
        put(dt)
    if no is None and y < h - 6 and r.p(.15):
        no = W.code(r, r.randint(4, 7))
        put(r.choice(["No. ", "Receipt no. ", "Bon "]) + no)
    if has_thanks and y < h - 6:
        put(r.choice(["Thank you!", "Thank you for your visit", "Please come again", "THANK YOU", "Have a nice day!", "See you soon"]))
    field(d, ["vendor", "shop", "store", "merchant"], vendor)
    field(d, ["date"], date)
    field(d, ["total", "amount due", "grand total"], shown_total)
    if has_time:
        field(d, ["time"], time)
    if addr:
        field(d, ["address", "street"], addr)
    if phone:
        field(d, ["phone", "phone number"], phone)
    if no:
        field(d, ["receipt number", "number"], no)
    if has_tax:
        field(d, ["tax", "VAT"], m(tax))
        field(d, ["subtotal", "net amount"], m(sub))
    if pay:
        field(d, ["payment method", "payment"], pay)
    if card:
        field(d, ["card digits", "last four card digits"], card)
    d.items = ("items", ["name", "price"], [(g, m(v)) for g, q, v in items])
    for g, q, v in r.sample(items, min(3, n)):
        low = g if r.p(.5) else g.lower()
        d.ask(r.say(f"What does {low} cost?", f"How much is the {low}?", f"Price of {low}?", f"What is the price of {low}?", f"{g}?"), m(v))
    d.ask(r.say("How many items are there?", "How many items were bought?", "Count the items.", "How many products are listed?"), n)
    top = max(i[2] for i in items)
    if sum(1 for i in items if i[2] == top) == 1 and n > 1:
        d.ask(r.say("What is the most expensive item?", "Which item costs most?", "Which item is the most expensive?"), [i[0] for i in items if i[2] == top][0])
    d.ask(r.say("List the items.", "What was bought?", "Which items are on the receipt?"), ", ".join(i[0] for i in items))
    d.ask(r.say("Where was this bought?", "Which shop is this from?", "Who issued this receipt?"), vendor)
    for _ in range(2):
        g = W.GOODS.pick(r)
        if not any(g in i[0] for i in items):
            d.ask(r.say(f"What does {g.lower()} cost?", f"How much is the {g.lower()}?", f"Price of {g.lower()}?"), "not shown")
            break
    cnt = f"{n} item" + ("s" if n > 1 else "")
    d.captions = [f"A receipt from {vendor}, dated {date}. {cnt}, total {shown_total}.", f"A receipt from {vendor} for {shown_total}, dated {date}.",
                  f"A shop receipt: {vendor}, {date}, {cnt}, total {shown_total}.", f"A {vendor} receipt of {date} with {cnt}. The total is {shown_total}.",
                  f"Receipt of {vendor} with {cnt}; the total is {shown_total}."]
    return d


FORMS = (("registration form", [("Name", "name"), ("Date of birth", "date"), ("Address", "street"), ("City", "city"), ("Phone", "phone"), ("Email", "email"), ("Member no.", "code")]),
         ("order form", [("Customer", "name"), ("Order no.", "code"), ("Product", "goods"), ("Quantity", "int"), ("Delivery date", "date"), ("Price", "money")]),
         ("medical form", [("Patient", "name"), ("Date of birth", "date"), ("Doctor", "name"), ("Ward", "code"), ("Weight", "kg"), ("Height", "cm"), ("Blood group", "blood")]),
         ("shipping label", [("From", "company"), ("To", "name"), ("Street", "street"), ("City", "city"), ("Tracking no.", "code"), ("Weight", "kg")]),
         ("application form", [("Applicant", "name"), ("Position", "job"), ("Start date", "date"), ("Salary", "money"), ("Phone", "phone"), ("Reference", "code")]),
         ("inspection report", [("Inspector", "name"), ("Site", "city"), ("Date", "date"), ("Serial no.", "code"), ("Result", "result"), ("Score", "int")]))
CARDS = (("ID card", [("Name", "name"), ("Date of birth", "date"), ("ID no.", "code"), ("Nationality", "country"), ("Valid until", "date")]),
         ("employee card", [("Name", "name"), ("Department", "dept"), ("Employee no.", "code"), ("Valid until", "date")]),
         ("library card", [("Name", "name"), ("Card no.", "code"), ("Valid until", "date")]), ("student card", [("Name", "name"), ("Student no.", "code"), ("Course", "subject"), ("Born", "date")]))
TICKETS = (("train ticket", [("From", "city"), ("To", "city"), ("Date", "date"), ("Time", "time"), ("Seat", "seat"), ("Price", "money")]),
           ("boarding pass", [("Passenger", "name"), ("From", "city"), ("To", "city"), ("Flight", "flight"), ("Gate", "gate"), ("Seat", "seat"), ("Date", "date")]),
           ("concert ticket", [("Artist", "band"), ("Venue", "venue"), ("Date", "date"), ("Time", "time"), ("Row", "int"), ("Seat", "int"), ("Price", "money")]),
           ("cinema ticket", [("Film", "film"), ("Hall", "int"), ("Date", "date"), ("Time", "time"), ("Seat", "seat"), ("Price", "money")]))
SYN = {"name": ["name"], "date of birth": ["date of birth", "birth date", "birthday"], "order no.": ["order number"], "member no.": ["member number"], "tracking no.": ["tracking number"],
       "id no.": ["ID number", "ID"], "employee no.": ["employee number"], "card no.": ["card number"], "student no.": ["student number"], "serial no.": ["serial number"],
       "valid until": ["expiry date", "valid until date"], "born": ["date of birth", "birth date"], "from": ["origin", "from field"], "to": ["destination", "to field"]}
ABSENT = ["total", "date", "phone number", "email", "address", "VAT", "name", "due date", "order number", "tip", "discount", "signature", "tax number", "website", "IBAN", "seat",
          "country", "weight", "time", "vendor", "serial number", "currency", "invoice number", "customer number", "title", "gate", "price", "city"]


def value(r, k, m):
    if k == "name":
        return W.name(r)
    if k == "date":
        return W.date(r)
    if k == "street":
        return W.street(r)
    if k == "city":
        return W.CITY.pick(r)
    if k == "phone":
        return W.phone(r)
    if k == "email":
        return W.FIRST.pick(r).lower() + r.choice([".", "_", ""]) + W.LAST.pick(r).lower() + "@" + W.word(r).lower() + r.choice([".com", ".org", ".net", ".de"])
    if k == "code":
        return W.code(r)
    if k == "goods":
        return W.GOODS.pick(r)
    if k == "int":
        return str(r.randint(1, 99))
    if k == "money":
        return m(W.amount(r, 999), r.p(.5))
    if k == "kg":
        return f"{r.randint(1, 99)}{'.' + str(r.randint(0, 9)) if r.p(.5) else ''} kg"
    if k == "cm":
        return f"{r.randint(90, 205)} cm"
    if k == "time":
        return W.time_(r)
    if k == "company":
        return W.company(r)
    if k == "seat":
        return str(r.randint(1, 45)) + r.choice("ABCDEF")
    if k == "flight":
        return r.choice(["LH", "BA", "AF", "UA", "DL", "LX", "KL", "QF", "AZ"]) + str(r.randint(10, 9999))
    if k == "gate":
        return r.choice("ABCDEFG") + str(r.randint(1, 70))
    if k == "blood":
        return r.choice(["A", "B", "AB", "0"]) + r.choice(["+", "-"])
    if k == "country":
        return W.CATEGORY[6].pick(r)
    if k == "dept":
        return W.CATEGORY[7].pick(r)
    if k == "subject":
        return W.CATEGORY[12].pick(r)
    if k == "result":
        return r.choice(["passed", "failed", "pending", "OK", "not OK"])
    if k == "job":
        return r.choice(["Nurse", "Driver", "Cook", "Engineer", "Teacher", "Clerk", "Designer", "Welder", "Cashier", "Manager", "Chemist", "Baker"])
    if k == "band":
        return "The " + W.title_case(W.phrase(r, 1, 2))
    if k == "venue":
        return W.CITY.pick(r) + r.choice([" Hall", " Arena", " Theatre", " Club", " Park"])
    return W.title_case(W.phrase(r, 1, 3))


def form(r, w, h):
    k = r.random()
    kind, spec = r.choice(FORMS if k < .5 else CARDS if k < .72 else TICKETS)
    d, p = _doc(r, kind, w, h)
    held = "layouts" in r.held
    m = W.Money(r)
    f = font(r)
    lf = sibling(f, "bold") if r.p(.4) else f
    size = min(max(min(w / 17, h / 14) * r.uniform(.7, 1.1), 11.5), 28)
    mg = r.uniform(8, 18)
    card = k >= .5 and r.p(.7)
    top = 0.0
    if card:
        tint = named(r, r.choice(["blue", "green", "red", "gray", "orange", "purple", "cyan"]))
        bg = tuple(min(1, v * .15 + .85) for v in tint)
        p.rect(3, 3, w - 6, h - 6, fill=bg, line=tint, lw=2, radius=10)
        p.ink = (.08, .08, .1)
    title = r.choice([kind, kind.upper(), W.title_case(kind)]) if not held or r.p(.5) else None
    org = W.company(r) if r.p(.4) else None
    y = mg + size * 1.3
    x = mg
    if card and title and r.p(.6):
        p.rect(3, 3, w - 6, size * 2.2, fill=tint)
        p.text(mg, 3 + size * 1.55, title, lf, p.fit(title, lf, size * 1.25, w - 2 * mg), (1, 1, 1))
        y = size * 3.4 + 3
    elif title:
        tf = sibling(f, "bold")
        ts = p.fit(title, tf, size * r.uniform(1.2, 1.7), w - 2 * mg)
        p.text(w / 2 if r.p(.4) else mg, y, title, tf, ts, align=0)
        if p.glyphs and p.glyphs[-1][1] > w - 2:
            p.glyphs.clear()
            p.rect(0, y - ts * 1.2, w, ts * 1.6, fill=(1, 1, 1) if not card else bg)
            p.text(mg, y, title, tf, ts)
        y += size * 1.9
    if org and y + size * 2 < h:
        p.text(mg, y, org, f, p.fit(org, f, size, w - 2 * mg))
        y += size * 1.7
    style = r.choice(["inline", "inline", "cols", "boxes", "below", "under"]) if not held else r.choice(["right", "below"])
    two = w > 400 and style in ("below", "under") and r.p(.6)
    lead = size * (r.uniform(1.35, 2.0) if style in ("inline", "cols", "right") else r.uniform(2.5, 3.2))
    ticks = r.p(.3) and kind.endswith("form")
    room = int((h - y - 4 - (size * 2 if ticks else 0)) / lead) * (2 if two else 1)
    chosen = [s for s in spec if r.p(.85)] or spec[:2]
    chosen = chosen[:max(1, room)]
    if not ticks and len(chosen) < room and r.p(.8):
        lead *= min(r.uniform(1, 2), (h - y - 4) / (lead * ((len(chosen) + two) // (2 if two else 1))))
    if r.p(.3):
        r.shuffle(chosen)
    colw = max(p.width(a + ":", lf, size) for a, _ in chosen) + 10
    colon = r.choice([":", ":", "", " :"])
    cw = (w - 2 * mg) / (2 if two else 1)
    out = []
    vf = f if r.p(.8) else font(r, "regular", "mono") if r.p(.5) else font(r, "italic")
    for i, (label, vk) in enumerate(chosen):
        v = value(r, vk, m)
        empty = r.p(.04)
        cx = mg + (cw if two and i % 2 else 0)
        up = r.choice([False]) or False
        lab = label.upper() if card and up else label
        if style in ("inline", "cols", "right"):
            e = p.text(cx, y, lab + colon, lf, size)
            vx = e + size * .4 if style == "inline" else max(mg + min(colw, w * .45), e + 4)
            if not empty:
                s = p.fit(v, vf, size, w - mg - vx)
                p.text(w - mg if style == "right" else vx, y, v, vf, s, align=1 if style == "right" else 0)
            if style == "cols" and i % 1 == 0 and colon == "":
                p.line(mg, y + size * .45, w - mg, y + size * .45, tuple(.5 + .5 * z for z in p.ink) if sum(p.ink) < 1 else None, .7)
        else:
            small = size * .88
            if style == "under":
                ly, vy = y + small * 1.15, y
                p.line(cx, y + size * .28, cx + cw - 10, y + size * .28, lw=.8)
            else:
                ly, vy = y, y + size * 1.25
            if style == "boxes":
                p.rect(cx, y + size * .28, cw - 6, size * 1.5, line=p.ink, lw=.9)
                vy = y + size * 1.4
            p.text(cx, ly, lab, lf if style != "under" else f, small)
            if not empty:
                p.text(cx + (4 if style == "boxes" else 0), vy, v, vf, p.fit(v, vf, size, cw - 12))
        if not two or i % 2:
            y += lead
        low = label.lower()
        names = SYN.get(low, [low])
        if empty:
            d.ask(r.say(*[a.format(names[0]) for a in ASK[:2]]), "not shown")
            d.used.update(names)
        else:
            field(d, names, v)
            out.append((label, v))
    if two and len(chosen) % 2:
        y += lead
    if ticks and y + size < h - 2:
        opts = r.choice([["yes", "no"], ["single", "married"], ["male", "female"], ["urgent", "normal"], ["cash", "card"], ["new", "used"], ["small", "medium", "large"]])
        on = r.randrange(len(opts))
        tx = mg
        for i, o in enumerate(opts):
            p.rect(tx, y - size * .75, size * .85, size * .85, line=p.ink, lw=1.1)
            if i == on:
                if r.p(.5):
                    p.line(tx + 2, y - size * .6, tx + size * .7, y - size * .05, lw=1.6)
                    p.line(tx + size * .7, y - size * .6, tx + 2, y - size * .05, lw=1.6)
                else:
                    p.line(tx + 2, y - size * .35, tx + size * .35, y - size * .05, lw=1.8)
                    p.line(tx + size * .35, y - size * .05, tx + size * .9, y - size * .9, lw=1.8)
            tx = p.text(tx + size * 1.2, y, o, f, size) + size * .9
        d.ask(r.say("Which box is ticked?", "What is ticked?", "Which option is marked?"), opts[on])
        o = r.choice(opts)
        d.ask(r.say(f'Is "{o}" ticked?', f'Is the box "{o}" marked?'), "yes" if o == opts[on] else "no")
    if org:
        field(d, ["company", "issuer"], org)
    d.ask(r.say("What kind of document is this?", "Which document is this?", "What is this?"), kind if title or not held else "form")
    d.qa[-1] = (d.qa[-1][0], kind)
    if not title:
        d.qa.pop()
        kind = "form"
    an = "An" if kind[0] in "aeioAEIO" else "A"
    if out:
        a0, v0 = out[0]
        c = [f"{an} {kind}. {a0}: {v0}.", f"{an} {kind} with {len(chosen)} field{'s' * (len(chosen) > 1)}. {a0}: {v0}."]
        if len(out) > 1:
            a1, v1 = r.choice(out[1:])
            c += [f"{an} {kind}. {a0}: {v0}, {a1.lower() if a1[:2] != 'ID' else a1}: {v1}.", f"{an} {kind}; {a0.lower() if a0[:2] != 'ID' else a0} {v0}, {a1.lower() if a1[:2] != 'ID' else a1} {v1}."]
        d.captions = c
        if len(out) <= 7:
            d.ask(r.say("List all fields.", "Read all fields.", "What are the fields and their values?"), "\n".join(f"{a}: {v}" for a, v in out))
    else:
        d.captions = [f"{an} {kind}."]
    return d


def invoice(r, w, h):
    d, p = _doc(r, "invoice", w, h)
    held = "layouts" in r.held
    m = W.Money(r)
    f = font(r)
    b = sibling(f, "bold")
    size = r.uniform(11.5, 13) if w < 300 else min(max(h / 28 * r.uniform(.75, 1.1), 12), w / 24)
    mg = r.uniform(8, 20)
    lead = size * r.uniform(1.3, 1.6)
    vendor, cust = W.company(r), W.name(r) if r.p(.5) else W.company(r)
    no = W.code(r)
    date, due = W.date(r), W.date(r)
    y = mg + size * 1.2
    right = w > 400 and r.p(.5)
    name = r.choice(["INVOICE", "Invoice", "Invoice", "Bill"])
    k = p.fit(vendor, b, size * r.uniform(1.1, 1.6), (w - 2 * mg) * (.55 if right else 1))
    if not held:
        p.text(mg, y, vendor, b, k)
        if right:
            p.text(w - mg, y, name, b, size * 1.6, align=1)
        y += lead * 1.2
        if not right:
            p.text(mg, y, name, b, size * 1.4)
            y += lead * 1.2
    else:
        p.text(w / 2, y, name, b, size * 1.6, align=.5)
        y += lead * 1.3
        p.text(w - mg, y, vendor, b, k, align=1)
        y += lead
    meta = [("Invoice no.", no, ["invoice number", "number"]), ("Date", date, ["date", "invoice date"])]
    if r.p(.5):
        meta.append(("Due date", due, ["due date"]))
    if r.p(.8):
        meta.append((r.choice(["Bill to", "Customer", "To"]), cust, ["customer", "client"]))
    r.shuffle(meta)
    side = right and r.p(.5) and not held
    for a, v, names in meta:
        if side:
            p.text(w - mg, y, a + ": " + v, f, p.fit(a + ": " + v, f, size, w * .8), align=1)
        else:
            e = p.text(mg, y, a + ":", f, size)
            vx = e + 5
            p.text(vx, y, v, f, p.fit(v, f, size, w - mg - vx))
        y += lead
        field(d, names, v)
    field(d, ["vendor", "company", "issuer"], vendor)
    has_tax = r.p(.6)
    iban = r.p(.25)
    room = int((h - y - lead * (2.2 + 2 * has_tax + iban)) / lead) - 1
    n = max(1, min(r.randint(1, 6), room))
    rows, seen = [], set()
    while len(rows) < n:
        g = W.SERVICE.pick(r) if r.p(.8) else W.GOODS.pick(r)
        if g not in seen:
            seen.add(g)
            q = r.randint(1, 12)
            rows.append((g, q, W.amount(r, 400) * (q if r.p(.3) else 1)))
    if n < room and r.p(.6):
        lead *= min(1.5, (h - y - 6) / (lead * (n + 4.5 + 2 * has_tax + iban)))
        lead = max(lead, size * 1.25)
    y += lead * .5
    qty = w > 300 and r.p(.6)
    x_amt = w - mg
    x_q = w - mg - p.width("00.000,00 CHF", f, size)
    if r.p(.5):
        shade = tuple(.85 * g + .1 for g in (.9, .9, .9)) if sum(p.ink) < 1 else (.3, .3, .3)
        p.rect(mg - 4, y - size * 1.05, w - 2 * mg + 8, size * 1.5, fill=shade)
    p.text(mg, y, r.choice(["Description", "Item", "Service"]), b, size)
    if qty:
        p.text(x_q, y, "Qty", b, size, align=1)
    p.text(x_amt, y, "Amount", b, size, align=1)
    y += lead * 1.1
    ruled = r.p(.5)
    for g, q, v in rows:
        s = m(v)
        wv = p.width(s, f, size)
        p.text(mg, y, g, f, p.fit(g, f, size, (x_q - p.width("00", f, size) - mg - 6) if qty else (w - 2 * mg - wv - 6)))
        if qty:
            p.text(x_q, y, str(q), f, size, align=1)
        p.text(x_amt, y, s, f, size, align=1)
        if ruled:
            p.line(mg, y + size * .4, w - mg, y + size * .4, lw=.6)
        y += lead
    sub = sum(v for _, _, v in rows)
    tax = round(sub * r.choice([5, 7, 8, 10, 19, 20]) / 100) if has_tax else 0
    lx = mg if r.p(.3) or w < 300 else w * .45
    y += lead * .2
    tot = r.choice(["Total", "TOTAL", "Amount due", "Total due", "Grand total"])
    tn = r.choice(["VAT", "Tax"])
    lines = ([("Subtotal", m(sub), f), (tn, m(tax), f)] if has_tax else []) + [(tot, m(sub + tax, True) if m.where == "none" and r.p(.4) else m(sub + tax), b)]
    for a, v, ff in lines:
        p.text(lx, y, a, ff, size)
        p.text(x_amt, y, v, ff, size, align=1)
        y += lead
    if has_tax:
        field(d, ["subtotal", "net amount"], lines[0][1])
        field(d, ["tax", "VAT"], lines[1][1])
    field(d, ["total", "amount due", "grand total"], lines[-1][1])
    if iban and y < h - 4:
        s = r.choice(["DE", "CH", "FR", "AT"]) + "".join(str(r.randint(0, 9)) for _ in range(2)) + " " + " ".join("".join(str(r.randint(0, 9)) for _ in range(4)) for _ in range(3))
        p.text(mg, y, "IBAN " + s, f, p.fit("IBAN " + s, f, size, w - 2 * mg))
        field(d, ["IBAN", "account"], s)
    d.items = ("items", ["description", "amount"], [(g, m(v)) for g, _, v in rows])
    g, q, v = r.choice(rows)
    d.ask(r.say(f"What does {g} cost?", f"How much is {g.lower()}?", f"What is the amount for {g.lower()}?"), m(v))
    if qty:
        d.ask(r.say(f"What is the quantity of {g.lower()}?", f"How many of {g.lower()}?"), q)
    d.ask(r.say("How many items are there?", "How many positions are listed?", "Count the items."), n)
    d.ask(r.say("Who sent this invoice?", "Who is the invoice from?", "Who issued this?"), vendor)
    d.ask(r.say("What kind of document is this?", "Which document is this?", "What is this?"), "invoice")
    total = lines[-1][1]
    d.captions = [f"An invoice from {vendor}, dated {date}, total {total}.", f"An invoice from {vendor} with {n} item{'s' * (n > 1)}. The total is {total}.",
                  f"Invoice {no} from {vendor}, dated {date}. Total: {total}.", f"An invoice of {vendor} for {total}."]
    return d


def table(r, w, h):
    d, p = _doc(r, "table", w, h)
    held = "layouts" in r.held
    f = font(r, "regular")
    b = sibling(f, "bold") if r.p(.8) else f
    size = r.uniform(11.5, 14) if w < 300 else r.uniform(12, 16 if r.p(.5) else 24)
    mg = r.uniform(6, 16)
    nc = r.randint(2, 3) if w < 300 else r.randint(2, 5 if w > 600 else 4)
    rh = size * r.uniform(1.5, 2.1)
    y = mg
    title = None
    if r.p(.5):
        title = W.heading(r, W.MEASURE.pick(r)) if r.p(.5) else W.MEASURE.pick(r) + " by " + r.choice(["region", "month", "year", "product", "team", "country"])
        p.text(mg, y + size * 1.3, title, sibling(f, "bold"), p.fit(title, b, size * 1.3, w - 2 * mg))
        y += size * 2.3
    nr = max(1, min(r.randint(2, 8), int((h - y - 4) / rh) - 1))
    pool = r.choice(W.CATEGORY + [None, None])
    first, tries = [], 0
    while len(first) < nr:
        v = pool.pick(r) if pool else (W.name(r) if w > 300 and r.p(.3) else W.GOODS.pick(r))
        tries += 1
        if tries > 40:
            pool = None
        if v not in first:
            first.append(v)
    heads = [r.choice(["Name", "Item", "Category", "Type"])]
    while len(heads) < nc:
        v = r.choice([W.SERIES, W.MEASURE]).pick(r)
        if v not in heads:
            heads.append(v)
    m = W.Money(r)
    cols = [first]
    for _ in heads[1:]:
        k = r.randrange(5)
        cols.append([str(r.randint(0, 9999)) if k == 0 else str(r.randint(0, 99)) if k == 1 else f"{r.randint(0, 99)}.{r.randint(0, 9)}" if k == 2 else f"{r.randint(0, 100)}%" if k == 3 else m(W.amount(r, 99)) for _ in range(nr)])
    need = [max(p.width(s, ff, size) for s, ff in [(hd, b)] + [(v, f) for v in c]) + 10 for hd, c in zip(heads, cols)]
    if sum(need) > w - 2 * mg:
        size = max(9.5, size * (w - 2 * mg) / sum(need))
        need = [max(p.width(s, ff, size) for s, ff in [(hd, b)] + [(v, f) for v in c]) + 8 for hd, c in zip(heads, cols)]
    rh = max(rh, min(rh * r.uniform(1, 1.7), (h - y - 4) / (nr + 1)))
    extra = max(0, w - 2 * mg - sum(need)) * r.uniform(0, 1) / nc
    ws = [n + extra for n in need]
    style = r.choice(["grid", "rows", "none", "head", "zebra"]) if not held else "columns"
    right = r.p(.5)
    tw = sum(ws)
    for i in range(nr + 1):
        if style == "zebra" and i % 2 and sum(p.ink) < 1:
            p.rect(mg, y + i * rh, tw, rh, fill=(.88, .9, .93))
        if i == 0 and style in ("head", "zebra") and sum(p.ink) < 1:
            p.rect(mg, y, tw, rh, fill=(.78, .82, .9))
        x = mg
        for j in range(nc):
            s, ff = (heads[j], b) if i == 0 else (cols[j][i - 1], f)
            by = y + i * rh + rh / 2 + size * .35
            p.text(x + ws[j] - 5 if right and j else x + 5, by, s, ff, size, align=1 if right and j else 0)
            x += ws[j]
    for i in range(nr + 2):
        if style in ("grid", "rows") or i in (0, 1, nr + 1) and style == "head":
            p.line(mg, y + i * rh, mg + tw, y + i * rh, lw=.8)
    if style in ("grid", "columns"):
        x = mg
        for j in range(nc + 1):
            p.line(x, y, x, y + (nr + 1) * rh, lw=.8)
            x += ws[j] if j < nc else 0
    for _ in range(4):
        i, j = r.randrange(nr), r.randrange(1, nc)
        d.ask(r.say(f"What is the value for {first[i]} in column {heads[j]}?", f"What is {heads[j]} of {first[i]}?", f"{first[i]}, {heads[j]}?", f"Read the cell {first[i]} / {heads[j]}."), cols[j][i])
    d.ask(r.say("How many rows does the table have, without the header?", "How many data rows are there?", "Count the rows below the header."), nr)
    d.ask(r.say("How many columns does the table have?", "Count the columns.", "How many columns are there?"), nc)
    j = r.randrange(nc)
    d.ask(r.say(f"List the column {heads[j]}.", f"What is in column {heads[j]}?", f"Read the column {heads[j]}."), ", ".join(cols[j]))
    d.ask(r.say("What are the column headers?", "Read the header row.", "Which columns are there?"), ", ".join(heads))
    d.ask(r.say("What is the title?", "Title of the table?", "Read the title."), title or "not shown")
    d.read = None
    if nr * nc <= 20:
        d.long = (r.say("Convert the table to CSV.", "Give me the table as CSV.", "Write the table as CSV."), "\n".join([",".join(heads)] + [",".join(c[i] for c in cols) for i in range(nr)]))
    v = W.word(r).capitalize()
    if v not in first:
        d.ask(f"What is {heads[-1]} of {v}?", "not shown")
    t = f' titled "{title}"' if title else ""
    d.captions = [f"A table{t} with {nr} rows and {nc} columns: {', '.join(heads)}.", f"A table{t} of {nr} rows and {nc} columns.", f"A table{t}. Its columns are {', '.join(heads)}."]
    d.used.update(["title"])
    return d
