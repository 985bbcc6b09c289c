"""Build the resource bundle that the generator draws from: fonts, words, sentences, sprites.

    python resources.py OUT

Everything comes from Debian packages (RECIPE.md lists them); nothing of it is committed. Font files are cut
down to Latin letters and renamed to unique family names (F000, F001, ...), so that a drawing call names one
file exactly and the whole bundle is small enough to travel to a machine without a package mirror.
"""
import io
import json
import os
import re
import subprocess
import sys
import zlib

TRAIN = """DejaVu Sans|DejaVu Sans Mono|DejaVu Serif|DejaVu Sans Condensed|Liberation Sans|Liberation Serif|
Liberation Mono|Liberation Sans Narrow|FreeSans|FreeSerif|FreeMono|Nimbus Sans|Nimbus Roman|Nimbus Mono PS|C059|P052|
URW Bookman|URW Gothic|Lato|Open Sans|Roboto|Roboto Condensed|Carlito|Cabin|Inconsolata|JetBrains Mono|Courier Prime|
EB Garamond|Vollkorn|Old Standard TT|Quicksand|Dosis|Karla|B612|B612 Mono|Play|Manrope|Comic Neue|OCR B"""
HELD = """Caladea|Cantarell|Hack|Noto Sans|Noto Serif|Andika|National Park|Yanone Kaffeesatz|Anonymous Pro"""
MONO = {"DejaVu Sans Mono", "Liberation Mono", "FreeMono", "Nimbus Mono PS", "Inconsolata", "JetBrains Mono",
        "Courier Prime", "B612 Mono", "OCR B", "Hack", "Anonymous Pro"}
SERIF = {"DejaVu Serif", "Liberation Serif", "FreeSerif", "Nimbus Roman", "C059", "P052", "URW Bookman",
         "EB Garamond", "Vollkorn", "Old Standard TT", "Caladea", "Noto Serif"}
STYLES = (("regular", ("Regular", "Book", "Roman", "12 Regular", "Normal", "Condensed")),
          ("bold", ("Bold", "Demi", "Condensed Bold", "Bold Condensed")),
          ("italic", ("Italic", "Oblique", "12 Italic")))
COARSE = re.compile(r"sex|orgasm|erotic|catheter|rac(e|ial)|skin|vagin|penis|genital|intercourse|slave|negro|prostitut|nazi|kill|murder|rape|suicid|urin|feces|fece|excre|"
                    r"breast|anus|rectum|offensive|disparag|slur|drug|heroin|tortur|whore|homosex|lesbian|testic|uter|nigg|jew|gyps|savage|obscen|vulgar", re.I)
EXTRA = "£€°–—•×éèüöäßñç±"

