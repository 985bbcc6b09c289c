"""What generated pictures say: names, goods, dates, amounts, codes, sentences, and how questions are phrased.

Every pool is cut in two by a hash of the string: nine tenths are for training, one tenth appears only where an
evaluation asks for unseen vocabulary (`R.held`). Phrasings are cut the same way, four fifths to one fifth.
"""
import os
import random
import zlib

RES = os.environ.get("TESSERA_TRAIN_RES", os.path.join(os.path.dirname(os.path.abspath(__file__)), "res"))
AXES = ("fonts", "layouts", "vocab", "values", "phrasing")


def _h(s):
    return zlib.crc32(("v1" + s).encode())


class Pool:
    """Strings cut in two; an `open` pool also gives words that are in no list, so that reading cannot become choosing."""

    def __init__(self, items, share=10, open=0.0):
        self.open = open
        items = list(dict.fromkeys(x.strip() for x in items if x.strip()))
        self.train = [x for x in items if _h(x) % share] or items
        self.held = [x for x in items if _h(x) % share == 0] or self.train

    def pick(self, r):
        if self.open and "vocab" not in r.held and r.p(self.open):
            s = WORDS.pick(r).capitalize()
            return s + " " + (WORDS if r.p(.5) else COMMON).pick(r) if r.p(.3) and len(s) < 9 else s
        return r.choice(self.held if "vocab" in r.held else self.train)


def _split(s, open=0.0):
    return Pool(s.replace("\n", "").split(","), open=open)


def _file(name):
    with open(os.path.join(RES, name)) as f:
        return f.read().split("\n")


class R(random.Random):
    """A random source that knows which axes are held out for this sample."""

    def __init__(self, seed, held=()):
        super().__init__(seed)
        self.held = frozenset(held)

    def p(self, x):
        return self.random() < x

    def say(self, *variants):
        """One of several phrasings; the held-out fifth only for evaluation of that axis."""
        if len(variants) > 2:
            out = [v for v in variants if (_h(v) % 5 == 0) == ("phrasing" in self.held)]
            variants = out or variants
        return self.choice(variants)


