"""Compare a trace of the C runtime with this model, stage by stage.

    tessera trace -m DIR --dtype f32 --image P.png -p "Describe this image." -o TRACE
    python parity.py DIR TRACE P.png "Describe this image."
"""
import sys

import numpy as np
import torch
from PIL import Image

import export
from chat import Coder
from data import MAX_TILES
from model import normalise, shuffle
from tiles import make_tiles


def main():
    path, trace, picture, question = sys.argv[1:]
    net, c = export.load(path)
    get = lambda n: np.load(f"{trace}/{n}.npy")
    a = np.asarray(Image.open(picture).convert("RGB"))
    tiles, grid = make_tiles(np.ascontiguousarray(np.dstack([a[..., ::-1], a[..., :1]])), MAX_TILES)
    theirs = get("tiles").reshape(tiles.shape)
    print("tiles", tiles.shape, "equal" if np.array_equal(tiles, theirs) else f"differ by up to {np.abs(tiles.astype(int) - theirs.astype(int)).max()}")
    ids = Coder(f"{path}/tokenizer.json").prompt(len(tiles), question)
    got = get("prompt.ids").reshape(-1)
    print("prompt ids", "equal" if np.array_equal(np.where(np.array(ids) == 18, -1, ids), np.where(got < 0, -1, got)) else f"differ:\n{ids}\n{got.tolist()}")

    def say(name, ours, them):
        them = torch.from_numpy(np.asarray(them, np.float32)).reshape(-1)
        ours = ours.reshape(-1)
        if len(ours) != len(them):
            print(name, "sizes", len(ours), len(them))
            return
        print(f"{name:22s} relative {((ours - them).norm() / ours.norm()).item():.1e}  max abs {(ours - them).abs().max().item():.1e}")

    with torch.no_grad():
        px = normalise(torch.from_numpy(tiles))
        x = net.vision_model.embeddings(px)
        for i, l in enumerate(net.vision_model.encoder.layers):
            x = l(x)
            say(f"vision.layer.{i:02d}", x, get(f"vision.layer.{i:02d}"))
        rows = net.mlp1(shuffle(x[:, 1:])).reshape(-1, c.dim)
        say("projector.out", rows, get("projector.out"))
        t = torch.tensor([ids])
        row = torch.full_like(t, -1)
        row[t == 18] = torch.arange(len(rows))
        x = net.embed(t, row, rows)
        lg, _ = net.prefill(x)
        them = get("lm.logits")
        say("lm.logits (last)", lg, them.reshape(-1, c.vocab)[-1])
        print("top", lg.topk(3).indices.tolist(), np.argsort(-them.reshape(-1, c.vocab)[-1])[:3].tolist())


if __name__ == "__main__":
    main()
