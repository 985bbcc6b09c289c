"""Train the default model.

    python train.py --out DIR --seconds 1400 [--resume DIR] [--from 0 --to 1] [--workers 14] [--rows 96]

Progress p runs from --from to --to with the wall clock, and everything that changes during training (stage, learning
rate, weight of the auxiliary loss) is a function of p: a run that is cut short leaves a checkpoint from which the next
one continues, and the last one ends with the learning rate at zero. A checkpoint is the exported model directory (BF16,
averaged weights) plus side.pt: float32 copies of the small tensors, the auxiliary head, progress and counts.
"""
import argparse
import json
import math
import multiprocessing as mp
import os
import queue
import random
import threading
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import data
import export
from model import MEAN, STD, TINY, Config, Tessera

CLASSES = 97


def stage_of(p):
    return 0 if p < .10 else 1 if p < .50 else 2


def lr_of(p):
    return 1.0 if p < .62 else max(0.0, (1 - p) / .38)


# ---------------------------------------------------------------------------------------------------------------------
# light, on the device

def light(tiles, par, noise):
    """[n,S,S,3] u8 and the parameters of data.disturb -> normalised [n,3,S,S] float32; noise is standard normal or None."""
    n, H, W = tiles.shape[:3]
    q = par[:, :, None, None, None]
    x = tiles.float() * (1 / 255)
    x = ((x - .5) * q[:, 1] + .5 + q[:, 0]).clamp(0, 1).pow(q[:, 2])
    x = x * par[:, None, None, 6:9]
    gx = q[:, 12] + q[:, 14] * ((torch.arange(W, device=tiles.device) + .5) / W)[None, None, :, None] - .5
    gy = q[:, 13] + q[:, 15] * ((torch.arange(H, device=tiles.device) + .5) / H)[None, :, None, None] - .5
    x = x * (1 + q[:, 9] * gx + q[:, 10] * gy)
    s = q[:, 4].clamp(min=.05)
    e = torch.exp(-.5 / (s * s))
    a = e / (1 + 2 * e)
    x = x * (1 - 2 * a) + a * (torch.cat([x[:, :1], x[:, :-1]], 1) + torch.cat([x[:, 1:], x[:, -1:]], 1))
    x = x * (1 - 2 * a) + a * (torch.cat([x[:, :, :1], x[:, :, :-1]], 2) + torch.cat([x[:, :, 1:], x[:, :, -1:]], 2))
    if noise is not None:
        x = x + noise.float() * q[:, 3]
    x = torch.where(q[:, 5] > 0, 1 - x, x)
    x = torch.where(q[:, 11] > 0, (x.mean(-1, keepdim=True) > q[:, 11]).float().expand_as(x), x)
    x = (x.clamp(0, 1) * 255).round() / 255
    m, d = torch.tensor(MEAN, device=x.device), torch.tensor(STD, device=x.device)
    return ((x - m) / d).permute(0, 3, 1, 2).contiguous()


# ---------------------------------------------------------------------------------------------------------------------
# optimiser