FIRST = _split("""Anna,Ben,Carla,David,Emma,Frank,Grace,Henry,Irene,Jack,Karen,Liam,Maria,Noah,Olga,Paul,Quinn,Rosa,Samuel,Tina,
Ulrich,Vera,Walter,Xenia,Yusuf,Zoe,Alice,Boris,Chloe,Daniel,Elena,Felix,Gina,Hugo,Ivan,Julia,Kevin,Laura,Marco,Nina,Oscar,Petra,
Ralph,Sofia,Tom,Ursula,Victor,Wendy,Amir,Bianca,Cedric,Dora,Erik,Fatima,Georg,Hanna,Isaac,Jenny,Klaus,Lucia,Milan,Nadia,Otto,
Priya,Ravi,Sarah,Theo,Uma,Vikram,Yara,Adam,Bella,Colin,Diana,Ethan,Fiona,Gordon,Holly,Ian,Joan,Kurt,Leah,Mark,Nora,Owen,Peter,
Ruth,Simon,Tara,Vince,Will,Amy,Bruno,Clara,Doris,Edgar,Flora,Greta,Hector,Ingrid,Jonas,Kira,Leon,Maya,Nils""", open=0.1)
LAST = _split("""Smith,Jones,Taylor,Brown,Wilson,Evans,Walker,Wright,Hall,Green,Adams,Baker,Carter,Clark,Collins,Cook,Cooper,Cox,Davis,
Diaz,Edwards,Fischer,Fuchs,Garcia,Gomez,Gray,Harris,Hill,Hughes,Hunt,Ito,James,Keller,Kim,King,Klein,Kumar,Lang,Lee,Lewis,Lopez,
Lutz,Martin,Mason,Meyer,Miller,Moore,Morris,Murphy,Nguyen,Novak,Olsen,Parker,Patel,Perez,Price,Quinn,Reed,Rossi,Russo,Sanchez,
Schmidt,Schulz,Scott,Shaw,Silva,Stone,Suzuki,Tanaka,Turner,Vargas,Vogel,Wagner,Ward,Weber,White,Wolf,Wong,Wood,Yang,Young,Zhang,
Ziegler,Berg,Brandt,Costa,Dubois,Ferrari,Haas,Jansen,Kowalski,Larsen,Moreau,Nowak,Petrov,Ricci,Santos,Varga,Winter,Bishop,Chen""", open=0.25)
CITY = _split("""London,Paris,Berlin,Madrid,Rome,Vienna,Oslo,Dublin,Lisbon,Prague,Warsaw,Zurich,Geneva,Milan,Munich,Hamburg,Lyon,Porto,
Leeds,Bristol,York,Oxford,Boston,Chicago,Denver,Austin,Seattle,Dallas,Miami,Atlanta,Phoenix,Toronto,Ottawa,Sydney,Perth,Auckland,
Tokyo,Osaka,Delhi,Mumbai,Cairo,Nairobi,Lagos,Lima,Bogota,Santiago,Quito,Athens,Krakow,Turin,Naples,Ghent,Bruges,Basel,Graz,Malmo,
Bergen,Turku,Riga,Tallinn,Vilnius,Salem,Dover,Bath,Derby,Exeter,Luton,Reading,Springfield,Franklin,Clinton,Madison,Georgetown""", open=0.2)
STREET = _split("""Main,Oak,Maple,Cedar,Pine,Elm,Park,Lake,Hill,River,Church,Station,Market,High,Mill,Bridge,Garden,School,Victoria,Queen,
King,Castle,Forest,Spring,Sunset,Ocean,Valley,Meadow,Orchard,Chestnut,Willow,Birch,Walnut,Highland,Prospect,Union,Liberty,Harbor""", open=0.25)
STREETKIND = ["Street", "St", "Road", "Rd", "Avenue", "Ave", "Lane", "Drive", "Way", "Square"]
SHOPWORD = _split("""Green,Golden,Silver,Blue,Red,Sunny,Happy,Royal,Fresh,Corner,City,Village,Old Town,Harbor,River,Mountain,Star,Moon,Sun,Lucky,
Little,Grand,Urban,Royal,Family,Daily,Quick,Smart,Prime,Central,North,South,East,West,Ocean,Garden,Valley,Crystal,Copper,Iron,Rose,
Lily,Maple,Olive,Lemon,Cherry,Pepper,Honey,Velvet,Amber,Falcon,Tiger,Panda,Fox,Bear,Eagle,Swan,Dolphin""", open=0.25)
SHOPKIND = _split("""Market,Bakery,Cafe,Deli,Grocery,Foods,Pharmacy,Books,Bistro,Diner,Kitchen,Store,Shop,Supermarket,Hardware,Electronics,
Flowers,Toys,Sports,Fashion,Shoes,Pizza,Grill,Bar,Coffee,Tea House,Butcher,Garden Center,Auto Parts,Stationery,Outlet,Mart,Pet Shop""")
COMPANYKIND = _split("Ltd,Inc,GmbH,LLC,Corp,Group,Partners,Services,Systems,Solutions,Consulting,Logistics,Media,Energy,Design,Labs,Trading,Industries")
GOODS = _split("""Milk,Bread,Butter,Eggs,Cheese,Yogurt,Apples,Bananas,Oranges,Tomatoes,Potatoes,Onions,Carrots,Lettuce,Rice,Pasta,Flour,Sugar,
Salt,Coffee,Tea,Juice,Water,Cola,Beer,Wine,Chicken,Beef,Salmon,Tuna,Ham,Bacon,Sausage,Cereal,Oatmeal,Honey,Jam,Chocolate,Cookies,
Chips,Nuts,Soup,Beans,Corn,Olive Oil,Vinegar,Ketchup,Mustard,Soap,Shampoo,Toothpaste,Tissues,Batteries,Notebook,Pen,Pencil,Eraser,
Stapler,Folder,Envelope,Candle,Lamp,Mug,Plate,Bowl,Spoon,Fork,Knife,Towel,Pillow,Blanket,T-Shirt,Jeans,Socks,Hat,Scarf,Gloves,Belt,
Sandwich,Salad,Pizza,Burger,Fries,Muffin,Croissant,Bagel,Espresso,Latte,Cappuccino,Smoothie,Lemonade,Ice Cream,Cake,Pie,Grapes,
Lemons,Garlic,Mushrooms,Peppers,Spinach,Cucumber,Avocado,Mango,Pears,Peaches,Plums,Berries,Melon,Cream,Tofu,Noodles,Crackers,
Popcorn,Pretzels,Gum,Mints,Sponge,Detergent,Bleach,Foil,Napkins,Matches,Tape,Glue,Paint,Brush,Hammer,Nails,Screws,Wrench,Cable,
Charger,Mouse,Keyboard,Headphones,USB Stick,Light Bulb,Flower Pot,Seeds,Umbrella,Backpack,Wallet,Watch,Sunglasses""", open=0.3)
ADJ = _split("Organic,Fresh,Large,Small,Red,White,Green,Dark,Classic,Mini,Family,Premium,Light,Extra,Baby,Whole,Spicy,Sweet,Blue,Black,Frozen")
SERVICE = _split("""Consulting,Web design,Translation,Hosting,Repair work,Installation,Cleaning,Delivery,Training,Software license,Support plan,Printing,
Photography,Catering,Gardening,Painting,Transport,Security check,Maintenance,Data recovery,Copywriting,Tax advice,Market study,Audit,
Logo design,Server rental,Desk chair,Office desk,Monitor,Laptop,Printer,Projector,Paper A4,Toner,Workshop,Travel costs,Storage box""", open=0.3)
CATEGORY = [_split(x) for x in ("""North,South,East,West,Central,Coast,Inland,Island,Upland""", """Q1,Q2,Q3,Q4,Q5,Q6""",
            """Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec""", """Mon,Tue,Wed,Thu,Fri,Sat,Sun""",
            """Apples,Pears,Plums,Grapes,Mangos,Kiwis,Figs,Dates,Melons,Limes""", """Rent,Food,Travel,Energy,Water,Phone,Clothes,Books,Sport,Gifts""",
            """France,Spain,Italy,Japan,Brazil,Canada,India,Kenya,Norway,Peru,Chile,Egypt,Poland,Greece,Turkey,Mexico""",
            """Sales,Support,Design,Legal,Finance,Research,Marketing,Logistics,IT,HR""", """Cats,Dogs,Birds,Fish,Horses,Rabbits,Snakes,Frogs""",
            """Solar,Wind,Hydro,Coal,Gas,Nuclear,Oil,Biomass""", """Alpha,Beta,Gamma,Delta,Epsilon,Zeta,Omega,Sigma""",
            """Bus,Car,Train,Bike,Plane,Tram,Ferry,Walk""", """Math,Music,Art,History,Physics,Biology,Sport,Latin""")]
