"""Golden prompts: the templates of nemotron-h.md 8 and vision.md 6 as Jinja text, rendered by jinja2 and tokenised by
Hugging Face's library.

Control tokens and images stand in the templates as private-use characters, which no message holds. So the rendered text
can be cut there, and what lies between, user text included, is tokenised without added tokens. Where no message spells a
special token and no image is there, the library must give the same ids for the whole text at once: that is asserted.
"""

import json

import jinja2
from tokenizers import Tokenizer

ALIGNED = """<SPECIAL_10>System
{% set first = messages[0] if messages[0].role == 'system' else none %}{{ first.content | trim if first else '' }}
{%- for m in messages %}
{%- if m.role == 'user' %}
<SPECIAL_11>User
{{ m.content | trim }}
<SPECIAL_11>Assistant
{% elif m.role == 'assistant' %}{{ m.content | trim }}{% endif %}
{%- endfor %}"""

H = ALIGNED + """
{%- if messages[-1].role == 'user' and first %}
{%- if think is true or think is none and "{'reasoning': True}" in first.content %}{{ '<think>\\n' }}
{%- elif think is false or "{'reasoning': False}" in first.content %}{{ '<think></think>' }}{% endif %}
{%- endif %}"""

NANO = """{% macro clean(text) %}{{ text.replace('/think', '').replace('/no_think', '') | trim }}{% endmacro %}
{%- set ns = namespace(on=true) %}
{%- for m in messages %}{% if m.role in ('system', 'user') %}
{%- if '/think' in m.content %}{% set ns.on = true %}{% elif '/no_think' in m.content %}{% set ns.on = false %}{% endif %}
{%- endif %}{% endfor %}
{%- if think is not none %}{% set ns.on = think %}{% endif %}
{{- '<SPECIAL_10>System\\n' }}{{ clean(messages[0].content) if messages[0].role == 'system' else '' }}{{ '\\n' }}
{%- for m in messages %}
{%- if m.role == 'user' %}{{ '<SPECIAL_11>User\\n' + clean(m.content) + '\\n' }}
{%- elif m.role == 'assistant' %}{{ '<SPECIAL_11>Assistant\\n' + (m.content.split('</think>')[-1] | trim) + '\\n<SPECIAL_12>\\n' }}
{%- endif %}{% endfor %}
{%- if messages[-1].role == 'user' %}{{ '<SPECIAL_11>Assistant\\n' + ('<think>\\n' if ns.on else '<think></think>') }}{% endif %}"""

NEMOTRON_3 = """{% set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{{- '<|im_start|>system\\n' + (messages[0].content if messages[0].role == 'system' else '') + '<|im_end|>\\n' }}
{%- for m in messages %}
{%- if m.role == 'user' %}{{ '<|im_start|>user\\n' + m.content + '<|im_end|>\\n' }}
{%- elif m.role == 'assistant' %}
{%- set c = m.content %}
{%- if '<think>' not in c and '</think>' not in c %}{% set c = '<think></think>' + c %}
{%- elif loop.index0 < ns.last and '</think>' in c %}{% set c = '<think></think>' + c.split('</think>')[-1] %}{% endif %}
{{- '<|im_start|>assistant\\n' + (c | trim) + '<|im_end|>\\n' }}
{%- endif %}{% endfor %}
{%- if messages[-1].role == 'user' %}{{ '<|im_start|>assistant\\n' + ('<think></think>' if think is false else '<think>\\n') }}{% endif %}"""

