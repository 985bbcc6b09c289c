"""Vectors of the tokenizer and the prompt formats: small tokenizers of every form, and what Hugging Face's library and
Jinja make of hard text with them.

Special tokens in a user's text: the library can look for all added tokens or, with encode_special_tokens, for those that
are not special. Ours can also look for none. So "ids" is the library's answer, and "plain" that of a copy of the tokenizer
without added tokens; "plain" is left out where both are the same.
"""

import json
import random
import unicodedata
import zlib

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

import oracle_chat
from oracle_text_samples import DECLARATION, HARD, code_lines

FAMILY_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+")
OTHER_PATTERN = (       # a pattern of another family: it goes through PCRE2
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

MISTRAL_NAMES = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
                 "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]"]
CHATML_NAMES = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>",
                "</tool_response>", "<SPECIAL_18>", "<img>", "</img>", "<IMG_CONTEXT>"]
NOT_SPECIAL = {"<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"}
VLM_NAMES = (["<unk>", "<s>", "</s>"] + [f"<unused_{i}>" for i in range(3, 10)]
             + ["<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>", "<unused_13>", "<unused_14>", "<unused_15>", "<Image>",
                "</Image>", "<image>"] + [f"<tile_{i:02}>" for i in range(1, 13)] + ["<tile_global_thumbnail>"])

N_BLOCKS, BLOCK = 100, 100
SEED = 20250404


def byte_alphabet():
    """GPT-2's byte -> character map, in byte order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(0x100 + others.index(b)) for b in range(256)]


def corpus():
    """Text that is the same everywhere: sample sentences, character names, made-up code."""
    names = [unicodedata.name(chr(c), "").lower() for c in range(0x20, 0x3000)]
    names = [n for n in names if n]
    lines = [" ".join(names[i:i + 9]).capitalize() + "." for i in range(0, len(names), 9)]
    return lines + DECLARATION * 40 + code_lines(2000)


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split_then_bytes(pattern):
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level(False)]}


def template(before, after, ids):
    def special(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}
    single = [*map(special, before), {"Sequence": {"id": "A", "type_id": 0}}, *map(special, after)]
    return {"type": "TemplateProcessing", "single": single,
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {n: {"id": n, "ids": [ids[n]], "tokens": [n]} for n in before + after}}


def added(index, content, special=True, **flags):
    return {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": special} | flags


def train(n_merged, pre_tokenizer):
    """The merged tokens, in the order of their making."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=256 + n_merged, initial_alphabet=byte_alphabet(), show_progress=False)
    t.train_from_iterator(corpus(), trainer)
    return [m if isinstance(m, tuple) else tuple(m) for m in json.loads(t.to_str())["model"]["merges"]]


def every_split(tokens):
    """Merges as a vocabulary converted from token ranks has them: each way to put a token together from two."""
    rank = {t: i for i, t in enumerate(tokens)}
    merges = []
    for token in tokens:
        halves = [(token[:i], token[i:]) for i in range(1, len(token))]
        merges += sorted(((a, b) for a, b in halves if a in rank and b in rank), key=lambda p: (rank[p[0]], rank[p[1]]))
    return merges


def tokenizer(names, merges, pre_tokenizer, post_processor, *, arrays, ignore_merges, bytes_=None, unk=None, fuse=False,
              added_tokens=None):
    alphabet = bytes_ if bytes_ is not None else byte_alphabet()
    tokens = list(dict.fromkeys(names + alphabet + [a + b for a, b in merges]))
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": added_tokens or [added(i, n, n not in NOT_SPECIAL) for i, n in enumerate(names)],
        "normalizer": None, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
        "decoder": byte_level(True),
        "model": {"type": "BPE", "dropout": None, "unk_token": unk, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": fuse, "byte_fallback": False, "ignore_merges": ignore_merges,
                  "vocab": {t: i for i, t in enumerate(tokens)},
                  "merges": [list(m) if arrays else f"{m[0]} {m[1]}" for m in merges]},
    }