MEASURE = _split("""Sales,Revenue,Profit,Visitors,Users,Orders,Output,Exports,Rainfall,Temperature,Population,Score,Downloads,Emissions,Costs,
Members,Tickets,Votes,Students,Patients,Production,Demand,Income,Budget,Traffic,Speed,Weight,Energy use,Water use,Staff""")
UNIT = ["units", "thousands", "kg", "tons", "km", "hours", "USD", "EUR", "million", "MW", "mm", "points", "%"]
SERIES = _split("""2021,2022,2023,2024,2025,Plan,Actual,Budget,Forecast,Men,Women,Online,In store,Product A,Product B,Product C,Team A,Team B,
Group 1,Group 2,Group 3,Model X,Model Y,Before,After,Import,Export,Urban,Rural,Adults,Children,Basic,Pro,Day,Night""", open=0.1)
PLACES = _split("museums,shops,towns,schools,offices,teams,countries,regions,halls,stations,plants,lines,brands,classes,years,clubs,farms,ports,routes,stores")
PER = _split("per week,per month,per year,per day,per hour,per person,by quarter,by year,over time,last week,this year,since 2010,in percent,at noon,on weekdays")
MONTHS = "January February March April May June July August September October November December".split()
WORDS = Pool(_file("words.txt"))
COMMON = Pool([w for w in _file("common.txt") if len(w) > 1])
SENTENCES = Pool(_file("sentences.txt"))
CURRENCIES = ["$", "EUR", "€", "£", "CHF"]