# Everyday objects of the colour emoji font: code point, name.
SPRITES = """1F34E apple,1F34C banana,1F347 bunch of grapes,1F353 strawberry,1F352 pair of cherries,1F34A orange,1F34B lemon,
1F349 watermelon,1F34D pineapple,1F351 peach,1F345 tomato,1F955 carrot,1F33D ear of corn,1F344 mushroom,1F35E loaf of bread,
1F9C0 piece of cheese,1F354 hamburger,1F355 pizza slice,1F369 doughnut,1F36A cookie,1F382 birthday cake,1F366 ice cream,
1F36C candy,2615 cup of coffee,1F377 glass of wine,1F37A mug of beer,1F37C bottle,1F95A egg,1F950 croissant,1F32D hot dog,
1F436 dog,1F431 cat,1F42D mouse,1F430 rabbit,1F43B bear,1F43C panda,1F42F tiger,1F981 lion,1F42E cow,1F437 pig,1F438 frog,
1F435 monkey,1F414 chicken,1F427 penguin,1F426 bird,1F986 duck,1F989 owl,1F434 horse,1F41D bee,1F98B butterfly,1F40C snail,
1F41E ladybug,1F422 turtle,1F40D snake,1F419 octopus,1F980 crab,1F41F fish,1F42C dolphin,1F433 whale,1F418 elephant,
1F42A camel,1F411 sheep,1F410 goat,1F994 hedgehog,1F995 dinosaur,1F333 tree,1F332 pine tree,1F334 palm tree,1F335 cactus,
1F337 tulip,1F339 rose,1F33B sunflower,1F340 clover,1F341 maple leaf,1F697 car,1F695 taxi,1F68C bus,1F692 fire engine,
1F691 ambulance,1F69A truck,1F69C tractor,1F6B2 bicycle,1F3CD motorcycle,1F682 train,2708 airplane,1F680 rocket,
1F681 helicopter,26F5 sailboat,1F6A2 ship,1F3E0 house,1F3E2 office building,26EA church,1F3F0 castle,26FA tent,
2602 umbrella,1F31E sun,1F319 moon,2B50 star,2601 cloud,26C4 snowman,1F525 flame,1F308 rainbow,26BD soccer ball,
1F3C0 basketball,1F3C8 football,1F3BE tennis ball,1F3B8 guitar,1F3B9 piano,1F3BA trumpet,1F941 drum,1F4F7 camera,
1F4F1 phone,1F4BB laptop,1F4FA television,231A watch,23F0 alarm clock,1F4A1 light bulb,1F526 flashlight,1F511 key,1F528 hammer,
1F527 wrench,2702 pair of scissors,1F4D6 book,270F pencil,1F4E6 box,1F381 gift,1F388 balloon,1F3C6 trophy,1F451 crown,1F48E gem,
1F453 pair of glasses,1F455 shirt,1F456 pair of jeans,1F457 dress,1F45F shoe,1F392 backpack,1F3A9 hat,1F6CF bed,1FA91 chair,
1F6AA door,1F514 bell,1F9F8 teddy bear,1F680 rocket,1F916 robot,1F47B ghost,2693 anchor,1F9F2 magnet,1F52D telescope"""


def font_table():
    out = subprocess.run(["fc-list", "--format", "%{file}|%{family}|%{style}\n"], capture_output=True, text=True).stdout
    table = {}
    for line in sorted(out.split("\n")):
        if line.count("|") != 2 or ".t1" in line or ".afm" in line:
            continue
        path, family, style = line.split("|")
        for f in family.split(","):
            for s in style.split(","):
                table.setdefault((f, s), path)
    return table


def cut(path, name, out):
    """One font file: default instance, Latin subset, unique family name."""
    from fontTools import subset, ttLib
    from fontTools.varLib import instancer
    font = ttLib.TTFont(path, fontNumber=0)
    if "fvar" in font:
        loc = {a.axisTag: (700 if name.endswith("bold") and a.axisTag == "wght" else
                           400 if a.axisTag == "wght" else a.defaultValue) for a in font["fvar"].axes}
        font = instancer.instantiateVariableFont(font, loc)
    cmap = font.getBestCmap()
    if any(c not in cmap for c in range(33, 127)):
        return None
    opts = subset.Options(layout_features=[], hinting=False, notdef_outline=True, name_IDs=["*"], glyph_names=False,
                          drop_tables=["GPOS", "GSUB", "GDEF", "kern", "DSIG", "FFTM", "STAT", "BASE", "meta", "morx"])
    s = subset.Subsetter(opts)
    s.populate(unicodes=list(range(32, 127)) + [ord(c) for c in EXTRA])
    s.subset(font)
    uid = name.split("-")[0]
    keep = []
    for rec in font["name"].names:
        if rec.nameID in (1, 4, 6):
            rec.string = uid
            keep.append(rec)
        elif rec.nameID == 2:
            rec.string = "Regular"
            keep.append(rec)
    font["name"].names = keep
    font["OS/2"].usWeightClass = 400
    font["OS/2"].fsSelection = 0x40
    font["head"].macStyle = 0
    if "post" in font:
        font["post"].italicAngle = 0
    if "CFF " in font:
        top = font["CFF "].cff
        top.fontNames[0] = uid
        d = top[0]
        for k in ("FamilyName", "FullName"):
            d.rawDict[k] = uid
        for k in ("Weight", "ItalicAngle"):
            d.rawDict.pop(k, None)
    font.save(os.path.join(out, uid + (".otf" if "CFF " in font else ".ttf")))
    return "".join(c for c in EXTRA if ord(c) in cmap)


