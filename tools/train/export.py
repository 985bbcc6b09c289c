"""A checkpoint is a model directory in Hugging Face form: three BF16 shards and the small JSON files.

    python export.py DIR            writes the JSON files beside existing shards and prints the hashes
    python export.py DIR --check    loads the decoder into transformers and compares logits
"""
import hashlib
import json
import os
import re
import shutil
import sys

import torch

import chat
from model import Config, Tessera

HERE = os.path.dirname(os.path.abspath(__file__))


def config(c):
    return {
        "architectures": ["InternVLChatModel"], "model_type": "internvl_chat", "torch_dtype": "bfloat16",
        "force_image_size": c.side, "downsample_ratio": 0.5, "ps_version": "v2", "select_layer": -1, "dynamic_image_size": True, "use_thumbnail": True,
        "min_dynamic_patch": 1, "max_dynamic_patch": 10, "pad2square": False, "template": "nemotron-h-aligned", "image_tag_type": "nvlm",
        "img_context_token_id": chat.PLACE, "img_context_token": "<image>", "img_start_token": "<Image>", "img_end_token": "</Image>",
        "norm_mean": [0.485, 0.456, 0.406], "norm_std": [0.229, 0.224, 0.225], "vit_hidden_size": c.vit_dim, "projector_hidden_size": c.proj_dim,
        "tie_word_embeddings": False,
        "vision_config": {"architectures": ["InternVisionModel"], "model_type": "intern_vit_6b", "hidden_size": c.vit_dim, "num_hidden_layers": c.vit_layers,
                          "num_attention_heads": c.vit_heads, "intermediate_size": c.vit_mlp, "image_size": c.side, "patch_size": c.patch, "num_channels": 3,
                          "qkv_bias": True, "qk_normalization": False, "norm_type": "layer_norm", "layer_norm_eps": 1e-6, "hidden_act": "gelu",
                          "attention_dropout": 0.0, "dropout": 0.0, "drop_path_rate": 0.0, "initializer_factor": 0.1, "initializer_range": 0.02,
                          "use_flash_attn": False, "torch_dtype": "bfloat16"},
        "llm_config": llm_config(c)}


def llm_config(c):
    return {"architectures": ["NemotronHForCausalLM"], "model_type": "nemotron_h", "hidden_size": c.dim, "num_hidden_layers": len(c.pattern),
            "hybrid_override_pattern": c.pattern, "num_attention_heads": c.heads, "num_key_value_heads": c.kv_heads, "head_dim": c.head_dim,
            "attention_bias": False, "attention_dropout": 0.0, "intermediate_size": c.mlp, "mlp_hidden_act": "relu2", "mlp_bias": False,
            "mamba_num_heads": c.m_heads, "mamba_head_dim": c.m_head_dim, "mamba_hidden_act": "silu", "ssm_state_size": c.state, "n_groups": c.groups,
            "conv_kernel": c.conv, "use_conv_bias": True, "mamba_proj_bias": False, "use_bias": False, "chunk_size": 128, "expand": 2, "vocab_size": c.vocab,
            "tie_word_embeddings": False, "layer_norm_epsilon": 1e-5, "time_step_limit": [0.0, 1e30], "time_step_min": 0.0, "time_step_max": 0.1,
            "time_step_floor": 0.0, "residual_in_fp32": False, "max_position_embeddings": 4096, "num_logits_to_keep": 1, "use_cache": True,
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "bfloat16"}


def write_json(path, obj):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(obj, f, indent=2, ensure_ascii=False)
        f.write("\n")


