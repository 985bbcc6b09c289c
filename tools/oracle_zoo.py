"""The tiny checkpoints the oracle makes: what they are and how they differ.

A checkpoint is described twice over. `Decoder`, `Vision` and `Projector` say which network it is;
`Spelling` says how its files happen to spell that network, since published checkpoints disagree about
the names of keys and tensors. Between them the checkpoints differ in every dimension and use every
spelling of `spec/nemotron-h.md` 1.3, 5.1 and `spec/vision.md` 1.4.
"""

from dataclasses import dataclass, field

INF = float("inf")

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@dataclass(frozen=True)
class Moe:
    n_experts: int
    n_used: int
    d_expert: int
    d_shared: int
    scale: float


@dataclass(frozen=True)
class Decoder:
    pattern: str
    vocab: int
    d_model: int
    n_heads: int
    n_kv: int
    head_dim: int
    d_mlp: int
    mamba_heads: int
    mamba_head_dim: int
    n_groups: int
    d_state: int
    chunk: int
    eps: float = 1e-5
    dt_limit: tuple = (0.0, INF)
    biases: bool = False        # use_bias and mlp_bias: the two the reference can do
    moe: Moe | None = None

    @property
    def d_inner(self):
        return self.mamba_heads * self.mamba_head_dim

    @property
    def d_conv(self):
        return self.d_inner + 2 * self.n_groups * self.d_state


