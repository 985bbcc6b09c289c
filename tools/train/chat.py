"""The tokenizer and the prompt layout, both frozen: weights are worthless under another one.

    python chat.py tokenizer.json      trains the merges and writes the file (done once)

Layout (Nemotron-H reasoning template with NVLM image framing):

    <SPECIAL_10>System\\n{system}\\n<SPECIAL_11>User\\n{<Image>(tag rows)...</Image>\\n}{question}\\n<SPECIAL_11>Assistant\\n{answer}

An answer ends with id 2, which is not written into the history: the next turn begins with \\n<SPECIAL_11>. No merge
contains a newline, so tokenising the parts one by one equals tokenising the whole.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EOS, SYS, TURN, IMG0, IMG1, PLACE, TILE1, THUMB = 2, 10, 11, 16, 17, 18, 19, 31
ROWS = 64
VOCAB = 2048
PATTERN = ("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
           "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
           "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
SPECIAL = (["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]"]
           + [f"<SPECIAL_{i}>" for i in range(10, 16)] + ["<Image>", "</Image>", "<image>"] + [f"<tile_{i:02d}>" for i in range(1, 13)] + ["<tile_global_thumbnail>"])
TEMPLATE = ("{{- '<SPECIAL_10>System\\n' }}{%- if messages and messages[0]['role'] == 'system' %}{{- messages[0]['content'].strip() }}{%- endif %}"
            "{%- for message in messages %}{%- if message['role'] == 'user' %}{{- '\\n<SPECIAL_11>User\\n' + message['content'].strip() + '\\n<SPECIAL_11>Assistant\\n' }}"
            "{%- elif message['role'] == 'assistant' %}{{- message['content'].strip() }}{%- endif %}{%- endfor %}"
            "{%- if messages and messages[-1]['role'] == 'user' and messages[0]['role'] == 'system' %}"
            "{%- if \"{'reasoning': True}\" in messages[0]['content'] %}{{- '<think>\\n' }}"
            "{%- elif \"{'reasoning': False}\" in messages[0]['content'] %}{{- '<think></think>' }}{%- endif %}{%- endif %}")


def byte_chars():
    keep = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    out, n = {}, 0
    for b in range(256):
        if b in keep:
            out[b] = chr(b)
        else:
            out[b] = chr(0x100 + n)
            n += 1
    return out


def build(texts, path):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre
    chars = byte_chars()
    t.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=VOCAB - 288 + 256 + 400, initial_alphabet=list(chars.values()), show_progress=False, min_frequency=2))
    merges = json.loads(t.to_str())["model"]["merges"]
    vocab = {s: i for i, s in enumerate(SPECIAL)}
    for b in range(256):
        vocab[chars[b]] = 32 + b
    kept = []
    for a, b in merges:
        if len(vocab) == VOCAB:
            break
        if chars[10] in a + b or chars[13] in a + b or a not in vocab or b not in vocab or a + b in vocab:
            continue
        vocab[a + b] = len(vocab)
        kept.append([a, b])
    assert len(vocab) == VOCAB, len(vocab)
    doc = {"version": "1.0", "truncation": None, "padding": None,
           "added_tokens": [dict(id=i, content=s, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for i, s in enumerate(SPECIAL)],
           "normalizer": None,
           "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
               {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
               {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
           "post_processor": {"type": "TemplateProcessing",
                              "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                              "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                              "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
           "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
           "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                     "byte_fallback": False, "ignore_merges": True, "vocab": vocab, "merges": kept}}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(doc, f, ensure_ascii=False, indent=0)


class Coder:
    """Text to ids, with and without dropped merges, and whole conversations to ids and targets."""

    def __init__(self, path=os.path.join(HERE, "tokenizer.json")):
        from tokenizers import Tokenizer
        self.plain = Tokenizer.from_file(path)
        with open(path, encoding="utf-8") as f:
            d = json.load(f)
        d["model"]["dropout"], d["model"]["ignore_merges"] = 0.1, False
        self.drop = Tokenizer.from_str(json.dumps(d))
        e = self.ids
        self.system, self.user, self.assistant, self.nl = e("System\n"), e("User\n"), e("Assistant\n"), e("\n")
        self.cache = {}

    def ids(self, s, drop=False):
        return (self.drop if drop else self.plain).encode(s, add_special_tokens=False).ids

    def cached(self, s):
        out = self.cache.get(s)
        if out is None:
            out = self.ids(s)
            if len(self.cache) < 20000:
                self.cache[s] = out
        return out

    def text(self, ids):
        return self.plain.decode(ids, skip_special_tokens=True)

    def image(self, n_tiles):
        """Ids of an image of n tiles; the place of row k of tile i is PLACE."""
        out = [IMG0]
        for i in range(n_tiles):
            out.append(THUMB if i == n_tiles - 1 else TILE1 + i)
            out += [PLACE] * ROWS
        return out + [IMG1]

    def prompt(self, n_tiles, question, system="", newline=True):
        """The ids up to where the first answer begins."""
        out = [SYS] + self.system + (self.cached(system) if system else []) + self.nl + [TURN] + self.user
        if n_tiles:
            out += self.image(n_tiles) + (self.nl if newline else [])
        return out + self.cached(question) + self.nl + [TURN] + self.assistant

    def follow(self, question):
        """The ids from the end of one answer to the beginning of the next."""
        return self.nl + [TURN] + self.user + self.cached(question) + self.nl + [TURN] + self.assistant

    def dialogue(self, n_tiles, turns, limit, system="", newline=True, bos=False, keep_eos=False, drop=False):
        """(ids, targets, spans): targets are -1 except where an answer is to be predicted; turns that do not fit are left out."""
        ids, tgt, spans = ([1] if bos else []), [], []
        for k, (q, a) in enumerate(turns):
            pre = self.prompt(n_tiles, q, system, newline) if k == 0 else self.follow(q)
            ans = self.ids(a, drop and len(a) > 3)
            if len(ids) + len(pre) + len(ans) + 1 > limit:
                if k == 0:
                    return None
                continue
            ids += pre
            tgt += [-1] * (len(ids) - len(tgt) - 1)
            start = len(tgt)
            tgt += ans + [EOS]
            ids += ans + ([EOS] if keep_eos else [])
            spans.append((k, start, len(tgt)))
        tgt += [-1] * (len(ids) - len(tgt))
        return ids, tgt[:len(ids)], spans


def main():
    import data
    n, texts = 0, []
    for fam in data.FAMILIES:
        for i in range(900):
            try:
                turns = data.turns(*data.document(fam, "C", "train", 10 ** 9 + i), many=True)
            except Exception as e:
                print(fam, i, repr(e)[:100])
                continue
            for q, a in turns:
                texts += [x for x in (q + "\n" + a).split("\n") if x]
    import words as W
    r = W.R("tokenizer")
    texts += [W.line(r, 60) for _ in range(60000)]
    print(len(texts), "texts,", sum(map(len, texts)) / 1e6, "MB")
    build(texts, sys.argv[1])


if __name__ == "__main__":
    main()