def name(r):
    return FIRST.pick(r) + " " + LAST.pick(r)


def shop(r):
    k = r.random()
    if k < .5:
        return SHOPWORD.pick(r) + " " + SHOPKIND.pick(r)
    if k < .75:
        return LAST.pick(r) + "'s " + SHOPKIND.pick(r)
    if k < .9:
        return CITY.pick(r) + " " + SHOPKIND.pick(r)
    return word(r).capitalize() + " " + SHOPKIND.pick(r)


def company(r):
    k = r.random()
    if k < .4:
        return LAST.pick(r) + " " + COMPANYKIND.pick(r)
    if k < .6:
        return LAST.pick(r) + " & " + LAST.pick(r)
    return word(r).capitalize() + " " + COMPANYKIND.pick(r)


def street(r):
    n = str(r.randint(1, 999))
    s = STREET.pick(r) + " " + r.choice(STREETKIND)
    return n + " " + s if r.p(.8) else s + " " + n


def word(r):
    return (WORDS if r.p(.6) else COMMON).pick(r)


def heading(r, what):
    """A title of a chart or table in free form."""
    k = r.randrange(9)
    if k == 0:
        return f"{what} in {CITY.pick(r)} and {CITY.pick(r)}" + (f" ({r.choice(UNIT)} {PER.pick(r)})" if r.p(.5) else "")
    if k == 1:
        return f"{what} {PER.pick(r)}, {r.choice(['two', 'three', 'four', 'all', 'some'])} {PLACES.pick(r)}"
    if k == 2:
        return f"{what} of {PLACES.pick(r)} {PER.pick(r)}"
    if k == 3:
        return title_case(phrase(r, 2, 4))
    if k == 4:
        return f"{what} and {MEASURE.pick(r).lower()}, {year(r)}"
    if k == 5:
        return f"{what} {year(r) - 4}-{r.randint(1996, 2030)}"
    if k == 6:
        return f"{word(r).capitalize()} {what.lower()} at {SHOPWORD.pick(r)} {SHOPKIND.pick(r)}"
    if k == 7:
        return f"Figure {r.randint(1, 20)}: {what} {PER.pick(r)}"
    return f"{what} ({r.choice(UNIT)})" + (f", {CITY.pick(r)}" if r.p(.5) else "")


def series_name(r):
    k = r.random()
    if k < .45:
        return SERIES.pick(r)
    if k < .6:
        return CITY.pick(r)
    if k < .75:
        return SHOPWORD.pick(r) + " " + SHOPKIND.pick(r)
    if k < .85:
        return GOODS.pick(r)
    return word(r).capitalize()


def year(r):
    return r.randint(2031, 2039) if "values" in r.held and r.p(.5) else r.randint(1995, 2030)


def date(r, style=None):
    d, m, y = r.randint(1, 28), r.randint(1, 12), year(r)
    k = r.randrange(8) if style is None else style
    return (f"{y}-{m:02d}-{d:02d}", f"{d:02d}.{m:02d}.{y}", f"{m:02d}/{d:02d}/{y}", f"{d} {MONTHS[m-1][:3]} {y}", f"{MONTHS[m-1]} {d}, {y}",
            f"{d:02d}/{m:02d}/{y % 100:02d}", f"{d}.{m}.{y}", f"{MONTHS[m-1][:3]} {d}, {y}")[k]


