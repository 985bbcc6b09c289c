"""The C library from Python: enough of include/tessera.h to look at a picture once and ask many questions of it."""
import ctypes as C

import cv2
import numpy as np

from chat import PLACE, Coder

P, I, L, S = C.c_void_p, C.c_int, C.c_int64, C.c_char_p


class ModelOpts(C.Structure):
    _fields_ = [(n, S) for n in ("backend", "dtype", "fp8_parts", "fp8_activations", "chat_template", "vision_parity")] + [(n, I) for n in ("threads", "synthetic_dtype", "max_layers")] + [("on_load", P), ("on_load_user", P)]


class EngineOpts(C.Structure):
    _fields_ = [(n, L) for n in ("n_ctx", "n_sessions", "max_rows", "max_images", "memory_bytes")] + [("unfused", I), ("kv", S), ("state", S), ("no_spare", I)]


class ImageInfo(C.Structure):
    _fields_ = [("format", S)] + [(n, L) for n in ("width", "height", "columns", "rows", "n_tiles")] + [("has_thumbnail", I), ("tile_size", L), ("n_tokens", L)]


class GenerateOpts(C.Structure):
    _fields_ = [("max_tokens", L), ("temp", C.c_float), ("top_k", I), ("top_p", C.c_float), ("min_p", C.c_float), ("repeat_penalty", C.c_float), ("seed", C.c_uint64),
                ("checkpoint_sampling", I), ("stop", P), ("n_stop", I), ("ignore_stop_ids", I), ("think", I), ("on_piece", P), ("on_progress", P), ("user", P)]


class Result(C.Structure):
    _fields_ = [("text", S), ("bytes", C.c_size_t), ("ids", P), ("logprobs", P), ("n_ids", L), ("reason", I)]


class Runtime:
    def __init__(self, library, path, threads=1, dtype="auto", fp8_activations="auto", fp8_parts=None, kv="auto"):
        t = self.t = C.CDLL(library)
        t.tsr_message.restype = S
        t.tsr_image_about.restype = C.POINTER(ImageInfo)
        t.tsr_image_about.argtypes = [P]
        for n in ("image", "session", "engine", "model"):
            getattr(t, f"tsr_{n}_close").argtypes = [P]
            getattr(t, f"tsr_{n}_close").restype = None
        t.tsr_image_read.argtypes = [P, P, P, C.c_size_t, S, P]
        t.tsr_session_open.argtypes = [P, P]
        t.tsr_session_fork.argtypes = [P, P]
        t.tsr_session_read.argtypes = [P, P, P]
        t.tsr_session_add_ids.argtypes = [P, P, L, P, I]
        t.tsr_session_generate.argtypes = [P, P, P]
        self.coder = Coder(f"{path}/tokenizer.json")
        self.model, self.engine = P(), P()
        self.ok(t.tsr_model_open(C.byref(self.model), path.encode(), C.byref(ModelOpts(threads=threads, dtype=dtype.encode(), fp8_activations=fp8_activations.encode(), fp8_parts=fp8_parts and fp8_parts.encode()))))
        self.ok(t.tsr_engine_open(C.byref(self.engine), self.model, C.byref(EngineOpts(n_ctx=2048, n_sessions=3, kv=kv.encode()))))
        self.session = None

    def ok(self, status):
        if status:
            raise RuntimeError(self.t.tsr_message().decode())

    def add(self, session, ids, images=()):
        a = (C.c_int32 * len(ids))(*ids)
        im = (P * max(1, len(images)))(*images)
        self.ok(self.t.tsr_session_add_ids(session, a, len(ids), im if images else None, len(images)))

    def look(self, bgr):
        """[h, w, 3] u8. Returns a session that has read the picture; it lives until the next look."""
        if self.session:
            self.t.tsr_session_close(self.session)
        data = cv2.imencode(".png", np.ascontiguousarray(bgr), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        image, self.session = P(), P()
        self.ok(self.t.tsr_image_read(C.byref(image), self.model, data, len(data), b"picture", None))
        self.ok(self.t.tsr_session_open(C.byref(self.session), self.engine))
        co = self.coder
        full = co.prompt(self.t.tsr_image_about(image).contents.n_tiles, "X")
        full = full[:len(full) - len(co.cached("X") + co.nl + [11] + co.assistant)]
        k = 0
        for i, v in enumerate(full):
            if v == PLACE:
                full[i] = -1 - k
                k += 1
        self.add(self.session, full, [image])
        self.ok(self.t.tsr_session_read(self.session, None, None))
        self.t.tsr_image_close(image)
        return self.session

    def answer(self, session, question, limit=260):
        co, s = self.coder, P()
        self.ok(self.t.tsr_session_fork(C.byref(s), session))
        try:
            self.add(s, co.cached(question) + co.nl + [11] + co.assistant)
            r = Result()
            self.ok(self.t.tsr_session_generate(s, C.byref(GenerateOpts(max_tokens=limit)), C.byref(r)))
            return C.string_at(C.cast(C.byref(r), C.POINTER(P))[0], r.bytes).decode(errors="replace"), r.reason == 2
        finally:
            self.t.tsr_session_close(s)
