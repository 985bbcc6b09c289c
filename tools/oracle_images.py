"""Writes tests/vectors/images: small JPEG and PNG files and what Pillow makes of them.

main(out_dir) is called by tools/oracle.py. Every file has two expectations:

  hf       Image.open(file).convert("RGB")
  default  turned by ImageOps.exif_transpose, transparency pasted over white, 16-bit grey by its high byte

Where Pillow cannot be the judge of `default` (it compares the transparent colour of 16-bit RGB and of 2- and 4-bit
grey with samples of another depth), the alpha is computed here from the samples that were written, as the PNG
specification says.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, features
import PIL

BICUBIC = Image.Resampling.BICUBIC


class Random:
    """Knuth's MMIX generator, upper 31 bits; px_random of tests/unit/pixels.c."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 33


def crc(image):
    return zlib.crc32(image.tobytes())


# ---- Pictures ----------------------------------------------------------------------------------------------------


def scene(width, height, seed=0):
    """Smooth colours, a few edges, a little grain: what codecs are made for, and not symmetric in any way."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x / max(width, 16), y / max(height, 16)
    rgb = np.stack([255 * u, 255 * (1 - v), 128 + 100 * np.sin(6 * u + 9 * v)], -1)
    rgb[(x - width * 0.3) ** 2 + (y - height * 0.4) ** 2 < (min(width, height) * 0.22) ** 2] = (230, 40, 30)
    rgb[(x > width * 0.6) & (y > height * 0.55)] = (20, 60, 200)
    rgb += rng.normal(0, 4, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8)


# ---- PNG, written here because Pillow writes only some of its forms ------------------------------------------------


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed_rows(samples, depth):
    """samples [height, width, channels] -> filtered rows; every filter type takes its turn."""
    height, width, channels = samples.shape
    if depth == 16:
        raw = samples.astype(">u2").tobytes()
        stride = width * channels * 2
        rows = [raw[y * stride : (y + 1) * stride] for y in range(height)]
    elif depth == 8:
        rows = [samples[y].astype(np.uint8).tobytes() for y in range(height)]
    else:
        rows = []
        for y in range(height):
            bits = "".join(format(int(v), f"0{depth}b") for v in samples[y].ravel())
            bits += "0" * (-len(bits) % 8)
            rows.append(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))
    step = max(1, depth * channels // 8)
    out, before = b"", bytes(len(rows[0]) if rows else 0)
    for y, row in enumerate(rows):
        kind = y % 5
        line = bytearray()
        for i, value in enumerate(row):
            a = row[i - step] if i >= step else 0
            b = before[i]
            c = before[i - step] if i >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
        out += bytes([kind]) + bytes(line)
        before = row
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, color, *, interlace=False, palette=None, trns=None, before=(), after=()):
    height, width, _ = samples.shape
    parts = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7] if interlace else [samples]
    data = b"".join(packed_rows(p, depth) for p in parts if p.size)
    body = zlib.compress(data, 9)
    half = max(1, len(body) // 2)  # two IDAT chunks
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace))
    if palette is not None:
        out += chunk(b"PLTE", palette)
    if trns is not None:
        out += chunk(b"tRNS", trns)
    for name, content in before:
        out += chunk(name, content)
    out += chunk(b"IDAT", body[:half]) + chunk(b"IDAT", body[half:])
    for name, content in after:
        out += chunk(name, content)
    return out + chunk(b"IEND", b"")


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
NAMES = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "greyalpha", RGBA: "rgba"}
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def png_samples(color, depth, width, height, seed):
    rng = np.random.default_rng(seed)
    rgb = scene(width, height, seed).astype(np.float64) / 255
    alpha = np.clip(np.mgrid[0:height, 0:width][1] / (width - 1.0) * 1.2 - 0.1, 0, 1)[..., None]
    planes = {GREY: rgb[..., :1], RGB: rgb, GREY_ALPHA: np.concatenate([rgb[..., :1], alpha], -1),
              RGBA: np.concatenate([rgb, alpha], -1), PALETTE: rgb[..., :1]}[color]
    top = 2**depth - 1
    samples = np.rint(planes * top).astype(np.int64)
    if depth == 16 and color == GREY:
        samples[: height // 2] //= 200  # values below 256 too, where clipping and the high byte differ
    noise = rng.integers(0, 2, samples.shape) if depth > 1 else 0
    return np.clip(samples + noise, 0, top)


def exif(orientation, order="<", type_code=3):
    value = struct.pack(order + "H", orientation) + b"\0\0" if type_code == 3 else struct.pack(order + "I", orientation)
    entries = struct.pack(order + "HHI4s", 0x0100, 4, 1, struct.pack(order + "I", 7))
    entries += struct.pack(order + "HHI", 0x0112, type_code, 1) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", 2) + entries + b"\0\0\0\0"


def xmp(orientation):
    return (f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
            ).encode()


def raw_profile(data):
    data = b"Exif\0\0" + data
    lines = [data.hex()[i : i + 72] for i in range(0, len(data) * 2, 72)]
    return ("\nexif\n%8d\n" % len(data) + "\n".join(lines) + "\n").encode()


def over_white(rgba):
    image = Image.new("RGB", rgba.size, (255, 255, 255))
    image.paste(rgba, mask=rgba.getchannel("A"))
    return image


def default_pixels(data, alpha=None):
    """alpha: the true one, [height, width] u8, where Pillow's is not."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        grey = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        image.info.pop("transparency", None)
        image = grey
    if alpha is not None:
        image.info.pop("transparency", None)
        rgba = image.convert("RGB").convert("RGBA")
        rgba.putalpha(Image.fromarray(alpha))
        return over_white(rgba)
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        return over_white(image.convert("RGBA"))
    return image.convert("RGB")


