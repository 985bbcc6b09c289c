"""Runs the reference implementations on canonical parameters and records every named intermediate.

The decoder is transformers' NemotronH, the vision tower and projector A its InternVL, projector B that of
its nemotron_h_omni: float32, CPU, eager attention. Known defects of NemotronH are worked around as
`spec/nemotron-h.md` 2.9 describes; each workaround says which one it is for.
"""

import logging
import warnings

import numpy as np
import torch
from transformers import NemotronHConfig, NemotronHForCausalLM
from transformers.models.internvl.configuration_internvl import InternVLConfig, InternVLVisionConfig
from transformers.models.internvl.modeling_internvl import (
    InternVLModel, InternVLMultiModalProjector, InternVLVisionModel)
from transformers.models.nemotron_h_omni.modeling_nemotron_h_omni import (
    NemotronH_Omni_Reasoning_V3MultiModalProjector as OmniProjector)

from oracle_checkpoint import (
    FP8_MAX, NEW_LAYER_TYPES, dequantise, lm_only, native_projector, native_vision, stack_experts)

torch.set_num_threads(1)            # one order of summation, and other people's cores
torch.set_grad_enabled(False)
warnings.filterwarnings("ignore")
logging.getLogger("transformers").setLevel(logging.ERROR)


# Building -------------------------------------------------------------------------------------------------

def lm_hf_config(lm):
    moe = {} if not lm.moe else {
        "n_routed_experts": lm.moe.n_experts, "num_experts_per_tok": lm.moe.n_used,
        "moe_intermediate_size": lm.moe.d_expert, "moe_shared_expert_intermediate_size": lm.moe.d_shared,
        "routed_scaling_factor": lm.moe.scale, "norm_topk_prob": True, "n_group": 1, "topk_group": 1}
    config = NemotronHConfig(
        vocab_size=lm.vocab, hidden_size=lm.d_model, layers_block_type=[NEW_LAYER_TYPES[c] for c in lm.pattern],
        num_attention_heads=lm.n_heads, num_key_value_heads=lm.n_kv, head_dim=lm.head_dim,
        intermediate_size=lm.d_mlp, mamba_num_heads=lm.mamba_heads, mamba_head_dim=lm.mamba_head_dim,
        n_groups=lm.n_groups, ssm_state_size=lm.d_state, conv_kernel=4, chunk_size=lm.chunk,
        layer_norm_epsilon=lm.eps, use_bias=lm.biases, mlp_bias=lm.biases,
        use_cache=False, tie_word_embeddings=False, **moe)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    return config


def mamba_mixers(model):
    return [layer.mixer for layer in model.model.layers if hasattr(layer.mixer, "time_step_limit")]


def set_dt_limit(model, limit):
    """Honour time_step_limit. Native transformers drops it and clamps dt to (time_step_min, inf) instead, which
    nobody else does; time_step_min = 0 in the config, the obvious way around, breaks its initialiser."""
    for mixer in mamba_mixers(model):
        mixer.time_step_limit = limit


def set_chunk(model, chunk):
    """Releases up to 5.13 carry the state between chunks along the wrong axis: a prompt must fit in one."""
    for mixer in mamba_mixers(model):
        mixer.chunk_size = chunk


def build_lm(lm, params):
    """A NemotronHForCausalLM in float32 that holds exactly the given (dequantised) parameters."""
    model = NemotronHForCausalLM(lm_hf_config(lm)).float().eval()
    tensors = stack_experts(lm_only(params), lm) if lm.moe else lm_only(params)
    tensors = {n.replace("backbone.", "model.", 1): v.float() for n, v in tensors.items()}
    model.load_state_dict(tensors, strict=True)
    set_dt_limit(model, lm.dt_limit)
    return model


def build_vision(v, params):
    config = InternVLVisionConfig(
        hidden_size=v.d_vit, num_hidden_layers=v.n_layers, num_attention_heads=v.n_heads, attention_bias=True,
        use_qk_norm=False, intermediate_size=v.d_mlp, hidden_act="gelu", norm_type="layer_norm", layer_norm_eps=1e-6,
        image_size=[v.image_size] * 2, patch_size=[v.patch] * 2, use_mean_pooling=True)    # True: no final norm
    config._attn_implementation = "eager"
    model = InternVLVisionModel(config).float().eval()
    model.load_state_dict({n: t.float() for n, t in native_vision(params).items()}, strict=True)
    return model


def build_projector(c, params):
    if c.projector.kind == "B":
        model = OmniProjector(4 * c.vision.d_vit, c.projector.d_mid, c.lm.d_model, bias=False, eps=1e-5)
    else:
        config = InternVLConfig(
            vision_config={"model_type": "internvl_vision", "hidden_size": c.vision.d_vit},
            text_config={"model_type": "nemotron_h", "hidden_size": c.lm.d_model},
            downsample_ratio=0.5, projector_hidden_act="gelu")
        model = InternVLMultiModalProjector(config)
    model = model.float().eval()
    model.load_state_dict({n: t.float() for n, t in native_projector(params).items()}, strict=True)
    return model


class Reference:
    """One checkpoint's networks, ready to run."""

    def __init__(self, c, params):
        params = dequantise(params)
        self.c = c
        self.lm = build_lm(c.lm, params)
        if c.vision:
            self.vision = build_vision(c.vision, params)
            self.projector = build_projector(c, params)


