#!/usr/bin/env python3
"""Questions to the installed transformers, whose answers tests/vectors/README.md records.

    oracle_probe.py         run once per transformers version (spec/nemotron-h.md 10.4), print the answers

It also asks the reverse: does transformers itself, given only the committed folders, compute what the
vectors say? And which logits do the mistakes of appendix A give in an implementation that is not ours?
"""

import contextlib
import copy
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import transformers
from transformers import InternVLForConditionalGeneration, NemotronHForCausalLM
from transformers.models.nemotron_h import modeling_nemotron_h as nemotron_h

import oracle_golden
from oracle_checkpoint import parameters
from oracle_models import random_ids
from oracle_reference import (
    Reference, Taps, build_lm, greedy, lm_hf_config, mamba_mixers, normalise, run_lm, set_chunk, set_dt_limit)
from oracle_tokenizer import IMG_CONTEXT
from oracle_zoo import CHECKPOINTS, GOLDEN, INF

MODELS = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "models"


def distance(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def logits(model, ids, **more):
    return model(input_ids=torch.as_tensor(ids, dtype=torch.long)[None], **more).logits[0].numpy()


def probe_axis(model, c, ids):
    set_chunk(model, c.lm.chunk)
    chunked = logits(model, ids)
    set_chunk(model, len(ids))
    print(f"chunk {c.lm.chunk} against one chunk of {len(ids)}: rel {distance(chunked, logits(model, ids)):.1e} "
          "(the axis defect would give about 1e-2)")


def probe_floor(c, params, ids):
    params = {n: torch.full_like(v, -9.0) if n.endswith("dt_bias") else v for n, v in params.items()}
    results = []
    for time_step_min in (1e-9, 1e-3):
        config = lm_hf_config(c.lm)
        config.time_step_min = time_step_min
        model = NemotronHForCausalLM(config).eval()
        model.load_state_dict(build_lm(c.lm, params).state_dict())
        set_chunk(model, len(ids))
        results.append(logits(model, ids))
    rel = distance(*results)
    print(f"time_step_min 1e-9 against 1e-3, dt_bias -9: rel {rel:.1e}: {'floors dt' if rel > 1e-6 else 'no floor'}")


def probe_cache(model, ids):
    set_chunk(model, len(ids))
    whole = logits(model, ids)
    prefill = model(input_ids=torch.tensor(ids[:-1])[None], use_cache=True)
    step = model(input_ids=torch.tensor(ids[-1:])[None], past_key_values=prefill.past_key_values, use_cache=True)
    print(f"prefill and one step against prefill: rel {distance(step.logits[0, -1].numpy(), whole[-1]):.1e}")


def probe_norm():
    norm = nemotron_h.NemotronHRMSNorm(64, 1e-5).bfloat16()
    norm.weight.fill_(1.0078125)
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    unit = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)
    single = torch.equal(norm(x), (norm.weight.float() * unit).bfloat16())
    double = torch.equal(norm(x), norm.weight * unit.bfloat16())
    print(f"bf16 RMSNorm: {'single' if single else 'double' if double else 'unknown'} rounding")


# Does transformers read the folders? ----------------------------------------------------------------------

def vectors(name, case):
    folder = MODELS / name / "expect" / case
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


def report(name, case, found, expected):
    print(f"from_pretrained {name}/{case}: logits rel {distance(found[-len(expected):], expected):.1e}")