def fonts(out):
    os.makedirs(out, exist_ok=True)
    table, listing, n = font_table(), [], 0
    for split, names in (("train", TRAIN), ("held", HELD)):
        for family in [x.strip() for x in names.replace("\n", "").split("|")]:
            for style, spellings in STYLES:
                path = next((table[(family, s)] for s in spellings if (family, s) in table), None)
                if path is None:
                    continue
                uid = f"F{n:03d}"
                try:
                    extra = cut(path, f"{uid}-{style}", out)
                except Exception as e:  # a font the tool cannot cut is left out, and said so
                    print("skip", family, style, repr(e)[:100], file=sys.stderr)
                    continue
                if extra is None:
                    print("skip", family, style, "lacks ASCII", file=sys.stderr)
                    continue
                kind = "mono" if family in MONO else "serif" if family in SERIF else "sans"
                listing.append(dict(id=uid, family=family, style=style, kind=kind, split=split, extra=extra))
                n += 1
    return listing


def words(out):
    ws = [w.strip() for w in open("/usr/share/dict/words", encoding="utf-8")]
    ws = sorted({w for w in ws if re.fullmatch(r"[A-Za-z][a-z]{1,11}", w) and not COARSE.search(w)
                 and not re.search(r"fuck|shit|cunt|bitch|fag|dick|cock|tit(s|t)|slut|bastard|damn|piss|crap", w, re.I)})
    with open(os.path.join(out, "words.txt"), "w") as f:
        f.write("\n".join(ws))
    seen, lines = {}, []
    for pos in ("noun", "verb", "adj", "adv"):
        for line in open(f"/usr/share/wordnet/data.{pos}", encoding="utf-8"):
            if line.startswith("  ") or "|" not in line:
                continue
            gloss = line.split("|", 1)[1].split(";")[0].strip()
            for w in re.findall(r"[a-z]{2,12}", gloss):
                seen[w] = seen.get(w, 0) + 1
            if COARSE.search(gloss):
                continue
            if 18 <= len(gloss) <= 110 and re.fullmatch(r"[ -~]+", gloss) and "(" not in gloss and "`" not in gloss:
                lines.append(gloss)
    lines = sorted(set(lines), key=lambda s: zlib.crc32(s.encode()))[:16000]
    with open(os.path.join(out, "sentences.txt"), "w") as f:
        f.write("\n".join(lines))
    common = sorted(seen, key=lambda w: (-seen[w], w))[:3000]
    with open(os.path.join(out, "common.txt"), "w") as f:
        f.write("\n".join(common))


def sprites(out):
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont
    path = subprocess.run(["fc-match", "-f", "%{file}", "Noto Color Emoji"], capture_output=True, text=True).stdout
    font = ImageFont.truetype(path, 109)
    names, blobs = [], []
    for item in SPRITES.replace("\n", "").split(","):
        code, name = item.strip().split(" ", 1)
        if name in names:
            continue
        im = Image.new("RGBA", (136, 128), (0, 0, 0, 0))
        ImageDraw.Draw(im).text((0, 0), chr(int(code, 16)), font=font, embedded_color=True)
        box = im.getbbox()
        if box is None or box[2] - box[0] < 40:
            print("no sprite", name, file=sys.stderr)
            continue
        im = im.crop(box)
        k = 96 / max(im.size)
        im = im.resize((max(1, round(im.width * k)), max(1, round(im.height * k))), Image.LANCZOS)
        b = io.BytesIO()
        im.save(b, "PNG")
        names.append(name)
        blobs.append(np.frombuffer(b.getvalue(), np.uint8))
    np.savez(os.path.join(out, "sprites.npz"), names=np.array(names), sizes=np.array([len(b) for b in blobs]),
             data=np.concatenate(blobs))