# ---- The files ---------------------------------------------------------------------------------------------------


class Writer:
    def __init__(self, out_dir):
        self.dir = Path(out_dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.images = []

    def add(self, name, data, alpha=None, raw=False):
        (self.dir / name).write_bytes(data)
        entry = {"file": name}
        hf = Image.open(io.BytesIO(data)).convert("RGB")
        for key, image in (("default", default_pixels(data, alpha)), ("hf", hf)):
            entry[key] = {"width": image.width, "height": image.height, "crc32": crc(image)}
            if raw:
                raw_name = f"{Path(name).name}.{key}.rgb"
                (self.dir / raw_name).write_bytes(image.tobytes())
                entry[key]["raw"] = raw_name
        self.images.append(entry)


def jpeg(array, mode="RGB", **options):
    to = io.BytesIO()
    Image.fromarray(array).convert(mode).save(to, "JPEG", **{"quality": 85, **options})
    return to.getvalue()


def patched(data, marker, offset, value):
    """One byte of the first segment with this marker changed; offset counts from the marker."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return data[: at + offset] + bytes([value]) + data[at + offset + 1 :]


SOF0, SOF2, APP14 = 0xC0, 0xC2, 0xEE
FIRST_SAMPLING = 11  # marker, length, precision, height, width, count, id: then the sampling of component 1


def write_jpegs(w):
    for width, height in ((97, 61), (64, 48), (1, 1), (1, 37), (37, 1), (8, 9), (17, 16)):
        for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
            w.add(f"jpeg-{name}-{width}x{height}.jpg", jpeg(scene(width, height), subsampling=sampling),
                  raw=(width, height, name) == (17, 16, "420"))
    w.add("jpeg-grey.jpg", jpeg(scene(75, 50), "L"))
    for sampling in (0, 1, 2):
        w.add(f"jpeg-progressive-{sampling}.jpg", jpeg(scene(99, 66), progressive=True, subsampling=sampling))
    w.add("jpeg-progressive-grey.jpg", jpeg(scene(50, 41), "L", progressive=True))
    w.add("jpeg-restart.jpg", jpeg(scene(90, 70), restart_marker_blocks=3))
    w.add("jpeg-quality-30.jpg", jpeg(scene(80, 80), quality=30))
    w.add("jpeg-quality-100.jpg", jpeg(scene(60, 60), quality=100, subsampling=2))
    # The same blocks read as another layout: no encoder here writes 4:4:0 or 4:1:1.
    square = jpeg(scene(64, 64), subsampling=1)
    w.add("jpeg-440.jpg", patched(square, SOF0, FIRST_SAMPLING, 0x12))
    w.add("jpeg-411.jpg", patched(jpeg(scene(64, 64), subsampling=2), SOF0, FIRST_SAMPLING, 0x41))
    cmyk = jpeg(scene(61, 43), "CMYK")
    w.add("jpeg-cmyk.jpg", cmyk, raw=True)
    w.add("jpeg-ycck.jpg", patched(cmyk, APP14, 15, 2))
    # Adobe's marker may also say that three components are RGB.
    rgb = jpeg(scene(40, 30), subsampling=0, keep_rgb=True)
    w.add("jpeg-rgb.jpg", rgb)
    # damaged, and complete: libjpeg warns, Pillow takes it
    plain = jpeg(scene(97, 61), quality=90)
    middle = len(plain) * 2 // 3
    w.add("jpeg-damaged.jpg", plain[:middle] + b"\xff\xd3" + plain[middle + 2 :])

    picture = scene(36, 23)
    for orientation in range(1, 9):
        w.add(f"exif-{orientation}.jpg", jpeg(picture, exif=b"Exif\0\0" + exif(orientation)), raw=orientation == 6)
    w.add("exif-big-endian.jpg", jpeg(picture, exif=b"Exif\0\0" + exif(8, ">")))
    w.add("exif-long.jpg", jpeg(picture, exif=b"Exif\0\0" + exif(3, "<", 4)))
    w.add("exif-out-of-range.jpg", jpeg(picture, exif=b"Exif\0\0" + exif(9)))
    w.add("exif-progressive.jpg", jpeg(picture, exif=b"Exif\0\0" + exif(7), progressive=True))
    w.add("xmp-6.jpg", jpeg(picture, xmp=xmp(6)))
    w.add("xmp-beside-exif.jpg", jpeg(picture, exif=b"Exif\0\0" + exif(2), xmp=xmp(6)))


def write_pngs(w):
    width, height = 37, 26
    forms = [(GREY, d) for d in (1, 2, 4, 8, 16)] + [(PALETTE, d) for d in (1, 2, 4, 8)]
    forms += [(c, d) for c in (RGB, GREY_ALPHA, RGBA) for d in (8, 16)]
    for color, depth in forms:
        samples = png_samples(color, depth, width, height, depth * 7 + color)
        rng = np.random.default_rng(depth)
        palette = rng.integers(0, 256, 3 * 2**depth, dtype=np.uint8).tobytes() if color == PALETTE else None
        for interlace in (False, True):
            name = f"png-{NAMES[color]}-{depth}{'-adam7' if interlace else ''}.png"
            w.add(name, png(samples, depth, color, interlace=interlace, palette=palette),
                  raw=(color, depth, interlace) in ((RGBA, 8, False), (GREY, 16, True)))
        if color == GREY:
            key = int(samples[height // 2, width // 2, 0])
            alpha = np.where(samples[..., 0] == key, 0, 255).astype(np.uint8)
            w.add(f"png-grey-{depth}-trns.png", png(samples, depth, GREY, trns=struct.pack(">H", key)), alpha)
        elif color == RGB:
            key = samples[3, 5]
            if depth == 16:
                samples[4, 5] = key ^ (1, 0, 0)  # equal in the high bytes, so not transparent
            alpha = np.where((samples == key).all(-1), 0, 255).astype(np.uint8)
            w.add(f"png-rgb-{depth}-trns.png", png(samples, depth, RGB, trns=struct.pack(">3H", *map(int, key))),
                  alpha if depth == 16 else None)
        elif color == PALETTE:
            some = bytes((0, 77, 255, 180)[: 2**depth])
            w.add(f"png-palette-{depth}-trns.png", png(samples, depth, PALETTE, palette=palette, trns=some))
    few = png_samples(PALETTE, 8, width, height, 5)
    w.add("png-palette-short.png", png(few, 8, PALETTE, palette=bytes(range(3 * 40))))
    rgb8 = png_samples(RGB, 8, 21, 16, 9)
    w.add("png-exif-6.png", png(rgb8, 8, RGB, before=[(b"eXIf", exif(6))]))
    w.add("png-exif-behind.png", png(rgb8, 8, RGB, after=[(b"eXIf", exif(5, ">"))]))
    w.add("png-xmp-8.png", png(rgb8, 8, RGB, before=[(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(8))]))
    w.add("png-raw-profile-3.png",
          png(rgb8, 8, RGB, before=[(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(exif(3))))]))
    w.add("png-gamma-ignored.png",
          png(rgb8, 8, RGB, before=[(b"gAMA", struct.pack(">I", 100000)), (b"sBIT", b"\5\5\5"), (b"bKGD", bytes(6))]))
    for width, height in ((1, 1), (1, 300), (300, 1), (3, 350), (350, 3)):
        samples = png_samples(RGB, 8, max(width, 2), max(height, 2), 11)[:height, :width]
        w.add(f"png-{width}x{height}.png", png(samples, 8, RGB))
        w.add(f"png-{width}x{height}-adam7.png", png(samples, 8, RGB, interlace=True))


# ---- Files that must be refused, or taken with a warning ---------------------------------------------------------


def jpeg_header(width, height, sof=SOF0, precision=8, components=3):
    parts = b"".join(bytes((i + 1, 0x11, 0)) for i in range(components))
    frame = struct.pack(">BHHB", precision, height, width, components) + parts
    return b"\xff\xd8\xff" + bytes([sof]) + struct.pack(">H", len(frame) + 2) + frame


def png_header(width, height, depth=8, color=RGB):
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)


def repeat_last_scan(data, n):
    """A progressive file whose last scan comes n times more: many passes over few bytes."""
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * n + data[-2:]


def write_hostile(w):
    """[file, status, words of the message]; status OK means decoded, with `words` in a warning (or none)."""
    out = []

    def add(name, data, status, words=""):
        (w.dir / name).write_bytes(data)
        out.append({"file": name, "status": status, "says": words})

    good_jpeg = jpeg(scene(97, 61), quality=80)
    progressive = jpeg(scene(48, 32), progressive=True)
    rgb = png_samples(RGB, 8, 40, 30, 3)
    good_png = png(rgb, 8, RGB)
    idat = good_png.index(b"IDAT")
    exif_at = b"Exif\0\0"

    # decompression bombs and sides of zero
    add("bad-bomb.png", png_header(60000, 60000), "LIMIT", "3600000000 pixels; the limit is 134217728")
    add("bad-side.png", png_header(70000, 1), "LIMIT", "70000 x 1 pixels; the limit is 65500 on a side")
    add("bad-bomb.jpg", jpeg_header(65000, 65000) + b"\xff\xda", "LIMIT", "4225000000 pixels")
    add("bad-zero-width.png", png_header(0, 10), "FORMAT", "must be at least 1")
    add("bad-zero-height.png", png_header(10, 0), "FORMAT", "must be at least 1")
    add("bad-zero-width.jpg", jpeg_header(0, 10), "FORMAT", "must be at least 1")
    add("bad-zero-height.jpg", jpeg_header(10, 0), "FORMAT", "must be at least 1")
    # truncated
    for part in (3, 20, 200, len(good_jpeg) * 2 // 3, len(good_jpeg) - 40):
        add(f"bad-truncated-{part}.jpg", good_jpeg[:part], "FORMAT", "truncated")
    add("bad-truncated-progressive.jpg", progressive[: len(progressive) * 3 // 4], "FORMAT", "truncated")
    for part in (8, 20, 33, len(good_png) * 2 // 3):
        add(f"bad-truncated-{part}.png", good_png[:part], "FORMAT", "truncated")
    # damaged
    add("bad-damaged.jpg", (w.dir / "jpeg-damaged.jpg").read_bytes(), "OK", "damaged but complete")
    add("bad-no-frame.jpg", b"\xff\xd8\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9", "FORMAT", "JPEG")
    add("bad-no-scan.jpg", jpeg_header(10, 10) + b"\xff\xd9", "FORMAT", "JPEG")
    add("bad-two-components.jpg", jpeg_header(10, 10, components=2) + b"\xff\xda\0\x0a\2\1\0\2\0\0\x3f\0\xff\xd9", "UNSUPPORTED",
        "2 components")
    add("bad-crc.png", good_png[: idat + 20] + b"\x55" + good_png[idat + 21 :], "FORMAT", "PNG")
    add("bad-no-end.png", good_png[:-12], "OK", "after its last row")
    add("bad-depth.png", png_header(10, 10, depth=3), "FORMAT", "bit depth combination")
    add("bad-color.png", png_header(10, 10, color=5), "FORMAT", "Invalid color type")
    add("bad-no-palette.png", png(png_samples(PALETTE, 8, 8, 8, 1), 8, PALETTE), "FORMAT", "PLTE")
    add("bad-no-data.png", png_header(10, 10) + chunk(b"IEND", b""), "FORMAT", "PNG")
    add("bad-header-second.png", good_png[:8] + chunk(b"prVt", b"abc") + good_png[8:], "FORMAT", "not the first chunk")
    # kinds of JPEG that are not read
    add("bad-12-bit.jpg", jpeg_header(16, 16, 0xC1, 12), "UNSUPPORTED", "12 bits per sample")
    add("bad-lossless.jpg", jpeg_header(16, 16, 0xC3), "UNSUPPORTED", "lossless")
    add("bad-hierarchical.jpg", jpeg_header(16, 16, 0xC5), "UNSUPPORTED", "hierarchical")
    add("bad-arithmetic.jpg", jpeg_header(16, 16, 0xC9), "UNSUPPORTED", "arithmetic")
    # a scan bomb
    add("bad-scans.jpg", repeat_last_scan(progressive, 520), "LIMIT", "more than 500 scans")
    # bombs and freight in other chunks
    add("bad-text-bomb.png",
        png(rgb, 8, RGB, before=[(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(30 << 20), 9))]), "OK")
    add("bad-profile-bomb.png",
        png(rgb, 8, RGB, before=[(b"iCCP", b"p\0\0" + zlib.compress(bytes(20 << 20), 9))]), "OK")
    add("bad-many-chunks.png", png(rgb, 8, RGB, before=[(b"tEXt", b"k\0v")] * 300), "OK")
    add("bad-private-chunk.png", png(rgb, 8, RGB, before=[(b"prVt", bytes(3000))]), "OK")
    # metadata that lies: never an error, never a turn
    for name, data in (("empty", b""), ("short", b"II*\0\x08\0"), ("order", b"XX" + exif(6)[2:]),
                       ("offset", b"II*\0\xff\xff\xff\xff"), ("entries", exif(6)[:8] + b"\xff\xff" + bytes(12)),
                       ("cut", exif(6)[:20]), ("type", exif(6)[:24] + b"\x63" + exif(6)[25:]),
                       ("count", exif(6)[:26] + b"\xff\xff\xff\x7f" + exif(6)[30:])):
        add(f"bad-exif-{name}.jpg", jpeg(scene(20, 12), exif=exif_at + data), "OK")
    # an animation shows its first frame
    frame = struct.pack(">IIIIIHHBB", 0, 40, 30, 0, 0, 1, 10, 0, 0)
    later = struct.pack(">IIIIIHHBB", 1, 40, 30, 0, 0, 1, 10, 0, 0)
    other = zlib.compress(packed_rows(255 - rgb, 8))
    add("bad-animated.png",
        png(rgb, 8, RGB, before=[(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", frame)],
            after=[(b"fcTL", later), (b"fdAT", struct.pack(">I", 2) + other)]), "OK")
    # other formats, by name
    for name, data in (("GIF", b"GIF89a\1\0\1\0\0\0\0;"), ("WebP", b"RIFF\x1a\0\0\0WEBPVP8L"), ("TIFF", b"II*\0\x08\0\0\0"),
                       ("BMP", b"BM\x46\0\0\0"), ("PDF", b"%PDF-1.7\n"), ("SVG", b'<?xml version="1.0"?>\n<svg/>'),
                       ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0"), ("AVIF", b"\0\0\0\x1cftypavif"),
                       ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"), ("JPEG XL", b"\xff\x0a\0"), ("PNM", b"P6\n1 1\n255\n"),
                       ("ICO", b"\0\0\1\0\1\0"), ("Photoshop", b"8BPS\0\1")):
        add(f"bad-{name.replace(' ', '').lower()}.bin", data, "UNSUPPORTED", f"{name} file")
    add("bad-empty.bin", b"", "FORMAT", "empty")
    add("bad-text.bin", b"hello, world\n", "FORMAT", "begin with 68 65 6c 6c")
    add("bad-one-byte.bin", b"\x89", "FORMAT", "begin with 89;")
    return out


# ---- Grid, resize, tiles ---------------------------------------------------------------------------------------------


def pick_grid(width, height, size, lo, hi):
    candidates = sorted((i * j, i, j) for i in range(1, hi + 1) for j in range(1, hi + 1) if lo <= i * j <= hi)
    aspect, best, nearest = width / height, (1, 1), float("inf")
    for area, i, j in candidates:
        distance = abs(aspect - i / j)
        if distance < nearest:
            nearest, best = distance, (i, j)
        elif distance == nearest and width * height > 0.5 * size * size * area:
            best = (i, j)
    return best


def grid_crc(n):
    random, out = Random(1), bytearray()
    for _ in range(n):
        lo = 1 + random() % 4
        hi = lo + random() % 37
        size = (448, 512, 56)[random() % 3]
        limit = (40, 700, 5000)[random() % 3]
        width = 1 + random() % limit
        height = 1 + random() % limit
        out += bytes(pick_grid(width, height, size, lo, hi))
    return zlib.crc32(out)


def resize_crcs(n):
    def side():
        value = random()
        return 1 + value % (4, 20, 90, 400)[random() % 4]

    random, out = Random(2), []
    for i in range(n):
        width, height, to_width, to_height = side(), side(), side(), side()
        values = (random() for _ in range(width * height * 3))
        data = bytes((v & 1) * 255 for v in values) if i % 2 else bytes(v & 255 for v in values)
        picture = Image.frombytes("RGB", (width, height), data)
        out.append(crc(picture.resize((to_width, to_height), BICUBIC)))
    return out


def columns_first(order, width, height, to_width, to_height):
    if order == "pillow-13":
        return height > to_height and height - to_height > 2 * (width - to_width)
    return order == "pillow-12.2" and height > 100 * width and height > to_height


def resized(image, width, height, order):
    """Any order of passes out of calls that change one side each."""
    if columns_first(order, image.width, image.height, width, height):
        return image.resize((image.width, height), BICUBIC).resize((width, height), BICUBIC)
    return image.resize((width, image.height), BICUBIC).resize((width, height), BICUBIC)


def tile_vectors(w):
    """All tiles of some of the files, thumbnail last, in both parities and all orders of passes."""
    out = []
    for name in ("jpeg-420-97x61.jpg", "jpeg-progressive-2.jpg", "exif-6.jpg", "png-rgba-8.png", "png-3x350.png",
                 "png-350x3.png", "png-1x1.png", "png-1x300.png", "png-grey-16.png", "jpeg-cmyk.jpg"):
        data = (w.dir / name).read_bytes()
        for parity in ("default", "hf"):
            image = default_pixels(data) if parity == "default" else Image.open(io.BytesIO(data)).convert("RGB")
            for order in ("pillow-13", "pillow-12.2", "pillow-9"):
                size = 56 if order != "pillow-13" else 448
                columns, rows = pick_grid(image.width, image.height, size, 1, 12)
                canvas = resized(image, size * columns, size * rows, order)
                if order == "pillow-13":
                    assert canvas.tobytes() == image.resize(canvas.size, BICUBIC).tobytes()
                tiles = [canvas.crop((size * (t % columns), size * (t // columns),
                                      size * (t % columns + 1), size * (t // columns + 1)))
                         for t in range(columns * rows)]
                if len(tiles) > 1:
                    tiles.append(resized(image, size, size, order))
                out.append({"file": name, "parity": parity, "order": order, "size": size, "columns": columns,
                            "rows": rows, "n_tiles": len(tiles), "crc32": zlib.crc32(b"".join(t.tobytes() for t in tiles))})
    return out


def main(out_dir):
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    w = Writer(out_dir)
    write_jpegs(w)
    write_pngs(w)
    n_grids = 10000
    manifest = {
        "pillow": PIL.__version__,
        "libjpeg_turbo": features.version("libjpeg_turbo"),
        "zlib": features.version("zlib"),
        "images": w.images,
        "hostile": write_hostile(w),
        "tiles": tile_vectors(w),
        "grid": {"n": n_grids, "crc32": grid_crc(n_grids)},
        "resize": {"random_crc32": resize_crcs(60)},
    }
    text = json.dumps(manifest, indent=1)
    (w.dir / "manifest.json").write_text(text + "\n")


if __name__ == "__main__":
    import sys

    main(sys.argv[1])