def small_files(out, c):
    write_json(f"{out}/config.json", config(c))
    shutil.copy(os.path.join(HERE, "tokenizer.json"), f"{out}/tokenizer.json")
    write_json(f"{out}/tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>",
        "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False, "model_max_length": 4096, "chat_template": chat.TEMPLATE})
    write_json(f"{out}/generation_config.json", {"bos_token_id": 1, "eos_token_id": [2, 11], "pad_token_id": 0, "do_sample": False, "max_new_tokens": 256})


def save(state, out, c, shard_bytes=14 * 2 ** 20 - 65536):
    """state: name -> tensor, written as BF16 in shards of at most 14 MiB."""
    from safetensors.torch import save_file
    os.makedirs(out, exist_ok=True)
    small_files(out, c)
    shards, size = [{}], 0
    for k, v in state.items():
        t = v.detach().to(torch.bfloat16).cpu().contiguous()
        n = t.numel() * 2
        if size + n > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][k] = t
        size += n
    index, total = {}, 0
    for i, s in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(s, f"{out}/{name}.tmp", metadata={"format": "pt"})
        os.replace(f"{out}/{name}.tmp", f"{out}/{name}")
        for k, t in s.items():
            index[k] = name
            total += t.numel() * 2
    write_json(f"{out}/model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})


def load(path, dtype=torch.float32):
    """The model of a directory, in float32 unless told otherwise."""
    from safetensors.torch import load_file
    with open(f"{path}/config.json") as f:
        d = json.load(f)
    v, m = d["vision_config"], d["llm_config"]
    c = Config(side=d["force_image_size"], patch=v["patch_size"], vit_dim=v["hidden_size"], vit_layers=v["num_hidden_layers"], vit_heads=v["num_attention_heads"],
               vit_mlp=v["intermediate_size"], proj_dim=d["projector_hidden_size"], dim=m["hidden_size"], pattern=m["hybrid_override_pattern"], heads=m["num_attention_heads"],
               kv_heads=m["num_key_value_heads"], head_dim=m["head_dim"], mlp=m["intermediate_size"], m_heads=m["mamba_num_heads"], m_head_dim=m["mamba_head_dim"],
               state=m["ssm_state_size"], groups=m["n_groups"], conv=m["conv_kernel"], vocab=m["vocab_size"], dtype=dtype)
    net = Tessera(c)
    state = {}
    for name in sorted(x for x in os.listdir(path) if x.endswith(".safetensors")):
        state.update(load_file(f"{path}/{name}"))
    net.load_state_dict({k: t.float() for k, t in state.items()})
    return net.to(dtype), c


def check(path):
    """The decoder in transformers against ours: logits of a random prompt shorter than the chunk, float32."""
    import transformers
    net, c = load(path)
    net.eval()
    d = dict(llm_config(c))
    d.pop("architectures"), d.pop("torch_dtype")
    kinds = {"M": "mamba", "*": "attention", "-": "mlp"}
    pattern = d.pop("hybrid_override_pattern")
    d.pop("num_hidden_layers")
    d.update(layers_block_type=[kinds[k] for k in pattern], use_mamba_kernels=False, chunk_size=256, attn_implementation="eager", time_step_limit=(0.0, float("inf")))
    d["time_step_min"] = 1e-3          # the initialiser takes its logarithm; the forward pass below must not floor dt
    cfg = transformers.NemotronHConfig(**d)
    hf = transformers.NemotronHForCausalLM(cfg).float().eval()
    for m in hf.modules():
        if hasattr(m, "time_step_min"):
            m.time_step_min = 0.0
        if hasattr(m, "time_step_limit"):
            m.time_step_limit = (0.0, float("inf"))
    hf.config.time_step_min = 0.0
    ours = {k[len("language_model."):]: v for k, v in net.state_dict().items() if k.startswith("language_model.")}
    own = hf.state_dict()
    prefix = "model." if any(k.startswith("model.") for k in own) else "backbone."
    ours = {re.sub(r"^backbone\.", prefix, k): v for k, v in ours.items()}
    missing = set(own) - set(ours)
    print("transformers", transformers.__version__, "missing", sorted(missing)[:5], "surplus", sorted(set(ours) - set(own))[:5])
    hf.load_state_dict(ours, strict=False)
    torch.manual_seed(0)
    ids = torch.randint(32, c.vocab, (1, 100))
    with torch.no_grad():
        a = hf(ids).logits[0]
        x = net.embed(ids, torch.full_like(ids, -1), None)
        b = net.logits(net.decode(torch.nn.functional.pad(x, (0, 0, 0, 28)), torch.nn.functional.pad(torch.ones_like(ids), (0, 28))))[0, :100]
    err = ((a - b).norm() / a.norm()).item()
    print(f"decoder logits, transformers against ours, float32, 100 tokens: relative {err:.1e}, max abs {(a - b).abs().max().item():.1e}, argmax equal {(a.argmax(-1) == b.argmax(-1)).float().mean().item():.3f}")
    assert err < 1e-4


def main():
    path = sys.argv[1]
    if "--check" in sys.argv:
        return check(path)
    small_files(path, load(path)[1])
    for f in sorted(os.listdir(path)):
        with open(f"{path}/{f}", "rb") as g:
            print(hashlib.sha256(g.read()).hexdigest(), f)


if __name__ == "__main__":
    main()