@dataclass(frozen=True)
class Vision:
    d_vit: int
    n_layers: int
    n_heads: int
    d_mlp: int
    patch: int
    image_size: int             # of the stored position grid
    tile: int                   # of the tiles; positions are interpolated when it differs
    select_layer: int = -1
    shuffle: str = "v2"
    norm: tuple = IMAGENET

    @property
    def n_patches(self):
        return (self.tile // self.patch) ** 2


@dataclass(frozen=True)
class Projector:
    kind: str                   # A: LayerNorm, GELU, biases; B: RMSNorm, relu^2, none
    d_mid: int                  # width between its two layers; A has d_model


@dataclass(frozen=True)
class Spelling:
    lm: str = "backbone."               # tensor prefix of the decoder
    vision: str = "chat"                # chat | native | native-early
    pattern: str = "string"             # string | array | layers_block_type | layer_types
    limit: str = "bare"                 # bare | string | object | big | absent
    rename: dict = field(default_factory=dict)   # canonical config key -> alias
    extra: dict = field(default_factory=dict)    # further keys of the decoder's config
    top: dict = field(default_factory=dict)      # further keys of the outer config
    stacked_experts: bool = False
    files: str = "one"                  # one | shards | unaligned


@dataclass(frozen=True)
class Checkpoint:
    name: str
    about: str
    dtype: str
    lm: Decoder
    vision: Vision | None = None
    projector: Projector | None = None
    spelling: Spelling = Spelling()
    fp8: bool = False


# Keys that real configs carry and that the forward pass must ignore (spec/nemotron-h.md 1.3, 3.2).
TRAPS = {"expand": 2, "time_step_min": 0.001, "time_step_max": 0.1, "time_step_floor": 0.0001,
         "rope_theta": 10000, "partial_rotary_factor": 1.0, "residual_in_fp32": False, "sliding_window": None}

# Decoder(pattern, vocab, d_model, heads, KV heads, head size, d_mlp, Mamba heads, their size, groups, state, ...)
# Vision(d_vit, layers, heads, d_mlp, patch, image_size, tile, ...)

GOLDEN = Checkpoint(
    "golden", "the golden model of spec/nemotron-h.md appendix A: all four mixers", "bfloat16",
    Decoder("M-*EM*", 128, 64, 4, 2, 32, 96, 8, 16, 2, 16, chunk=8, moe=Moe(8, 3, 48, 80, 2.5)),
    spelling=Spelling(extra={"time_step_min": 0.0, "n_group": 1, "topk_group": 1}))

CHECKPOINTS = [
    GOLDEN,

    Checkpoint(
        "chat-a", "InternVL-chat form, projector A, f32, 56-pixel tiles of 4x4 patches", "float32",
        Decoder("M-*-", 304, 32, 4, 2, 16, 56, 6, 16, 2, 16, chunk=8),
        Vision(32, 2, 2, 56, 14, 56, 56), Projector("A", 32),
        Spelling(lm="language_model.backbone.", extra=TRAPS)),

    Checkpoint(
        "chat-b", "InternVL-chat form, projector B, bf16, interpolated positions (56 -> 84), CLIP constants",
        "bfloat16",
        Decoder("*MM---M*-", 288, 40, 4, 1, 16, 40, 2, 80, 1, 32, chunk=16),
        Vision(40, 2, 2, 64, 14, 56, 84, norm=CLIP), Projector("B", 72),
        Spelling(lm="language_model.backbone.", pattern="array", limit="string",
                 extra={**TRAPS, "norm_eps": 1e-3},
                 top={"img_context_token": "<image>", "img_context_token_id": 288,
                      "img_start_token": "<img>", "img_end_token": "</img>", "image_tag_type": "internvl",
                      "projector_hidden_size": 72, "vit_hidden_size": 40,
                      "norm_mean": list(CLIP[0]), "norm_std": list(CLIP[1])},
                 files="shards")),

    Checkpoint(
        "chat-v1", "InternVL-chat form, pixel shuffle v1, select_layer -2, interpolated positions (48 -> 32)",
        "bfloat16",
        Decoder("-M*-M", 280, 32, 4, 4, 16, 72, 8, 16, 4, 16, chunk=8),
        Vision(32, 3, 4, 80, 8, 48, 32, select_layer=-2, shuffle="v1"), Projector("A", 32),
        Spelling(lm="language_model.model.backbone.", pattern="string", limit="big",
                 rename={"mamba_num_heads": "mamba_n_heads", "mamba_head_dim": "mamba_d_head",
                         "ssm_state_size": "mamba_d_state", "use_conv_bias": "mamba_conv_bias"}, extra=TRAPS)),

    Checkpoint(
        "native", "transformers' own InternVL form, f32, 28-pixel tiles of 4x4 patches", "float32",
        Decoder("M**M-", 288, 32, 2, 1, 32, 64, 6, 16, 2, 16, chunk=8),
        Vision(40, 2, 5, 56, 7, 28, 28), Projector("A", 32),
        Spelling(lm="model.language_model.", vision="native", pattern="layers_block_type", limit="object",
                 extra=TRAPS)),

    Checkpoint(
        "native-early", "the early -hf form without a leading model., bf16, 48-pixel tiles of 6x6 patches",
        "bfloat16",
        Decoder("M*-M", 296, 32, 2, 2, 32, 48, 2, 16, 1, 64, chunk=8),
        Vision(32, 2, 2, 48, 8, 48, 48), Projector("A", 32),
        Spelling(lm="language_model.model.", vision="native-early", pattern="layer_types", limit="absent",
                 extra=TRAPS)),

    Checkpoint(
        "text-runs", "text only, bf16, sharded, runs of MM and ---, four groups, grouped queries of 4", "bfloat16",
        Decoder("*--MM---*M*-", 128, 32, 4, 1, 16, 48, 4, 24, 4, 16, chunk=8, eps=1e-4),
        spelling=Spelling(pattern="string", limit="big", files="shards",
                          rename={"head_dim": "attention_head_dim", "layer_norm_epsilon": "rms_norm_eps",
                                  "ssm_state_size": "mamba_state_dim", "n_groups": "mamba_num_groups"},
                          extra=TRAPS)),

    Checkpoint(
        "text-wide", "text only, bf16, large heads (attention 128, Mamba 80), state 128, names as transformers saves",
        "bfloat16",
        Decoder("M*-M", 144, 32, 2, 1, 128, 64, 2, 80, 1, 128, chunk=16, eps=1e-6),
        spelling=Spelling(lm="model.", pattern="layers_block_type", limit="absent",
                          rename={"n_groups": "mamba_n_groups", "conv_kernel": "mamba_d_conv",
                                  "chunk_size": "mamba_chunk_size"},
                          extra=TRAPS)),

    Checkpoint(
        "text-moe", "text only, f32, two expert layers with stacked experts, starts with E", "float32",
        Decoder("EM*-E", 128, 32, 4, 4, 16, 48, 6, 16, 2, 16, chunk=8, moe=Moe(5, 2, 24, 40, 1.5)),
        spelling=Spelling(lm="model.", pattern="layer_types", limit="object", stacked_experts=True,
                          rename={"n_routed_experts": "num_experts"},
                          extra={**TRAPS, "n_group": 1, "topk_group": 1})),

    Checkpoint(
        "text-f16", "text only, f16, biases in Mamba and MLP, a finite time_step_limit, tensors at odd offsets",
        "float16",
        Decoder("-M*M", 128, 48, 2, 2, 16, 64, 4, 16, 4, 16, chunk=8, eps=2e-5, dt_limit=(0.01, 0.5), biases=True),
        spelling=Spelling(lm="model.backbone.", limit="bare", files="unaligned",
                          rename={"layer_norm_epsilon": "norm_eps", "time_step_limit": "mamba_dt_limit",
                                  "head_dim": "kv_channels", "use_bias": "mamba_proj_bias"},
                          extra={k: TRAPS[k] for k in TRAPS if k != "expand"})),

    Checkpoint(
        "fp8", "text only, ModelOpt FP8: scales per tensor, one layer and lm_head left in bf16", "bfloat16",
        Decoder("M-*M*-", 128, 48, 4, 2, 32, 80, 4, 32, 2, 32, chunk=8),
        spelling=Spelling(limit="string", extra=TRAPS), fp8=True),
]