# Running --------------------------------------------------------------------------------------------------

class Taps:
    """Records the outputs of modules under our names while the `with` block runs."""

    def __init__(self, modules):
        self.modules, self.out, self.hooks = modules, {}, []

    def __enter__(self):
        for name, module in self.modules.items():
            self.hooks.append(module.register_forward_hook(self.recorder(name)))
        return self.out

    def recorder(self, name):
        def record(_module, _args, result):
            value = result if torch.is_tensor(result) else result[0]
            self.out[name] = value.reshape(-1, value.shape[-1]).float().numpy().copy()
        return record

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def normalise(tiles, norm):
    """u8 [n, S, S, 3] -> f32 [n, 3, S, S]."""
    mean, std = (torch.tensor(x, dtype=torch.float32) for x in norm)
    return ((torch.from_numpy(tiles).float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def shuffle_patches(v, rows):
    """[n, n_patches, d] -> [n, n_patches / 4, 4 d]; transformers knows v2 alone, v1 transposes its tokens."""
    n, side = rows.shape[0], v.tile // v.patch
    grid = InternVLModel.pixel_shuffle(None, rows.reshape(n, side, side, -1), 0.5)
    if v.shuffle == "v1":
        grid = grid.transpose(1, 2)
    return grid.reshape(n, v.n_patches // 4, -1)


def run_vision(ref, tiles):
    """Every named value from `vision.embed` to `projector.out`; layers after select_layer are not listed."""
    v = ref.c.vision
    n_layers = v.n_layers + 1 + v.select_layer
    taps = {"vision.embed": ref.vision.embeddings}
    taps |= {f"vision.layer.{i:02d}": ref.vision.encoder.layer[i] for i in range(n_layers)}
    with Taps(taps) as out:
        ref.vision(normalise(tiles, v.norm))
    selected = torch.from_numpy(out[f"vision.layer.{n_layers - 1:02d}"]).reshape(len(tiles), 1 + v.n_patches, -1)
    patches = selected[:, 1:]
    rows = ref.projector(shuffle_patches(v, patches))
    out["vision.out"] = patches.reshape(-1, patches.shape[-1]).numpy().copy()
    out["projector.out"] = rows.reshape(-1, rows.shape[-1]).numpy().copy()
    return out


def embed(model, ids, image_rows):
    """The decoder's input: text rows from the table, image rows (ids -1-k) from the projector."""
    ids = torch.as_tensor(ids, dtype=torch.long)
    rows = model.model.embeddings(ids.clamp(min=0))
    if image_rows is not None:
        is_image = ids < 0
        rows[is_image] = torch.from_numpy(image_rows)[-1 - ids[is_image]]
    return rows


def logits_of(model, rows):
    """[n_rows, n_vocab] for one sequence of input rows, scanned as a single chunk."""
    set_chunk(model, len(rows))
    return model(inputs_embeds=rows[None]).logits[0]


def run_lm(model, ids, image_rows=None):
    """Every named value of the decoder for one prompt, all rows."""
    taps = {f"lm.layer.{i:02d}": layer for i, layer in enumerate(model.model.layers)}
    taps["lm.norm"] = model.model.norm_f
    rows = embed(model, ids, image_rows)
    with Taps(taps) as out:
        logits = logits_of(model, rows)
    return {"lm.embed": rows.numpy().copy(), **out, "lm.logits": logits.numpy().copy()}


def greedy(model, ids, image_rows, n_new):
    """Greedy ids by a full forward pass per token (no cache to trust), with the margin of each choice."""
    ids, margins = list(ids), []
    for _ in range(n_new):
        logits = logits_of(model, embed(model, ids, image_rows))[-1]
        best = logits.topk(2)
        margins.append(float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return np.array(ids[-n_new:], dtype=np.int32), margins


# FP8 activations ------------------------------------------------------------------------------------------

def linear_of(model, name):
    return model.get_submodule(name.replace("backbone.", "model.", 1))


def input_maxima(model, names, ids):
    """The calibration: the largest absolute input of each linear over one prompt."""
    seen, hooks = {}, []
    for name in names:
        def watch(_module, args, name=name):
            seen[name] = max(seen.get(name, 0.0), float(args[0].abs().max()))
        hooks.append(linear_of(model, name).register_forward_pre_hook(watch))
    model(input_ids=torch.as_tensor(ids)[None])
    for hook in hooks:
        hook.remove()
    return seen


def round_e4m3(x):
    return x.clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn).float()


def input_scales(params):
    """One static input scale per linear; q, k and v share the largest of theirs, as engines that join them do."""
    scales = {n.removesuffix(".input_scale"): float(v) for n, v in params.items() if n.endswith(".input_scale")}
    for name in scales:
        mixer, part = name.rsplit(".", 1)
        if part in ("q_proj", "k_proj", "v_proj"):
            scales[name] = max(float(params[f"{mixer}.{p}.input_scale"]) for p in ("q_proj", "k_proj", "v_proj"))
    return scales


def quantise_inputs(model, params):
    """Turn a W8A16 model into W8A8: y = (W8 e4m3(u / s)) * weight_scale * s (spec/nemotron-h.md 6.3)."""
    for name, scale in input_scales(params).items():
        def round_input(_module, args, scale=scale):
            return (round_e4m3(args[0] / scale) * scale,)
        linear_of(model, name).register_forward_pre_hook(round_input)
    return model