def make_tokenizers():
    """name -> (tokenizer.json, tokenizer_config.json)"""
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(FAMILY_PATTERN), "isolated"),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    learned = train(1800, split)
    alphabet = byte_alphabet()
    tokens = alphabet + [a + b for a, b in learned]
    family_names = MISTRAL_NAMES + [f"<SPECIAL_{i}>" for i in range(10, 30)]
    chatml_names = MISTRAL_NAMES + CHATML_NAMES
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, "bos_token": "<s>",
              "eos_token": "</s>", "unk_token": "<unk>"}

    odd = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>"), added(3, "<mask>", lstrip=True),
           added(4, "<right>", rstrip=True), added(5, "word", False, single_word=True, normalized=True),
           added(6, "wordy", False, normalized=True), added(7, "<both>", lstrip=True, rstrip=True, normalized=True),
           added(8, "<far>", False)]
    odd_names = [a["content"] for a in odd]
    lacking = [c for c in alphabet if c not in "Q~ĊÐ"]
    few = [m for m in learned[:400] if not set("".join(m)) & set("Q~ĊÐ")]
    n_odd = len(odd_names) + len(lacking) + len(few)        # these two are in no model's vocabulary
    odd += [added(n_odd, "naïve", False), added(n_odd + 1, "été", False, single_word=True)]
    ids = {n: i for i, n in enumerate(odd_names)}
    both = {"type": "Sequence", "processors": [byte_level(True), template(["<s>"], ["</s>", "<s>"], ids)]}

    ids_1 = {"<s>": 1}
    return {
        "family": (tokenizer(family_names, every_split(tokens), split_then_bytes(FAMILY_PATTERN),
                             template(["<s>"], [], ids_1), arrays=True, ignore_merges=True), config),
        "chatml": (tokenizer(chatml_names, learned[:1200], split_then_bytes(FAMILY_PATTERN), byte_level(True),
                             arrays=False, ignore_merges=True), config | {"eos_token": {"content": "<|im_end|>"}}),
        "vlm": (tokenizer(VLM_NAMES, learned[:900], split_then_bytes(FAMILY_PATTERN), template(["<s>"], [], ids_1),
                          arrays=True, ignore_merges=True), config),
        "gpt2": (tokenizer(odd_names, few, byte_level(True), both, arrays=False, ignore_merges=False, bytes_=lacking,
                           unk="<unk>", added_tokens=odd), config),
        "other": (tokenizer(["<unk>", "<s>", "</s>"], few, split_then_bytes(OTHER_PATTERN), None, arrays=True,
                            ignore_merges=False, bytes_=lacking, unk="<unk>", fuse=True), None),
    }


class SplitMix:
    """The generator that the C test has too."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        return (z ^ z >> 31) % n


COMMON = " \t\n\r  aAbBzZéÉßǅʰ中あ0 5٣½!./'\"\\/<>_-#@\u00a0\u2028\u3000\u0301ⅷ😀\u200dthe"


def assigned_ranges():
    """Code points that Unicode 14 has assigned, private use and surrogates left out."""
    assert unicodedata.unidata_version == "14.0.0"
    ranges = []
    for c in range(0x110000):
        if unicodedata.category(chr(c)) in ("Cn", "Co", "Cs"):
            continue
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def random_string(mix, points):
    n = 1 + mix.below(40)
    return "".join(chr(points[mix.below(len(points))]) if mix.below(4) == 0 else COMMON[mix.below(len(COMMON))]
                   for _ in range(n))


def crc_of(ids, crc):
    return zlib.crc32(b"".join(i.to_bytes(4, "little") for i in ids), crc)


def blocks(t, points):
    """One CRC-32 of the ids of each 100 random strings; block k begins from seed SEED + k."""
    crcs = []
    for k in range(N_BLOCKS):
        mix, crc = SplitMix(SEED + k), 0
        for _ in range(BLOCK):
            crc = crc_of(t.encode(random_string(mix, points), add_special_tokens=False).ids, crc)
        crcs.append(crc)
    return crcs


def cases(t, plain):
    out = []
    for text in HARD:
        case = {"text": text, "ids": t.encode(text, add_special_tokens=False).ids}
        without = plain.encode(text, add_special_tokens=False).ids
        if without != case["ids"]:
            case["plain"] = without
        out.append(case)
    return out


def decodings(t, n):
    r = random.Random(SEED)
    vocab = t.get_vocab_size()
    lists = [t.encode(text, add_special_tokens=True).ids for text in HARD[:40:4]]
    lists += [[r.randrange(vocab) for _ in range(r.randrange(1, 12))] for _ in range(n)]
    made = [{"ids": ids, "text": t.decode(ids, skip_special_tokens=False),
             "skipped": t.decode(ids, skip_special_tokens=True)} for ids in lists]
    return [m for m in made if "\0" not in m["text"]]        # which our JSON reader refuses


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main(out_dir):
    ranges = assigned_ranges()
    points = [c for first, last in ranges for c in range(first, last + 1)]
    write_json(out_dir / "random.json", {"seed": SEED, "blocks": N_BLOCKS, "strings": BLOCK, "common": COMMON,
                                         "assigned": ranges})
    made = make_tokenizers()
    for name, (content, config) in made.items():
        folder = out_dir / name
        folder.mkdir()
        write_json(folder / "tokenizer.json", content)
        if config:
            write_json(folder / "tokenizer_config.json", config)
        t = Tokenizer.from_str(json.dumps(content))
        plain = Tokenizer.from_str(json.dumps(content | {"added_tokens": []}))
        framed = t.encode("framed", add_special_tokens=True).ids
        write_json(folder / "expected.json", {"n_vocab": max(t.get_vocab().values()) + 1, "framed": framed,
                                              "cases": cases(t, plain), "decodings": decodings(t, 20),
                                              "crc": blocks(t, points)})
    oracle_chat.main(out_dir, {n: c for n, (c, _) in made.items()})
