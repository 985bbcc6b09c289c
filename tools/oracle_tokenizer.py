"""A tiny byte-level BPE tokenizer in the family's form (spec/nemotron-h.md 7.2 and 7.3)."""

import json

from tokenizers import Tokenizer

SPECIALS = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]", "[TOOL_CALLS]", "<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>", "<IMG_CONTEXT>",
            "<img>", "</img>", "<Image>", "</Image>", "<|im_start|>", "<|im_end|>"]
IMG_CONTEXT = SPECIALS.index("<IMG_CONTEXT>")

PRE_TOKENIZER = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+")

WORDS = ["Ġthe", "Ġimage", "Ġof", "Ġa", "What", "Ġis", "Ġin", "Describe", "Ġthis", "Ġpicture", "Ġand", "Ġchart"]
UNREACHABLE = "Ġword"       # in the vocabulary, but no merge leads to it: only ignore_merges finds it


def byte_alphabet():
    """GPT-2's byte -> character map, in byte order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(0x100 + others.index(b)) for b in range(256)]


def vocab_and_merges(n_vocab):
    """The specials, the 256 bytes, then merged tokens until the vocabulary is full."""
    tokens = SPECIALS + byte_alphabet()
    merges = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens and len(tokens) < n_vocab - 1:
                tokens.append(word[:end])
                merges.append([word[:end - 1], word[end - 1]])
    tokens.append(UNREACHABLE)
    return {token: i for i, token in enumerate(tokens)}, merges


def added_token(index, content):
    return {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}


def tokenizer_json(n_vocab, more_specials, with_bos):
    vocab, merges = vocab_and_merges(n_vocab)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PRE_TOKENIZER}, "behavior": "Isolated", "invert": False}
    bos = {"type": "TemplateProcessing",
           "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    added = [added_token(i, s) for i, s in enumerate(SPECIALS)] + [added_token(i, s) for s, i in more_specials.items()]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": bos if with_bos else byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": vocab, "merges": merges},
    }


def write_tokenizer(folder, c):
    """tokenizer.json and tokenizer_config.json; the chat forms prepend <s>, the native ones do not."""
    token, index = c.spelling.top.get("img_context_token"), c.spelling.top.get("img_context_token_id")
    content = tokenizer_json(c.lm.vocab, {token: index} if token else {}, with_bos=c.spelling.vision == "chat")
    text = json.dumps(content, ensure_ascii=False, indent=None, separators=(",", ":"))
    Tokenizer.from_str(text)            # refuses what the library would refuse
    (folder / "tokenizer.json").write_text(text + "\n")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
              "unk_token": "<unk>", "pad_token": "<unk>", "clean_up_tokenization_spaces": False,
              "add_bos_token": False, "add_eos_token": False, "model_max_length": 4096}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def open_tokenizer(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