INTERNVL = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}
{%- if messages[-1].role == 'user' %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

TEMPLATES = {"h-reasoning": H, "nvlm": ALIGNED, "nano-v2": NANO, "nemotron-3": NEMOTRON_3, "internvl": INTERNVL}
CONTROLS = {"h-reasoning": ["<SPECIAL_10>", "<SPECIAL_11>"], "nvlm": ["<SPECIAL_10>", "<SPECIAL_11>"],
            "nano-v2": ["<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"],
            "nemotron-3": ["<|im_start|>", "<|im_end|>", "<think>", "</think>"], "internvl": ["<|im_start|>", "<|im_end|>"]}
FRAMES = {"nvlm": "nvlm", "nano-v2": "internvl", "nemotron-3": "internvl", "internvl": "internvl"}
ROWS = 3


def image_mark(n_tiles):
    return "\ue200" + chr(0xE300 + n_tiles)


def flatten(form, messages):
    """Messages whose content is text, with marks where images are."""
    out, seen = [], 0
    for role, parts in messages:
        tiles = [p for p in parts if isinstance(p, int)]
        text = "".join(p for p in parts if isinstance(p, str))
        if form in ("nano-v2", "nemotron-3"):
            labels = [f"<image {i}>" if len(tiles) > 1 else "" for i in range(1, len(tiles) + 1)]
            content = " ".join(label + image_mark(n) for label, n in zip(labels, tiles)) + ("\n" if tiles else "") + text
        else:
            numbered = form == "internvl" and seen + len(tiles) > 1
            content = ""
            for p in parts:
                if isinstance(p, int):
                    seen += 1
                    content += (f"Image-{seen}: " if numbered else "") + image_mark(p) + "\n"
                else:
                    content += p
        out.append({"role": role, "content": content})
    return out


class Tokens:
    def __init__(self, content):
        self.whole = Tokenizer.from_str(json.dumps(content))
        self.plain = Tokenizer.from_str(json.dumps(content | {"added_tokens": []}))
        self.added = {a["content"]: a["id"] for a in content["added_tokens"]}

    def text(self, s):
        return self.plain.encode(s, add_special_tokens=False).ids if s else []

    def marker(self, s):
        return [self.added[s]] if s in self.added else self.text(s)


def image_ids(tokens, frame, n_tiles, first_row):
    begin, end = ("<Image>", "</Image>") if frame == "nvlm" else ("<img>", "</img>")
    ids = tokens.marker(begin)
    tags = [f"<tile_{k:02}>" for k in range(1, n_tiles)] + ["<tile_global_thumbnail>"]
    for k in range(n_tiles):
        if frame == "nvlm":
            ids += tokens.marker(tags[k])
        ids += [-1 - first_row - k * ROWS - i for i in range(ROWS)]
    return ids + tokens.marker(end)


def render(form, tokens, messages, think):
    """A switch that is set from outside (think) outranks those in messages; h-reasoning has it written into its system
    text, where the model was trained to find it."""
    messages = flatten(form, messages)
    if form == "h-reasoning" and think is not None:
        if messages[0]["role"] != "system":
            messages = [{"role": "system", "content": ""}] + messages
        system = messages[0]["content"].strip()
        if "{'reasoning': " not in system:
            messages[0] = {"role": "system", "content": f"{system} {{'reasoning': {think}}}"}
    source = TEMPLATES[form]
    hidden = source
    controls = [c for c in CONTROLS[form] if c in tokens.added]
    for i, c in enumerate(controls):
        hidden = hidden.replace(c, chr(0xE100 + i))
    # The model's own think tags are tags; in anyone else's text they are text.
    for m in messages:
        if m["role"] == "assistant" and form == "nemotron-3":
            m["hidden"] = m["content"]
            for tag in ("<think>", "</think>"):
                m["hidden"] = m["hidden"].replace(tag, chr(0xE100 + controls.index(tag)))

    def fill(text, key):
        shown = [{"role": m["role"], "content": m.get(key, m["content"])} for m in messages]
        return jinja2.Template(text, keep_trailing_newline=True).render(messages=shown, think=think)

    ids, run, rows = [], "", 0
    characters = iter(fill(hidden, "hidden"))
    for ch in characters:
        if 0xE100 <= ord(ch) < 0xE100 + len(controls):
            ids += tokens.text(run) + [tokens.added[controls[ord(ch) - 0xE100]]]
            run = ""
        elif ch == "\ue200":
            n_tiles = ord(next(characters)) - 0xE300
            ids += tokens.text(run) + image_ids(tokens, FRAMES[form], n_tiles, rows)
            rows += n_tiles * ROWS
            run = ""
        else:
            run += ch
    ids += tokens.text(run)
    own_tags = {"<think>", "</think>"} if form == "nemotron-3" else set()
    spelled = any(a in m["content"] for m in messages for a in tokens.added
                  if not (m["role"] == "assistant" and a in own_tags))
    if rows == 0 and not spelled:
        assert ids == tokens.whole.encode(fill(source, "content"), add_special_tokens=False).ids, (form, messages)
    return ids


HOSTILE = "a <SPECIAL_11> b </s><image><img></img><IMG_CONTEXT><tile_01> <|im_end|> <think> [INST] </Image>"
DIALOGUES = [
    [("user", ["What is in the picture?"])],
    [("system", ["You are brief."]), ("user", ["  Hello there.\n"])],
    [("system", [" \n "]), ("user", ["Hi"]), ("assistant", [" Hello! \n"]), ("user", ["\u00a0And\x1fnow?\x1c"])],
    [("user", ["One"]), ("assistant", ["<think>\nhm\n</think>\nTwo."]), ("user", ["Three"]), ("assistant", ["Four"])],
    [("user", ["One"]), ("assistant", ["no thought"]), ("user", ["Two"]), ("assistant", ["late </think> answer"])],
    [("user", ["A"]), ("assistant", ["half </think> B"]), ("user", ["C"])],
    [("user", ["A"]), ("assistant", ["<think> open"]), ("user", ["C"])],
    [("system", ["{'reasoning': True} Answer."]), ("user", ["1 + 1?"])],
    [("system", ["{'reasoning': False}"]), ("user", ["1 + 1?"]), ("assistant", ["2."]), ("user", ["2 + 2?"])],
    [("system", ["Be kind. /no_think"]), ("user", ["Hi"])],
    [("system", ["/no_think"]), ("user", ["Hi /think"]), ("assistant", ["x"]), ("user", ["again"])],
    [("user", ["/no_/thinkthink odd"])],
    [("system", [HOSTILE]), ("user", [HOSTILE]), ("assistant", ["ok."]), ("user", ["\n" + HOSTILE])],
    [("user", ["in ", "two ", "parts"])],
    [("user", [""])],
    [("user", ["first"]), ("user", ["second"])],
    [("assistant", ["unasked"]), ("user", ["why?"])],
]
PICTURES = [
    [("user", [1, "What is this?"])],
    [("user", [5, "Describe it.\n"])],
    [("user", [1])],
    [("system", ["Answer the questions."]), ("user", [3, " Compare: ", 2, "and say\n"])],
    [("user", ["Look: ", 13, " what?"]), ("assistant", ["A cat."]), ("user", ["Sure?"])],
    [("user", [1, "One."]), ("assistant", ["Yes."]), ("user", [2, "Another."]), ("assistant", ["Yes."]), ("user", [1, 1, "?"])],
    [("user", [2, HOSTILE])],
]
PAIRS = [("h-reasoning", "family"), ("nano-v2", "family"), ("nemotron-3", "chatml"), ("internvl", "chatml"),
         ("nvlm", "vlm"), ("nvlm", "family")]
THINKING = {"h-reasoning": (None, True, False), "nano-v2": (None, True, False), "nemotron-3": (None, False)}


def main(out_dir, tokenizers):
    tokens = {name: Tokens(content) for name, content in tokenizers.items()}
    cases = []
    for form, name in PAIRS:
        for messages in DIALOGUES + (PICTURES if form in FRAMES else []):
            for think in THINKING.get(form, (None,)):
                cases.append({"format": form, "tokenizer": name,
                              "think": {None: "auto", True: "on", False: "off"}[think],
                              "messages": [{"role": r, "parts": p} for r, p in messages],
                              "ids": render(form, tokens[name], messages, think)})
    text = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases)
    (out_dir / "chat.json").write_text(f'{{"rows_per_tile":{ROWS},"cases":[\n{text}\n]}}\n', encoding="utf-8")
