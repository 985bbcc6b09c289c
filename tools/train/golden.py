"""The pictures, questions and expected answers of tests/default-model, from seeds of the split `test` that eval.py does not use.

    python golden.py expected       12 pictures with the greedy answers of these weights, through the C library
    python golden.py mini           60 pictures with questions and accepted answers; keeps the floors that are there
    python golden.py floors         measures them with the test program and writes scores and floors

After a change of weights: `expected` and `floors`. The pictures of `mini` depend on the generator alone. --build names
the build folder (build/release): libtessera.so and tests/default-model/test_default_model_mini are taken from it.
"""
import argparse
import ctypes as C
import hashlib
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
MODEL = os.path.join(ROOT, "assets", "default-model")
TO = os.path.join(ROOT, "tests", "default-model")
LEVELS = ("amx", "avx512bf16", "avx512", "avx2", "scalar")      # the slow one last
MARGIN = 0.25
SCALAR_TILES = 1        # larger pictures are not asked of plain C, here and in golden.c
SEED = 100_000
POINTS = 8      # a floor lies so many points below what was measured
# (family, kind of answer, most tiles, fewest ids)
WANTED = (("lines", "read", 1, 12), ("sign", "read", 1, 6), ("scene", "caption", 1, 10), ("photo", "caption", 1, 6), ("form", "json", 3, 20),
          ("pie", "field", 5, 2), ("line", "field", 5, 2), ("table", "field", 5, 3), ("bar", "field", 5, 2), ("paragraph", "read", 5, 30),
          ("invoice", "json", 7, 20), ("receipt", "field", 11, 4))
MINI = dict(receipt=8, invoice=4, form=6, table=5, bar=7, line=4, pie=4, sign=6, scene=7, lines=3, paragraph=3, photo=2, screenshot=1)
GROUPS = {"caption": "exact", "documents": "exact", "charts": "number", "scenes": "exact", "reading": "letters", "json": "exact", "not shown": "exact"}
GROUP = dict(bar="charts", line="charts", pie="charts", sign="scenes", scene="scenes")


def write_json(path, d):
    """Two levels by line, the rest of each entry in one."""
    lines = []
    for k, v in d.items():
        if isinstance(v, (list, dict)) and v:
            rows = [json.dumps(x, ensure_ascii=False) for x in v] if isinstance(v, list) else [f"{json.dumps(x)}: {json.dumps(y, ensure_ascii=False)}" for x, y in v.items()]
            lines.append(f'"{k}": ' + "[{"[isinstance(v, dict)] + "\n  " + ",\n  ".join(rows) + "\n" + "]}"[isinstance(v, dict)])
        else:
            lines.append(f'"{k}": {json.dumps(v, ensure_ascii=False)}')
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")


def picture(family, seed, held=()):
    """(document, its questions by kind, pixels B, G, R, tiles) without the noise and light of training: they do not compress."""
    import numpy as np
    import data
    import tiles
    r, d, family, stage = data.document(family, "C", "test", seed, held)
    asked = {}
    for q, a in data.turns(r, d, family, stage, many=True):
        kind = ("caption" if q in data.CAPTION else "json" if a.startswith("{") else "read" if d.read is not None and a == d.read else
                "not shown" if a == "not shown" else "field" if "\n" not in a else "")
        asked.setdefault(kind, []).append((q, a))
    px, _, _ = data.disturb(r, d, family)
    px = np.ascontiguousarray(px[..., :3])
    i, j = tiles.pick_grid(px.shape[1], px.shape[0], data.MAX_TILES)
    return d, asked, px, i * j + (i * j > 1)


