"""The golden tiny model of `spec/nemotron-h.md` appendix A: its weights, and the appendix's tables as data.

The appendix was computed in float64 by a program independent of transformers, so the two confirm each other.
"""

import numpy as np
import torch

from oracle_checkpoint import TORCH_DTYPES, lm_shapes

MASK = (1 << 64) - 1

PROMPT = [(37 * i + 11) % 128 for i in range(21)]


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode("ascii"):
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def draws(name, count, modulus):
    """r(i, m) of the appendix for i = 0 .. count-1."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z % np.uint64(modulus)).astype(np.float64)


def values(name, count):
    if name.endswith("embeddings.weight"):
        return (draws(name, count, 255) - 127) / 64
    if name.endswith(("norm.weight", "norm_f.weight", ".D")):
        return (96 + draws(name, count, 65)) / 128
    if name.endswith("conv1d.weight"):
        return (draws(name, count, 255) - 127) / 256
    if name.endswith("A_log"):
        return draws(name, count, 255) / 128
    if name.endswith("dt_bias"):
        return (draws(name, count, 255) - 255) / 32
    return (draws(name, count, 255) - 127) / 512


def parameters(c):
    """Router in F32 as the published MoE checkpoints keep it, the rest in BF16: every value is exact in both."""
    out = {}
    for name, shape in lm_shapes(c.lm).items():
        dtype = torch.float32 if ".gate." in name else TORCH_DTYPES[c.dtype]
        exact = torch.from_numpy(values(name, int(np.prod(shape)))).reshape(shape)
        out[name] = exact.to(dtype)
        assert torch.equal(out[name].double(), exact), name
    return out


def floats(text):
    return [float(word) for word in text.split()]


APPENDIX = {
    "about": "spec/nemotron-h.md appendix A, computed in float64; logits must agree within 2e-5 in f32",
    "generator_checks": {
        "backbone.embeddings.weight": ["0x44c8a84ae6bd816a", floats("1.921875 1.140625 0.609375 -0.953125")],
        "backbone.layers.0.mixer.in_proj.weight":
            ["0xa43e4960b0e830ca", floats("0.03515625 0.064453125 0.07421875 0.205078125")],
        "backbone.layers.0.mixer.conv1d.weight":
            ["0x4aa996a5021fa88c", floats("-0.4140625 0.15234375 -0.35546875 -0.31640625")],
        "backbone.layers.0.mixer.A_log": ["0x99a1390bc9b0933d", floats("0.125 1.765625 1.34375 0.734375")],
        "backbone.layers.0.mixer.dt_bias": ["0xcd5596f26cf8563b", floats("-1.125 -3.875 -5.6875 -7.9375")],
        "backbone.layers.0.mixer.D": ["0x040f5f6ab52aa0eb", floats("0.9375 0.8125 1.1796875 0.7890625")],
        "lm_head.weight": ["0xab67eb515e1b6f0d", floats("-0.037109375 0.20703125 -0.005859375 -0.064453125")],
    },
    "prompt": PROMPT,
    "layer_0": {
        "token": 0,
        "u": floats("-0.472539 1.189277 -0.402451 -0.848245"),
        "z": floats("-0.499671 1.390325 -0.881184 0.819872"),
        "xBC": floats("1.155331 -0.929170 0.110886 0.062299"),
        "dt_raw": floats("-0.987998 -0.413230 0.774191 -1.107063 -2.596019 1.135168 2.486048 0.710346"),
        "dt": floats("0.114110 0.013636 0.007321 0.000118 0.054761 0.004251 0.006832 0.001973"),
        "A": floats("-1.133148 -5.845224 -3.833392 -2.084179 -1.648721 -1.623160 -3.202919 -6.995818"),
        "state_0_0": floats("-0.002389 -0.001167 0.002856 0.000882"),
        "mixer_out": floats("-0.495264 0.174002 1.317298 0.982181"),
        "mixer_out_at_token_20": floats("-0.498324 -0.100771 -1.126427 2.273459"),
    },
    "residual_at_last_position": [
        {"after": "embedding", "first": floats("-0.484375 -1.609375 -1.187500 0.359375"), "l2": 9.208084},
        {"after": "0 M", "first": floats("-0.982699 -1.710146 -2.313927 2.632834"), "l2": 14.601064},
        {"after": "1 -", "first": floats("1.944317 -2.421425 0.769432 3.804658"), "l2": 20.932540},
        {"after": "2 *", "first": floats("2.002067 -3.183055 1.330382 6.174788"), "l2": 22.462255},
        {"after": "3 E", "first": floats("5.862644 -4.880766 4.165625 7.811574"), "l2": 39.646526},
        {"after": "4 M", "first": floats("5.034616 -4.099462 1.913384 9.872209"), "l2": 41.344626},
        {"after": "5 *", "first": floats("4.450780 -3.933485 0.594466 9.424944"), "l2": 40.335732},
    ],
    "experts_per_position": ("347 124 236 234 145 146 146 145 134 347 024 "
                             "147 134 134 134 145 034 456 245 146 345").split(),
    "smallest_expert_margin": 7.5e-4,
    "logits_last": {
        "first": floats("0.070739 -1.687900 1.592008 -0.420035 2.124474 -1.292897 1.401857 0.185869 "
                        "-0.949680 -0.833971 0.013500 2.044365 -0.351584 0.462211 1.145463 -1.025206"),
        "l2": 13.741159, "sum": -16.721987,
        "top": [[38, 3.372587], [45, 2.930886], [22, 2.787888]],
    },
    "logits_first_position": floats("-0.823892 -0.863870 -0.225173 -1.622161"),
    "argmax_per_position": [78, 50, 56, 91, 20, 99, 92, 20, 34, 78, 20, 27, 91, 49, 116, 95, 91, 2, 11, 59, 38],
    "state_after_prompt": {
        "layer_0_ssm_l2": 2.088327,
        "layer_0_ssm_0_0": floats("0.111365 0.097932 0.048992 0.094116"),
        "layer_4_ssm_l2": 1.641439,
        "layer_0_conv_newest": floats("-1.449567 1.016573 -0.643922 -0.157000"),
    },
    "greedy": {
        "ids": [38, 95, 9, 63, 95, 1, 115, 110], "next": 8,
        "margins_after_first": floats("0.0089 0.139 0.291 0.117 0.023 0.401 0.198 0.041"),
        "logits_after_eighth": {"first": floats("0.044836 1.035918 -2.877389 0.478139"), "l2": 13.155384},
    },
    "mistakes": {
        "(correct)": floats("0.070739 -1.687900 1.592008 -0.420035"),
        "dt floored at 0.001 (native HF)": floats("0.068500 -1.687853 1.592663 -0.420323"),
        "inter-chunk axis defect, chunk 8 (HF slow path 5.6-5.13)": floats("0.093224 -1.677940 1.568946 -0.441993"),
        "RMS over all d": floats("0.875021 -1.913438 0.762113 -0.600154"),
        "gate after norm": floats("0.311750 -1.806004 -0.451337 -0.398869"),
        "head -> group by modulo": floats("0.437161 -1.220905 1.701794 -0.430333"),
        "conv taps reversed": floats("-0.271289 2.031136 0.043517 -1.004674"),
        "B and C swapped": floats("-0.192918 -1.206125 1.589217 -1.060035"),
        "no D skip": floats("-0.887052 0.780842 -1.202269 -2.090939"),
        "no SiLU after conv": floats("-0.290995 -2.653640 1.850145 0.855046"),
        "dt missing in the input term": floats("1.348475 -0.039159 1.534882 -2.241602"),
        "correction bias inside expert weights": floats("0.055151 -1.745069 1.630657 -0.665507"),
        "routed scale omitted": floats("-0.419079 -1.665242 1.713793 -0.669388"),
        "top-k weights not renormalised": floats("0.343348 -1.374012 1.004156 0.016511"),
        "KV head by modulo": floats("-0.651074 -1.676072 0.858040 -1.056957"),
        "relu instead of relu^2": floats("-0.756943 -0.826539 2.943799 -0.962694"),
    },
}


def check_generator(params):
    for name, (expected_hash, first) in APPENDIX["generator_checks"].items():
        assert fnv1a(name) == int(expected_hash, 16), name
        assert params[name].flatten()[:4].double().tolist() == first, name


def disagreement(out, experts):
    """Largest difference between a run over PROMPT and the appendix: per logits, residual, and the exact parts."""
    residual = [out["lm.embed"]] + [out[f"lm.layer.{i:02d}"] for i in range(6)]
    rows = APPENDIX["residual_at_last_position"]
    logits, last = out["lm.logits"], APPENDIX["logits_last"]
    return {
        "logits": float(max(np.abs(logits[-1, :16] - last["first"]).max(),
                            np.abs(logits[0, :4] - APPENDIX["logits_first_position"]).max(),
                            abs(np.linalg.norm(logits[-1]) - last["l2"]))),
        "residual": float(max(np.abs(x[-1, :4] - row["first"]).max() for x, row in zip(residual, rows))),
        "argmax_equal": logits.argmax(-1).tolist() == APPENDIX["argmax_per_position"],
        "experts_equal": ["".join(map(str, sorted(e))) for e in experts] == APPENDIX["experts_per_position"],
    }