# Folders of pictures, by what they show: photographs, screenshots, cut-out objects.
PICTURES = (("photo", "/usr/share/backgrounds", r"."), ("photo", "/usr/share/gimp/2.0/help/en/images", r"(examples/(?!render|map)|taj|tutorials/.*\.jpg|toolbox/.*\.jpg|using/.*\.jpg)"),
            ("screen", "/usr/share/gimp/2.0/help/en/images", r"(dialog|preferences/|menus/|tool-options/|prefs)"),
            ("object", "/usr/share/tuxpaint/stamps", r"/(animals|food|household|plants|clothes|hobbies|vehicles|monuments|seasonal|space|sports|people)/(?!.*cartoon)"))
LIMIT = {"photo": (260, 250, 45), "screen": (150, 380, 55), "object": (170, 150, 60)}      # how many, longest side, quality


def photos(out, root=""):
    """photos.npz: WebP pictures of the packages gimp-help-en, mate-backgrounds, ukui-wallpapers and tuxpaint-stamps-default."""
    import numpy as np
    from PIL import Image
    blobs, kinds = [], []
    for number, kind in enumerate(LIMIT):
        most, side, quality = LIMIT[kind]
        paths = []
        for k, folder, pattern in PICTURES:
            for at, _, names in os.walk(root + folder) if k == kind else ():
                paths += [p for p in (os.path.join(at, n) for n in names) if re.search(r"\.(png|jpe?g)$", p) and re.search(pattern, p)]
        paths.sort(key=lambda p: zlib.crc32(p[len(root):].encode()))
        for path in paths:
            if kinds.count(number) >= most:
                break
            try:
                im = Image.open(path)
                if min(im.size) < (60 if kind == "object" else 120) or max(im.size) > 6 * min(im.size):
                    continue
                im = im.convert("RGBA" if kind == "object" else "RGB")
            except (OSError, ValueError) as e:
                print("skip", path, e, file=sys.stderr)
                continue
            if kind == "photo" and max(im.size) > 1200:      # wallpapers: several windows of one
                parts = [im.crop((x * im.width // 3, y * im.height // 2, (x + 1) * im.width // 3, (y + 1) * im.height // 2)) for x in range(3) for y in range(2)]
            else:
                parts = [im]
            for part in parts:
                part.thumbnail((side, side), Image.LANCZOS)
                b = io.BytesIO()
                part.save(b, "WEBP", quality=quality)
                blobs.append(np.frombuffer(b.getvalue(), np.uint8))
                kinds.append(number)
    np.savez(os.path.join(out, "photos.npz"), kinds=np.array(kinds, np.uint8), sizes=np.array([len(b) for b in blobs]), data=np.concatenate(blobs))
    print({k: kinds.count(i) for i, k in enumerate(LIMIT)}, "pictures,", sum(map(len, blobs)), "bytes")


def libs(out):
    """libcairo and what it needs, for a machine that has none (found there through LD_LIBRARY_PATH)."""
    os.makedirs(out, exist_ok=True)
    lib = subprocess.run("ldconfig -p | awk '/libcairo.so.2 /{print $NF; exit}'", shell=True, capture_output=True,
                         text=True).stdout.strip()
    for line in subprocess.run(["ldd", lib], capture_output=True, text=True).stdout.split("\n") + [f"libcairo.so.2 => {lib} ("]:
        m = re.match(r"\s*(\S+) => (\S+) \(", line)
        if m and not re.match(r"lib(c|m|pthread|dl|rt|z)\.so", m[1]):
            with open(os.path.realpath(m[2]), "rb") as a, open(os.path.join(out, m[1]), "wb") as b:
                b.write(a.read())


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    listing = fonts(os.path.join(out, "fonts"))
    with open(os.path.join(out, "fonts.json"), "w") as f:
        json.dump(listing, f, indent=0)
    words(out)
    sprites(out)
    photos(out)
    libs(os.path.join(out, "lib"))
    print(len(listing), "fonts")


if __name__ == "__main__":
    main()