def time_(r):
    h, m = r.randint(0, 23), r.randint(0, 59)
    return f"{h:02d}:{m:02d}" if r.p(.7) else f"{(h % 12) or 12}:{m:02d} {'PM' if h > 11 else 'AM'}"


def code(r, n=None):
    n = n or r.randint(4, 9)
    k = r.randrange(5)
    al, dg = "ABCDEFGHJKLMNPQRSTUVWXYZ", "0123456789"
    if k == 0:
        return "".join(r.choice(al + dg) for _ in range(n))
    if k == 1:
        return "".join(r.choice(al) for _ in range(r.randint(1, 3))) + "-" + "".join(r.choice(dg) for _ in range(r.randint(3, 6)))
    if k == 2:
        return "".join(r.choice(dg) for _ in range(n))
    if k == 3:
        return "".join(r.choice(dg) for _ in range(4)) + "-" + "".join(r.choice(dg) for _ in range(3))
    return "".join(r.choice(al + al.lower() + dg) for _ in range(n))


def phone(r):
    g = lambda n: "".join(r.choice("0123456789") for _ in range(n))
    return r.choice([f"+{r.randint(1, 99)} {g(3)} {g(6)}", f"({g(3)}) {g(3)}-{g(4)}", f"0{g(3)} {g(5)}", f"{g(3)}-{g(4)}"])


def amount(r, hi=99):
    """An amount as text, its digits uniform."""
    n = r.randint(1, len(str(hi)))
    lo = 10 ** (n - 1) if n > 1 else 0
    return r.randint(lo, min(hi, 10 ** n - 1)) * 100 + (r.randint(0, 99) if r.p(.8) else r.choice([0, 50, 95, 99]))


class Money:
    """How one document prints its amounts."""

    def __init__(self, r, symbols=True):
        self.comma = r.p(.2)
        self.cur = r.choice(CURRENCIES)
        self.where = r.choice(["none", "none", "before", "after"]) if symbols else "none"
        self.group = r.p(.5)

    def __call__(self, cents, symbol=False):
        a, b = divmod(cents, 100)
        s = f"{a:,}" if self.group else str(a)
        s = s.replace(",", ".") + f",{b:02d}" if self.comma else s + f".{b:02d}"
        if symbol or self.where != "none":
            if self.where == "after":
                return s + " " + self.cur
            return (self.cur if self.cur in "$€£" else self.cur + " ") + s
        return s


def title_case(s):
    return " ".join(w.capitalize() for w in s.split())


def phrase(r, lo=1, hi=4):
    return " ".join(word(r) for _ in range(r.randint(lo, hi)))


def line(r, chars=30):
    """One line of mixed content for reading."""
    k = r.random()
    if k < .35:
        s = phrase(r, 1, 4)
        c = r.random()
        s = s.upper() if c < .2 else s.capitalize() if c < .5 else title_case(s) if c < .65 else s
        if r.p(.2):
            s += r.choice(".!?:;,")
    elif k < .45:
        s = Money(r)(amount(r, 9999), True)
    elif k < .55:
        s = date(r)
    elif k < .67:
        s = code(r)
    elif k < .75:
        s = name(r)
    elif k < .8:
        s = word(r).capitalize() + ": " + (code(r) if r.p(.5) else str(r.randint(0, 9999)))
    elif k < .85:
        s = phone(r) if r.p(.6) else time_(r)
    else:
        s = SENTENCES.pick(r)
        if r.p(.5):
            s = s.capitalize()
    if len(s) > chars:
        cut = s[:chars].rsplit(" ", 1)[0]
        s = cut if len(cut) >= 3 else s[:chars].strip()
    return s
