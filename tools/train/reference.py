"""The model directory in transformers, piece by piece, against a trace of the C runtime: every named value of both.

    tessera trace --backend ref --dtype f32 --image P.png -p "Describe this image." -o TRACE
    python reference.py DIR TRACE [TOLERANCE]

The encoder is transformers' InternVL, the projector that of its nemotron_h_omni, the decoder its NemotronH, float32;
tiles and prompt ids are the trace's own. The error of a value is the norm of the difference over the norm of the
reference; 2e-3 is allowed unless told otherwise (keys and values are kept in bf16), more where the runtime rounds the
inputs of products to bf16 as well.
"""
import json
import os
import sys
from types import SimpleNamespace as Fields

import numpy as np
import transformers
from safetensors.torch import load_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from oracle_reference import Reference, run_lm, run_vision


def fields(path):
    """config.json in the words of oracle_zoo."""
    with open(f"{path}/config.json") as f:
        d = json.load(f)
    v, m = d["vision_config"], d["llm_config"]
    vision = Fields(d_vit=v["hidden_size"], n_layers=v["num_hidden_layers"], n_heads=v["num_attention_heads"], d_mlp=v["intermediate_size"],
                    image_size=v["image_size"], patch=v["patch_size"], tile=d["force_image_size"], n_patches=(d["force_image_size"] // v["patch_size"]) ** 2,
                    shuffle=d["ps_version"], select_layer=d["select_layer"], norm=(d["norm_mean"], d["norm_std"]))
    lm = Fields(moe=None, vocab=m["vocab_size"], d_model=m["hidden_size"], pattern=m["hybrid_override_pattern"], n_heads=m["num_attention_heads"],
                n_kv=m["num_key_value_heads"], head_dim=m["head_dim"], d_mlp=m["intermediate_size"], mamba_heads=m["mamba_num_heads"],
                mamba_head_dim=m["mamba_head_dim"], n_groups=m["n_groups"], d_state=m["ssm_state_size"], chunk=m["chunk_size"],
                eps=m["layer_norm_epsilon"], biases=m["use_bias"], dt_limit=tuple(m["time_step_limit"]))
    return Fields(vision=vision, lm=lm, projector=Fields(kind="B", d_mid=d["projector_hidden_size"]))


def main():
    path, trace = sys.argv[1:3]
    allowed = float(sys.argv[3]) if len(sys.argv) > 3 else 2e-3
    tensors = {}
    for name in sorted(os.listdir(path)):
        if name.endswith(".safetensors"):
            tensors.update(load_file(f"{path}/{name}"))
    c = fields(path)
    reference = Reference(c, {name.removeprefix("language_model."): value for name, value in tensors.items()})
    read = lambda name: np.load(f"{trace}/{name}.npy")
    tiles = read("tiles").reshape(-1, c.vision.tile, c.vision.tile, 3)
    wanted = run_vision(reference, tiles)
    wanted |= run_lm(reference.lm, read("prompt.ids").reshape(-1), wanted["projector.out"])
    worst = {}
    for name, want in wanted.items():
        got = read(name).reshape(want.shape)
        worst[name] = float(np.linalg.norm(got - want) / np.linalg.norm(want))
    best = [read("lm.logits").reshape(want.shape).argmax(-1), want.argmax(-1)]      # logits come last
    print(f"transformers {transformers.__version__}: {len(tiles)} tiles, {len(best[0])} rows, {len(worst)} values; relative error at most {max(worst.values()):.1e} "
          f"({max(worst, key=worst.get)}), of the logits {worst['lm.logits']:.1e}; best token equal in {(best[0] == best[1]).mean():.4f} of the rows")
    bad = {name: error for name, error in worst.items() if not error <= allowed}
    assert not bad, bad


if __name__ == "__main__":
    main()