def orthogonal(g, steps=5):
    """Newton-Schulz on a batch of matrices with rows <= columns."""
    x = g.bfloat16() if g.is_cuda else g.float()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.transpose(-1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


class Muon:
    """Momentum 0.95, Nesterov, orthogonalised, scaled to the root mean square of AdamW's steps."""

    def __init__(self, params, lr, decay):
        self.lr, self.decay = lr, decay
        self.groups = {}
        for p in params:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.buf = {s: [torch.zeros_like(p) for p in ps] for s, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, scale):
        lr = self.lr * scale
        for s, ps in self.groups.items():
            b = self.buf[s]
            g = [p.grad for p in ps]
            torch._foreach_lerp_(b, g, .05)
            u = torch.stack(torch._foreach_lerp(g, b, .95))
            flip = s[0] > s[1]
            u = orthogonal(u.transpose(1, 2) if flip else u)
            u = (u.transpose(1, 2) if flip else u).float()
            torch._foreach_mul_(ps, 1 - lr * self.decay)
            torch._foreach_add_(ps, list(u.unbind(0)), alpha=-lr * .2 * math.sqrt(max(s)))


# ---------------------------------------------------------------------------------------------------------------------
# batches

class Loader:
    def __init__(self, rows, workers, n_slots, start, n_val, cuda):
        self.rows, self.cuda, self.n_val = rows, cuda, n_val
        self.slots = data.Slots(n_slots + 2 * n_val)
        ctx = mp.get_context("fork")
        self.free, self.ready, self.done = ctx.Queue(), ctx.Queue(), ctx.Queue()
        self.control = ctx.RawArray("i", 2)
        self.val = [list(range(n_slots, n_slots + n_val)), list(range(n_slots + n_val, n_slots + 2 * n_val))]
        exams = [(s, h) for h in (0, 1) for s in self.val[h]]
        for i in range(n_slots):
            self.free.put(i)
        self.procs = [ctx.Process(target=data.worker, args=(self.slots, self.free, self.ready, self.control, k, workers, start, exams[k::workers], self.done), daemon=True) for k in range(workers)]
        for p in self.procs:
            p.start()
        self.used, self.pool_max = [], n_slots // 2
        self.fresh = self.again = self.samples = 0
        self.out = queue.Queue(2)
        self.spare = queue.Queue()
        self.stop = False
        self.wait = 0.0

    def start(self):
        """The copying thread; called after the device is initialised, the processes were forked before."""
        self.side = torch.cuda.Stream() if self.cuda else None
        for _ in range(4):
            z = torch.empty((-(-self.rows * data.TILES // 16) * 16, data.SIDE, data.SIDE, 3), dtype=torch.uint8)
            self.spare.put(z.pin_memory() if self.cuda else z)
        threading.Thread(target=self._run, daemon=True).start()

    def _take(self):
        """A slot: fresh when there is one, else one used before (at most every second, over half the pool)."""
        try:
            k = self.ready.get_nowait()
        except queue.Empty:
            if len(self.used) > self.rows * 2:
                self.again += 1
                return random.choice(self.used), False
            k = self.ready.get()
        self.fresh += 1
        self.samples += int(self.slots.info[k, 2])
        return k, True

    def _run(self):
        while not self.stop:
            ks = [self._take() for _ in range(self.rows)]
            b = self.pack([k for k, _ in ks], self.spare.get())
            if self.cuda:
                with torch.cuda.stream(self.side):
                    o = self.move(b, torch.device("cuda"))
                self.side.synchronize()
                self.spare.put(b["buf"])
                b = o
            self.out.put(b)
            self.used += [k for k, new in ks if new]
            while len(self.used) > self.pool_max:
                self.free.put(self.used.pop(0))

    def pack(self, ks, buf):
        s = self.slots
        n = [int(s.info[k, 0]) for k in ks]
        tot = sum(n)
        N = max(16, -(-tot // 16) * 16)
        b = buf.numpy()
        lab = np.full((N, 256, 3), 255, np.uint8)
        par = np.repeat(data.IDENT[None], N, 0)
        row = s.row[ks].astype(np.int64)
        at = 0
        for i, (k, m) in enumerate(zip(ks, n)):
            b[at:at + m] = s.tiles[k, :m]
            lab[at:at + m] = s.labels[k, :m]
            par[at:at + m] = s.par[k, :m]
            row[i] = np.where(row[i] >= 0, row[i] + at * 64, -1)
            at += m
        b[at:N] = 0
        tgt = s.targets[ks].astype(np.int64)
        where = np.nonzero(tgt.reshape(-1) >= 0)[0]
        T = torch.from_numpy
        return dict(buf=buf, n=N, labels=T(lab), par=T(par), ids=T(s.ids[ks].astype(np.int64)), seg=T(s.seg[ks].astype(np.int64)), row=T(row),
                    where=T(where), tgt=T(tgt.reshape(-1)[where]), fam=s.fam[ks].copy(), tokens=int(s.info[ks, 1].sum()), tiles=tot, samples=int(s.info[ks, 2].sum()))

    def next(self):
        t = time.time()
        b = self.out.get()
        self.wait += time.time() - t
        if self.cuda:
            for v in b.values():
                if torch.is_tensor(v) and v.is_cuda:
                    v.record_stream(torch.cuda.current_stream())
            return b
        o = self.move(b, torch.device("cpu"))
        self.spare.put(b["buf"])
        return o

    def move(self, b, dev):
        o = dict(b)
        o["tiles_u8"] = b["buf"][:b["n"]].to(dev, non_blocking=True) if self.cuda else b["buf"][:b["n"]].clone()
        for k in ("labels", "par", "ids", "seg", "row", "where", "tgt"):
            o[k] = b[k].to(dev, non_blocking=True)
        return o


# ---------------------------------------------------------------------------------------------------------------------

def side_of(path):
    """What the BF16 shards do not hold, or None."""
    return torch.load(f"{path}/side.pt", map_location="cpu") if os.path.exists(f"{path}/side.pt") else None


class Trainer:
    def __init__(self, a):
        self.a = a
        self.dev = torch.device("cpu" if a.cpu else "cuda")
        c = Config(**(TINY if a.tiny else {}), dtype=torch.float32 if a.cpu else torch.bfloat16)
        self.c = c
        torch.manual_seed(a.seed)
        self.net = Tessera(c)
        self.aux = nn.Sequential(nn.LayerNorm(c.vit_dim), nn.Linear(c.vit_dim, 3 * CLASSES))
        self.step, self.count, self.p = 0, 0, a.p0
        if a.resume:
            self.resume(a.resume)
        self.net.to(self.dev)
        self.aux.to(self.dev)
        if a.freeze:
            for n, p in [*self.net.named_parameters(), *self.aux.named_parameters()]:
                p.requires_grad_(n.startswith("language_model"))
        self.params = [p for p in [*self.net.parameters(), *self.aux.parameters()] if p.requires_grad]
        mat = [p for n, p in self.net.named_parameters() if p.ndim == 2 and p.requires_grad and "embeddings" not in n and "lm_head" not in n]
        ids = {id(p) for p in mat}
        rest = [p for p in self.params if id(p) not in ids]
        self.muon = Muon(mat, a.lr, .05)
        self.adam = torch.optim.AdamW(rest, lr=a.adam_lr, betas=(.9, .95), weight_decay=0.0, fused=not a.cpu)
        self.ema = [p.detach().clone() for p in self.net.parameters()]
        self.light = light
        if a.compile != "none":
            torch._dynamo.config.cache_size_limit = 64
            self.net.vision_model.mark = True
            for l in self.net.vision_model.encoder.layers:
                l.compile(backend=a.compile)
            for l in self.net.language_model.backbone.layers:
                l.compile(backend=a.compile, dynamic=False)
            self.light = torch.compile(light, backend=a.compile)
        self.log_file = open(f"{a.out}/log.jsonl", "a")

    def resume(self, path):
        net, _ = export.load(path)
        state = net.state_dict()
        side = side_of(path)
        if side:
            state.update(side["small"])
            self.aux.load_state_dict(side["aux"])
            self.step, self.count = side["step"], side["count"]
        self.net.load_state_dict(state)
        print(f"resumed at step {self.step}, progress {side['p']}" if side else "resumed without side.pt: a new auxiliary head", flush=True)

    def save(self, path):
        os.makedirs(path, exist_ok=True)
        state = {n: e for (n, _), e in zip(self.net.named_parameters(), self.ema)}
        export.save(state, path, self.c)
        small = {n: e.float().cpu() for n, e in state.items() if e.ndim == 1 or "conv1d" in n}
        torch.save(dict(small=small, aux={k: v.cpu() for k, v in self.aux.state_dict().items()}, step=self.step, count=self.count, p=self.p, seed=self.a.seed,
                        version=data.VERSION, git=self.a.git), f"{path}/side.pt.tmp")
        os.replace(f"{path}/side.pt.tmp", f"{path}/side.pt")

    def forward(self, b):
        par = b["par"]
        noise = torch.randn(b["tiles_u8"].shape, device=self.dev, dtype=torch.float32 if self.a.cpu else torch.float16)
        tiles = b["tiles_u8"]
        for x in (tiles, par, noise):
            torch._dynamo.mark_dynamic(x, 0)
        half = torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.a.cpu and self.a.freeze)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.a.freeze), half:
            px = self.light(tiles, par, noise)
            rows, h = self.net.rows(px.to(self.c.dtype))
        with half:
            x = self.net.embed(b["ids"], b["row"], rows)
            out = self.net.decode(x, b["seg"])
        lg = self.net.logits(out.reshape(-1, self.c.dim)[b["where"]]).float()
        return lg, h

    def losses(self, b):
        lg, h = self.forward(b)
        tgt = b["tgt"]
        lse = lg.logsumexp(-1)
        lm = (lse - lg.gather(1, tgt[:, None])[:, 0]).mean()
        z = lse.square().mean()
        lab = b["labels"].long()
        with torch.autocast(self.dev.type, dtype=torch.bfloat16, enabled=not self.a.cpu):
            a = self.aux(h)
        a = a.float().view(-1, CLASSES)
        l = lab.view(-1)
        w = torch.where(l == 0, .25, 1.0) * (l != 255)
        ce = F.cross_entropy(a, l.clamp(max=CLASSES - 1), reduction="none")
        dense = (ce * w).sum() / w.sum().clamp(min=1)
        with torch.no_grad():
            hit = lg.argmax(-1) == tgt
            ch = (l > 0) & (l < 255)
            chars = ((a.argmax(-1) == l) & ch).sum() / ch.sum().clamp(min=1)
        return lm, z, dense, hit.float().mean(), chars

    def exam(self, loader, h):
        """Exact answers under teacher forcing (the same as greedy exact match), by family. Gradients stay on: one graph less to compile."""
        per, chars = {}, []
        for i in range(0, loader.n_val, loader.rows):
            ks = loader.val[h][i:i + loader.rows]
            n_pad = loader.rows - len(ks)
            b = loader.pack(ks + ks[:1] * n_pad, self.exam_buf)
            m = loader.move(b, self.dev)
            lg, hid = self.forward(m)
            hit = (lg.argmax(-1) == m["tgt"]).cpu().numpy()
            hid = hid.detach()
            with torch.no_grad():
                a = self.aux(hid.float()).view(-1, CLASSES).argmax(-1)
            l = m["labels"].long().view(-1)
            ch = (l > 0) & (l < 255)
            chars.append(((a == l) & ch).sum().item() / max(1, ch.sum().item()))
            w = b["where"].numpy()
            cut = np.r_[True, np.diff(w) != 1]
            run = np.cumsum(cut) - 1
            ok = np.ones(run[-1] + 1, bool)
            np.logical_and.at(ok, run, hit)
            at = w[cut]
            r = at // data.T
            seg = b["seg"].numpy().reshape(-1)[at]
            names = list(data.FAMILIES)
            for o, rr, s in zip(ok, r, seg):
                if rr < len(ks):
                    f = b["fam"][rr, s - 1]
                    per.setdefault(names[f] if f < len(names) else "chat", []).append(bool(o))
        tot = sum(map(sum, per.values())) / max(1, sum(map(len, per.values())))
        return dict(exact=round(tot, 4), n=sum(map(len, per.values())), chars=round(float(np.mean(chars)), 4), **{f: round(float(np.mean(v)), 3) for f, v in sorted(per.items())})

    def log(self, **k):
        k = {x: (round(v, 4) if isinstance(v, float) else v) for x, v in k.items()}
        line = json.dumps(k)
        print(line, flush=True)
        self.log_file.write(line + "\n")
        self.log_file.flush()

    def run(self, loader):
        a = self.a
        t0 = time.time()
        loader.start()
        n_b = -(-loader.rows * data.TILES // 16) * 16
        self.exam_buf = torch.empty((n_b, data.SIDE, data.SIDE, 3), dtype=torch.uint8)
        ema = [p for p in self.net.parameters()]
        acc, t_log, steps0, s0 = None, time.time(), self.step, 0
        last_save = last_exam = time.time()
        first, t_first = self.step, None
        skipped = 0
        while True:
            now = time.time()
            self.p = a.p0 + (a.p1 - a.p0) * min(1.0, (now - t0) / a.seconds)
            if now - t0 >= a.seconds or os.path.exists(f"{a.out}/STOP") or (a.steps and self.step - first >= a.steps):
                break
            loader.control[0] = stage_of(self.p) if a.stage is None else a.stage
            b = loader.next()
            lm, z, dense, acc_t, chars = self.losses(b)
            wd = .5 if self.p < .75 else .15
            (lm + 1e-4 * z + wd * dense).backward()
            norm = torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            if not torch.isfinite(norm).item():
                skipped += 1
                self.adam.zero_grad(set_to_none=True)
                for p in self.params:
                    p.grad = None
                if skipped > 50:
                    raise SystemExit("loss is not finite")
                continue
            warm = min(1.0, (self.step - first + 1) / (a.warm or (200 if first == 0 else 100)))
            s = warm * lr_of(self.p)
            self.muon.step(s)
            for g in self.adam.param_groups:
                g["lr"] = a.adam_lr * s
            self.adam.step()
            for p in self.params:
                p.grad = None
            k = min(.999, (1 + self.step - first) / (10 + self.step - first))
            with torch.no_grad():
                torch._foreach_lerp_(self.ema, ema, 1 - k)
            self.step += 1
            self.count += b["samples"]
            v = torch.stack([lm.detach(), dense.detach(), acc_t, chars, norm.detach()])
            acc = v if acc is None else acc + v
            s0 += b["samples"]
            if (self.step - first) in (1, 2, 5):
                print("step", self.step, f"{time.time() - now:.2f}s lm {lm.item():.3f} dense {dense.item():.3f}", flush=True)
            if self.step % a.log_every == 0:
                m = (acc / (self.step - steps0)).tolist()
                dt = time.time() - t_log
                n = self.step - steps0
                self.log(step=self.step, p=self.p, stage="ABC"[loader.control[0]], lm=m[0], dense=m[1], acc=m[2], chars=m[3], norm=m[4], lr=s, ms=1000 * dt / n, samples_s=s0 / dt,
                         wait=loader.wait / dt, again=loader.again / max(1, loader.fresh + loader.again), tiles=b["tiles"], tokens=b["tokens"], gb=(torch.cuda.max_memory_allocated() / 2 ** 30 if loader.cuda else 0.0), t=time.time() - t0)
                acc, t_log, steps0, s0, loader.wait = None, time.time(), self.step, 0, 0.0
                loader.again = loader.fresh = 0
            if time.time() - last_exam > a.exam_every:
                last_exam = time.time()
                self.examine(loader)
                t_log = time.time()
            if time.time() - last_save > a.save_every:
                last_save = time.time()
                self.save(f"{a.out}/ckpt")
        self.examine(loader)
        self.save(f"{a.out}/ckpt")
        self.log(done=True, step=self.step, p=self.p, samples=self.count, t=time.time() - t0)
        loader.control[1] = 1

    def examine(self, loader):
        """Both sets, with the averaged weights."""
        keep = [p.detach().clone() for p in self.net.parameters()]
        with torch.no_grad():
            torch._foreach_copy_(list(self.net.parameters()), self.ema)
        self.net.eval()
        for h, name in ((0, "val"), (1, "held")):
            self.log(exam=name, step=self.step, **self.exam(loader, h))
        self.net.train()
        with torch.no_grad():
            torch._foreach_copy_(list(self.net.parameters()), keep)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", required=True)
    ap.add_argument("--seconds", type=float, default=1200)
    ap.add_argument("--from", dest="p0", type=float, default=0.0)
    ap.add_argument("--to", dest="p1", type=float, default=1.0)
    ap.add_argument("--resume")
    ap.add_argument("--rows", type=int, default=96)
    ap.add_argument("--workers", type=int, default=14)
    ap.add_argument("--slots", type=int, default=1400)
    ap.add_argument("--val", type=int, default=96, help="rows of each validation set")
    ap.add_argument("--lr", type=float, default=2.5e-3)
    ap.add_argument("--adam-lr", type=float, default=2e-3)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--stage", type=int)
    ap.add_argument("--steps", type=int, default=0)
    ap.add_argument("--more", default="", help="FAMILY=FACTOR,...: another share of these families in stage C")
    ap.add_argument("--warm", type=int, default=0, help="steps until the full learning rate; 0: 200, or 100 after a resume")
    ap.add_argument("--freeze", action="store_true", help="train the decoder alone; with --cpu its products in bf16")
    ap.add_argument("--threads", type=int, default=1, help="with --cpu")
    ap.add_argument("--log-every", type=int, default=50)
    ap.add_argument("--exam-every", type=float, default=150)
    ap.add_argument("--save-every", type=float, default=100)
    ap.add_argument("--git", default="")
    ap.add_argument("--tiny", action="store_true")
    ap.add_argument("--cpu", action="store_true")
    ap.add_argument("--compile", default="", help="backend, or none")
    a = ap.parse_args()
    a.compile = a.compile or ("none" if a.cpu else "inductor")
    os.makedirs(a.out, exist_ok=True)
    random.seed(a.seed)
    for item in a.more.split(",") if a.more else ():      # before the loader's processes are born
        family, factor = item.split("=")
        data.SHARES["C"][family] *= float(factor)
    side = side_of(a.resume) if a.resume else None
    start = (side["step"] * 1000 + 10 ** 6) if side else 0
    loader = Loader(a.rows, a.workers, a.slots, start, a.val, not a.cpu)
    if a.cpu:
        torch.set_num_threads(a.threads)
    else:
        torch.set_num_threads(4)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    t = Trainer(a)
    for _ in range(2 * a.val):
        loader.done.get()
    print("validation rows are ready", flush=True)
    t.run(loader)


if __name__ == "__main__":
    main()