def encode(px, most):
    """PNG, or JPEG where that is much smaller; (bytes, suffix), or None above `most` bytes."""
    import cv2
    if (px[..., :1] == px).all():
        px = px[..., 0]
    png = cv2.imencode(".png", px, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    jpg = cv2.imencode(".jpg", px, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    data, suffix = (jpg, "jpg") if len(png) > max(12_000, 2 * len(jpg)) else (png, "png")
    return (data, suffix) if len(data) <= most else None


# ---------------------------------------------------------------------------------------------------------------------
# answers of the C library with the distance between the best and the second logit of every step

def watched(library):
    """A function of a picture's bytes, a question and the answers that will do: (ids, text, smallest margin), or None."""
    import numpy as np
    from chat import Coder
    from runtime import EngineOpts, ImageInfo, ModelOpts, P, Result, S

    class Part(C.Structure):
        _fields_ = [("text", S), ("bytes", C.c_size_t), ("image", P)]

    t = C.CDLL(library)
    t.tsr_message.restype = S
    t.tsr_image_about.restype = C.POINTER(ImageInfo)
    t.tsr_image_about.argtypes = t.tsr_image_close.argtypes = t.tsr_session_close.argtypes = [P]

    def ok(status):
        if status:
            raise RuntimeError(t.tsr_message().decode())

    coder, model, engine, logits = Coder(os.path.join(MODEL, "tokenizer.json")), P(), P(), []
    ok(t.tsr_model_open(C.byref(model), MODEL.encode(), C.byref(ModelOpts())))
    ok(t.tsr_engine_open(C.byref(engine), model, C.byref(EngineOpts(n_ctx=2048))))

    @C.CFUNCTYPE(None, P, S, S, C.POINTER(C.c_int64), C.c_int, C.POINTER(C.c_float))
    def listen(user, name, kind, shape, n_dims, values):
        if name == b"lm.logits":
            logits.append(np.ctypeslib.as_array(values, (shape[0], shape[1])).copy())

    t.tsr_engine_trace.argtypes = [P, P, P]

    def margin(image, question, ids):
        """The answer is read back behind its prompt, since what listens cannot generate."""
        prompt = coder.prompt(t.tsr_image_about(image).contents.n_tiles, question)
        rows = iter(range(len(prompt)))
        all_ids = [-1 - next(rows) if v == 18 else v for v in prompt] + ids
        session = P()
        logits.clear()
        t.tsr_engine_trace(engine, C.cast(listen, P), None)
        ok(t.tsr_session_open(C.byref(session), engine))
        ok(t.tsr_session_add_ids(session, (C.c_int32 * len(all_ids))(*all_ids), C.c_int64(len(all_ids)), C.byref(image), 1))
        ok(t.tsr_session_read(session, None, None))
        t.tsr_session_close(session)
        t.tsr_engine_trace(engine, None, None)
        top = logits[0][len(prompt) - 1:]
        order = np.argsort(top, axis=1)
        assert len(top) == len(ids) + 1
        if order[:-1, -1].tolist() != ids:      # read in one piece it is another answer: some choice was a close one
            return 0.0
        best = np.take_along_axis(top, order[:, -2:], 1)
        return float((best[:, 1] - best[:, 0]).min())

    def ask(data, question, accepted):
        image, session, r = P(), P(), Result()
        ok(t.tsr_image_read(C.byref(image), model, data, C.c_size_t(len(data)), b"picture", None))
        ok(t.tsr_session_open(C.byref(session), engine))
        ok(t.tsr_session_say(session, 1, (Part * 2)(Part(image=image), Part(text=question.encode())), 2))
        ok(t.tsr_session_generate(session, None, C.byref(r)))
        ids, text, ended = (C.c_int32 * r.n_ids).from_address(r.ids or C.addressof(r))[:], r.text.decode(), r.reason == 0
        t.tsr_session_close(session)
        out = (ids, text, margin(image, question, ids)) if ended and text in accepted else None
        t.tsr_image_close(image)
        return out

    ask.keep = listen
    return ask


def at_level(level, library, jobs):
    """[(file, question, accepted)] -> [answer], in a process that is held to one CPU level; None if this machine lacks it."""
    have = subprocess.run([os.path.join(os.path.dirname(library), "apps", "tessera"), "--list-devices"], env=dict(os.environ, TSR_CPU=level), capture_output=True, text=True, check=True).stdout
    if not re.search(rf", {level},", have):
        return None
    out = subprocess.run([sys.executable, os.path.abspath(__file__), "answer", "--library", library], input=json.dumps(jobs), env=dict(os.environ, TSR_CPU=level), capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def answer(library):
    ask = watched(library)
    out = []
    for path, question, accepted in json.load(sys.stdin):
        with open(path, "rb") as f:
            out.append(ask(f.read(), question, accepted))
    json.dump(out, sys.stdout)


def expected(library):
    ask = watched(library)
    to = os.path.join(TO, "expected")
    os.makedirs(to, exist_ok=True)
    for f in os.listdir(to):
        os.remove(os.path.join(to, f))
    found = []
    for family, kind, most_tiles, fewest in WANTED:
        tried = 0
        for seed in range(SEED, SEED + 2000):
            d, asked, px, n_tiles = picture(family, seed)
            if n_tiles > most_tiles or (most_tiles > 5 and n_tiles != most_tiles) or kind not in asked:
                continue
            import cv2
            data = cv2.imencode(".png", px, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
            q, want = asked[kind][0]
            if len(data) > 90_000:
                continue
            tried += 1
            got = ask(data, q, d.captions if kind == "caption" else [want])
            if not got or got[2] <= 1.2 * MARGIN or len(got[0]) < fewest:
                continue
            path = os.path.join(to, f"{family}.png")
            with open(path, "wb") as f:
                f.write(data)
            margins = {}
            for level in LEVELS:
                if level == "scalar" and n_tiles > SCALAR_TILES:
                    continue
                one = at_level(level, library, [(path, q, [got[1]])])
                if one is None:
                    print(f"this machine has no {level}: its margin is not known")
                elif one[0] and one[0][0] == got[0] and one[0][2] > MARGIN:
                    margins[level] = round(one[0][2], 3)
                else:
                    break
            else:
                found.append(dict(file=f"expected/{family}.png", tiles=n_tiles, question=q, answer=got[1], ids=got[0], margin=margins))
                print(family, seed, f"{tried} tried, {n_tiles} tiles, {len(data)} bytes", repr(got[1]), margins, flush=True)
                break
        else:
            raise SystemExit(f"{family}: no picture fits")
    weights = {}
    for f in sorted(os.listdir(MODEL)):
        if f.endswith(".safetensors"):
            with open(os.path.join(MODEL, f), "rb") as g:
                weights[f] = hashlib.sha256(g.read()).hexdigest()
    import data as generator
    write_json(os.path.join(TO, "expected.json"), dict(made_by="tools/train/golden.py expected", generator=generator.VERSION, weights=weights, pictures=found))
    print(sum(len(p["ids"]) for p in found), "ids,", sum(p["tiles"] for p in found), "tiles,", sum(os.path.getsize(os.path.join(TO, p["file"])) for p in found), "bytes")


def mini():
    to = os.path.join(TO, "mini")
    os.makedirs(to, exist_ok=True)
    for f in os.listdir(to):
        os.remove(os.path.join(to, f))
    import data as generator
    pictures, size = [], 0
    for family, n in MINI.items():
        seed, made = SEED + 10_000, 0
        while made < n:
            held = ("fonts", "layouts", "vocab") if made % 2 else ()
            d, asked, px, n_tiles = picture(family, seed, held)
            seed += 1
            file = encode(px, 34_000)
            if not file or n_tiles > 7:
                continue
            ask = [dict(group="caption", question="Describe this image.", accepted=d.captions)]
            ask += [dict(group=GROUP.get(family, "documents"), question=q, accepted=[a]) for q, a in asked.get("field", [])[:3]]
            ask += [dict(group="not shown", question=q, accepted=[a]) for q, a in asked.get("not shown", [])[:1]]
            ask += [dict(group="reading", question=q, accepted=[a]) for q, a in asked.get("read", [])[:1] if len(a) <= 400]
            ask += [dict(group="json", question=q, accepted=[a]) for q, a in asked.get("json", [])[:1] if len(a) <= 300]
            name = f"{family}-{made}.{file[1]}"
            with open(os.path.join(to, name), "wb") as f:
                f.write(file[0])
            size += len(file[0])
            made += 1
            pictures.append(dict(file="mini/" + name, held_out=bool(held), ask=ask))
    path = os.path.join(TO, "mini.json")
    old = {}
    if os.path.exists(path):
        with open(path) as f:
            old = json.load(f)["groups"]
    groups = {g: dict(rule=rule, score=old.get(g, {}).get("score", 0.0), floor=old.get(g, {}).get("floor", 0.0)) for g, rule in GROUPS.items()}
    write_json(path, dict(made_by="tools/train/golden.py mini", generator=generator.VERSION, groups=groups, pictures=pictures))
    print(len(pictures), "pictures,", sum(len(p["ask"]) for p in pictures), "questions,", size, "bytes")


def floors(build):
    path = os.path.join(TO, "mini.json")
    with open(path) as f:
        d = json.load(f)
    out = subprocess.run([os.path.join(build, "tests/default-model/test_default_model_mini")], capture_output=True, text=True).stdout
    for group, g in d["groups"].items():
        score = float(re.search(rf"^{group} +(\d+\.\d) ", out, re.M).group(1))
        g.update(score=score, floor=round(max(0.0, score - POINTS), 1))
        print(f"{group:12s} {score:5.1f}")
    write_json(path, d)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=("expected", "mini", "floors", "answer"))
    ap.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    ap.add_argument("--library")
    a = ap.parse_args()
    library = a.library or os.path.join(os.path.abspath(a.build), "libtessera.so")
    {"expected": lambda: expected(library), "mini": mini, "floors": lambda: floors(a.build), "answer": lambda: answer(library)}[a.what]()


if __name__ == "__main__":
    main()