def reload_text(c, **how):
    model = NemotronHForCausalLM.from_pretrained(
        MODELS / c.name, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager", **how)
    set_dt_limit(model, c.lm.dt_limit)
    for case in ("short", "long"):
        expected = vectors(c.name, case)
        set_chunk(model, len(expected["prompt.ids"]))
        report(c.name, case, logits(model, expected["prompt.ids"]), expected["lm.logits"])


def reload_native(c):
    model = InternVLForConditionalGeneration.from_pretrained(
        MODELS / c.name, dtype=torch.float32, attn_implementation="eager")
    model.model.layers = model.model.language_model.layers         # where mamba_mixers looks
    set_dt_limit(model, c.lm.dt_limit)
    for case in ("one-tile", "three-tiles", "two-images"):
        expected = vectors(c.name, case)
        ids = np.where(expected["prompt.ids"] < 0, IMG_CONTEXT, expected["prompt.ids"])
        set_chunk(model, len(ids))
        found = logits(model, ids, pixel_values=normalise(expected["tiles"], c.vision.norm))
        report(c.name, case, found, expected["lm.logits"])


def probe_folders():
    for c in CHECKPOINTS:
        if c.name in ("native", "native-early"):
            reload_native(c)
        elif c.name in ("golden", "text-wide"):
            reload_text(c)
        elif c.name in ("text-runs", "text-moe", "text-f16"):   # transformers does not know their aliases of keys
            reload_text(c, config=lm_hf_config(c.lm))


# The mistakes of appendix A, made in transformers ------------------------------------------------------------

def each(model, kind):
    return [layer.mixer for layer, letter in zip(model.model.layers, GOLDEN.lm.pattern) if letter == kind]


def floor_dt(model):
    set_dt_limit(model, (1e-3, INF))


def rms_over_all(model):
    for mixer in mamba_mixers(model):
        mixer.norm.group_size = GOLDEN.lm.d_inner


def gate_after_norm(model):
    for mixer in mamba_mixers(model):
        plain = mixer.norm.forward
        mixer.norm.forward = lambda x, gate, plain=plain: plain(x) * torch.nn.functional.silu(gate)


def reverse_taps(model):
    for mixer in mamba_mixers(model):
        mixer.conv1d.weight.copy_(mixer.conv1d.weight.flip(-1))


def swap_b_and_c(model):
    """Exchanging the rows that make B and C, before and in the convolution, exchanges B and C."""
    d, gn = GOLDEN.lm.d_inner, GOLDEN.lm.n_groups * GOLDEN.lm.d_state
    order = torch.cat([torch.arange(d), torch.arange(d + gn, d + 2 * gn), torch.arange(d, d + gn)])
    for mixer in mamba_mixers(model):
        mixer.in_proj.weight[d:d + len(order)] = mixer.in_proj.weight[d + order]
        mixer.conv1d.weight.copy_(mixer.conv1d.weight[order])
        mixer.conv1d.bias.copy_(mixer.conv1d.bias[order])


def drop_skip(model):
    for mixer in mamba_mixers(model):
        mixer.D.zero_()


def drop_silu(model):
    for mixer in mamba_mixers(model):
        mixer.activation = None


def bias_in_weights(model):
    for moe in each(model, "E"):
        plain = moe.gate.forward

        def gate(u, plain=plain, bias=moe.gate.e_score_correction_bias):
            router, _, chosen = plain(u)
            weights = (router.sigmoid() + bias).gather(1, chosen)
            return router, weights / weights.sum(-1, keepdim=True) * GOLDEN.lm.moe.scale, chosen
        moe.gate.forward = gate


def drop_scale(model):
    for moe in each(model, "E"):
        moe.gate.routed_scaling_factor = 1.0


def drop_renormalisation(model):
    for moe in each(model, "E"):
        moe.gate.norm_topk_prob = False


def kv_by_modulo(model):
    """Query heads 0 2 1 3 over KV heads 0 0 1 1 are heads 0 1 2 3 over KV heads 0 1 0 1."""
    head = torch.arange(GOLDEN.lm.head_dim)
    order = torch.cat([h * GOLDEN.lm.head_dim + head for h in (0, 2, 1, 3)])
    for attention in each(model, "*"):
        attention.q_proj.weight.copy_(attention.q_proj.weight[order])
        attention.o_proj.weight.copy_(attention.o_proj.weight[:, order])


def plain_relu(model):
    moes = each(model, "E")
    for mlp in [*each(model, "-"), *(m.shared_experts for m in moes), *(m.experts for m in moes)]:
        mlp.act_fn = torch.nn.ReLU()


MISTAKES = {
    "(correct)": lambda model: None,
    "dt floored at 0.001 (native HF)": floor_dt,
    "RMS over all d": rms_over_all,
    "gate after norm": gate_after_norm,
    "conv taps reversed": reverse_taps,
    "B and C swapped": swap_b_and_c,
    "no D skip": drop_skip,
    "no SiLU after conv": drop_silu,
    "correction bias inside expert weights": bias_in_weights,
    "routed scale omitted": drop_scale,
    "top-k weights not renormalised": drop_renormalisation,
    "KV head by modulo": kv_by_modulo,
    "relu instead of relu^2": plain_relu,
}


def first(x, n=4):
    return np.asarray(x).reshape(-1)[:n]


def golden_details(model):
    """(name, found, expected) of the appendix's intermediates, state and greedy tokens."""
    table, prompt, lm = oracle_golden.APPENDIX, oracle_golden.PROMPT, GOLDEN.lm
    mixer, layer = model.model.layers[0].mixer, table["layer_0"]
    with Taps({"u": model.model.layers[0].norm, "p": mixer.in_proj, "mixer": mixer}) as out:
        run_lm(model, prompt)
    p = out["p"][0]
    dt_raw = p[lm.d_inner + lm.d_conv:]
    yield "u", first(out["u"]), layer["u"]
    yield "z", first(p), layer["z"]
    yield "xBC", first(p[lm.d_inner:]), layer["xBC"]
    yield "dt_raw", dt_raw, layer["dt_raw"]
    yield "dt", np.logaddexp(0, dt_raw + mixer.dt_bias.numpy()), layer["dt"]
    yield "mixer out", first(out["mixer"]), layer["mixer_out"]
    yield "mixer out at token 20", first(out["mixer"][20]), layer["mixer_out_at_token_20"]

    cache = model(input_ids=torch.tensor(prompt)[None], use_cache=True).past_key_values
    ssm = [cache.get_recurrent_state(i, state_idx=0).numpy() for i in (0, 4)]
    conv, state = cache.get_conv_state(0, state_idx=0).numpy(), table["state_after_prompt"]
    yield "layer 0 state", first(ssm[0]), state["layer_0_ssm_0_0"]
    yield "state norms", [np.linalg.norm(x) for x in ssm], [state["layer_0_ssm_l2"], state["layer_4_ssm_l2"]]
    yield "conv state", conv[0, :4, -1], state["layer_0_conv_newest"]

    ids, margins = greedy(model, prompt, None, 9)
    yield "greedy ids", ids, [*table["greedy"]["ids"], table["greedy"]["next"]]
    yield "greedy margins", margins[1:], table["greedy"]["margins_after_first"]
    last = run_lm(model, prompt + ids[:8].tolist())["lm.logits"][-1]
    yield "logits after the eighth", first(last), table["greedy"]["logits_after_eighth"]["first"]


def probe_golden(model):
    for name, found, expected in golden_details(model):
        print(f"golden {name}: max-abs {np.abs(np.asarray(found) - expected).max():.1e} from the appendix")


SCAN, EINSUM = nemotron_h.mamba2_chunk_scan, torch.einsum


def group_by_modulo(x, dt, A, B, C, **more):
    group = torch.arange(x.shape[2]) % B.shape[2]
    return SCAN(x, dt, A, B[:, :, group], C[:, :, group], **more)


def no_dt_in_input(x, dt, A, B, C, D=None, dt_bias=None, **more):
    step = torch.nn.functional.softplus(dt + dt_bias)[..., None]
    return SCAN(x / step, dt, A, B, C, D=None, dt_bias=dt_bias, **more) + D[:, None] * x


def sum_chunks_along_wrong_axis(x, dt, A, B, C, chunk_size, **more):
    def einsum(equation, *operands):
        return EINSUM(equation.replace("bzch,bzhpn->bchpn", "bzch,bzhpn->bzhpn"), *operands)
    with mock.patch.object(torch, "einsum", einsum):
        return SCAN(x, dt, A, B, C, chunk_size=GOLDEN.lm.chunk, **more)


SCAN_MISTAKES = {
    "inter-chunk axis defect, chunk 8 (HF slow path 5.6-5.13)": sum_chunks_along_wrong_axis,
    "head -> group by modulo": group_by_modulo,
    "dt missing in the input term": no_dt_in_input,
}


def make_mistake(name, model):
    """Change the model in place, or return a context in which its scan is the wrong one."""
    if name in SCAN_MISTAKES:
        return mock.patch.object(nemotron_h, "mamba2_chunk_scan", SCAN_MISTAKES[name])
    MISTAKES[name](model)
    return contextlib.nullcontext()


def probe_mistakes(model):
    for name, expected in oracle_golden.APPENDIX["mistakes"].items():
        wrong = copy.deepcopy(model)
        with make_mistake(name, wrong):
            found = run_lm(wrong, oracle_golden.PROMPT)["lm.logits"][-1, :4]
        print(f"mistake '{name}': max-abs {np.abs(found - expected).max():.1e} from the appendix")


def main():
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    c = next(c for c in CHECKPOINTS if c.name == "text-runs")
    params, ids = parameters(c), random_ids(c.lm.vocab, 29, 2)
    model = Reference(c, params).lm
    probe_axis(model, c, ids)
    probe_floor(c, params, ids)
    probe_cache(model, ids)
    probe_norm()
    probe_folders()
    golden = Reference(GOLDEN, oracle_golden.parameters(GOLDEN)).lm
    probe_golden(golden)
    probe_mistakes(golden)


if __name__ == "__main__":
    main()
