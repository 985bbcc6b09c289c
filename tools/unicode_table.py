"""Writes lm/unicode.c: the character classes that the pre-tokenizer needs, of every code point.

The classes are read out of the tokenizers library itself (its regular expressions carry their own Unicode tables, newer
than Python's), so that our scanner knows the characters the reference knows. Run: python tools/unicode_table.py
"""

import pathlib
import unicodedata

import tokenizers
from tokenizers import Regex, pre_tokenizers

BLOCK = 128
CLASSES = {                       # in the order of the bits of lm/unicode.h
    "UPPER": r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    "LOWER": r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    "LETTER": r"\p{L}",
    "NUMBER": r"\p{N}",
    "SPACE": r"\s",
    "WORD": r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]",
}


def members(pattern):
    """The code points that a one-character pattern matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for low in range(0, 0x110000, 0x1000):
        points = [c for c in range(low, low + 0x1000) if not 0xD800 <= c < 0xE000]
        if not points:
            continue
        kept = set()
        for _, (begin, end) in split.pre_tokenize_str("".join(map(chr, points))):
            kept.update(range(begin, end))
        found.update(c for i, c in enumerate(points) if i not in kept)
    return found


def check_against_python(letters, numbers):
    """Assigned code points must agree with Python's older tables; only newer ones may differ."""
    for c in range(0x110000):
        category = unicodedata.category(chr(c))
        if category not in ("Cn", "Cs"):
            assert (category[0] == "L") == (c in letters) and (category[0] == "N") == (c in numbers), hex(c)


def rows(values, per_line):
    for i in range(0, len(values), per_line):
        yield "    " + " ".join(f"{v}," for v in values[i:i + per_line])


def main():
    sets = [members(p) for p in CLASSES.values()]
    check_against_python(sets[2], sets[3])
    flags = [sum((c in s) << bit for bit, s in enumerate(sets)) for c in range(0x110000)]
    blocks, index = {}, []
    for low in range(0, 0x110000, BLOCK):
        index.append(blocks.setdefault(tuple(flags[low:low + BLOCK]), len(blocks)))
    assert len(blocks) <= 0xFFFF
    lines = [
        "/* lm/unicode.c: character classes, written by tools/unicode_table.py; do not edit.",
        " *",
        f" * Read out of tokenizers {tokenizers.__version__}.",
        " */",
        '#include "lm/unicode.h"',
        "",
        "/* clang-format off */",
        f"const uint16_t tsr_unicode_block[{len(index)}] = {{",
        *rows(index, 24),
        "};",
        "",
        f"const uint8_t tsr_unicode_flags[{len(blocks) * BLOCK}] = {{",
        *rows([f for block in blocks for f in block], 32),
        "};",
    ]
    path = pathlib.Path(__file__).resolve().parent.parent / "lm" / "unicode.c"
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
