"""The picture of `tessera bench --headline --json`: out.json in, docs/headline.svg out.

    tools/headline.py headline.json docs/headline.svg

Only Python itself is needed.
"""
import json
import math
import sys

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 70, 60
COLOURS = {"hybrid": "#1b7f4d", "Transformer": "#8a5a9e"}


def text(x, y, words, size=13, anchor="start", colour="#222", weight="normal"):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{words}</text>')


def line(x1, y1, x2, y2, colour, width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def step_of(top):
    """A round distance of grid lines: about six of them below `top`."""
    rough = top / 6
    power = 10 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough)


def draw(models):
    most = max(m["batch"] for m in models)
    top = 1.1 * max(p["per_second"] for m in models for p in m["points"])
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x_of(batch):
        return LEFT + wide * math.log(batch) / math.log(most)

    def y_of(rate):
        return TOP + high * (1 - rate / top)

    first = models[0]
    device = first["backend"].partition("(")[2].partition(",")[0] or first["backend"]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(LEFT, 28, f'{first["tokens_in"]:,} tokens in, {first["tokens_out"]:,} out', 17, weight="bold"),
           text(LEFT, 48, f'output tokens per second, {first["weights"]} weights, {device}', 13, colour="#555")]
    grid = step_of(top)
    for i in range(int(top / grid) + 1):
        y = y_of(i * grid)
        out += [line(LEFT, y, LEFT + wide, y, "#ddd"), text(LEFT - 8, y + 4, f"{i * grid:g}", 12, "end", "#555")]
    for batch in [4**i for i in range(8) if 4**i < most / 1.5] + [most]:
        out.append(text(x_of(batch), HEIGHT - BOTTOM + 20, f"{batch}", 12, "middle", "#555"))
    out.append(text(LEFT + wide / 2, HEIGHT - 18, "sequences at once", 13, "middle", "#555"))
    for m in models:
        colour = COLOURS.get(m["headline"], "#444")
        points = [(x_of(p["batch"]), y_of(p["per_second"])) for p in m["points"]]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points]
        x, y = points[-1]
        out += [text(x + 10, y + 1, f'{m["headline"]}: {m["per_second"]:.0f}/s', 14, colour=colour, weight="bold"),
                text(x + 10, y + 18, f'{m["batch"]} at once, {m["bytes_per_sequence"] / 1e9:.2f} GB each', 12,
                     colour="#555")]
    ratio = models[0]["per_second"] / models[1]["per_second"]
    out.append(text(WIDTH - 24, 28, f"{ratio:.1f}x", 22, "end", COLOURS["hybrid"], "bold"))
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        models = [m for m in json.load(file) if "headline" in m]
    if len(models) != 2:
        sys.exit(f"{sys.argv[1]}: {len(models)} models were found, two are wanted")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(draw(models))


main()
