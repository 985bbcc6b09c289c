"""The network in plain PyTorch: InternViT encoder, two-layer projector, Nemotron-H decoder.

Parameter names are the checkpoint's own. Training runs on packed rows: several sequences side by side in one row of T
positions, told apart by `seg`; the recurrence is reset at each first token, attention and convolution do not look across.
`python model.py` checks the chunked form on packed rows against the plain recurrence in float64.
"""
import math
from dataclasses import dataclass, field

import torch
import torch.nn as nn
import torch.nn.functional as F

CHUNK = 64


@dataclass
class Config:
    side: int = 224
    patch: int = 14
    vit_dim: int = 256
    vit_layers: int = 8
    vit_heads: int = 4
    vit_mlp: int = 1024
    proj_dim: int = 768
    dim: int = 384
    pattern: str = "M*-M*-M*-M-"
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 128
    mlp: int = 1024
    m_heads: int = 16
    m_head_dim: int = 64
    state: int = 128
    groups: int = 2
    conv: int = 4
    vocab: int = 2048
    eps: float = 1e-5
    dtype: torch.dtype = field(default=torch.float32)


TINY = dict(vit_dim=64, vit_layers=2, vit_heads=1, vit_mlp=128, proj_dim=96, dim=96, pattern="M*-M-", heads=2, kv_heads=1, head_dim=64, mlp=192, m_heads=4, m_head_dim=32, state=32, groups=2)


def lin(x, w, b=None, dt=torch.float32):
    return F.linear(x.to(dt), w.to(dt), None if b is None else b.to(dt))


class Norm(nn.Module):
    """RMS norm; the result has the compute type."""

    def __init__(self, d, c):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.eps, self.dt = c.eps, c.dtype

    def forward(self, x):
        f = x if x.dtype == torch.float64 else x.float()
        return (f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight).to(self.dt)


class Linear(nn.Module):
    def __init__(self, i, o, c, bias=False, std=0.02):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(o, i) * std)
        self.bias = nn.Parameter(torch.zeros(o)) if bias else None
        self.dt = c.dtype

    def forward(self, x):
        return lin(x, self.weight, self.bias, self.dt)


# ---------------------------------------------------------------------------------------------------------------------
# encoder

class VitAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c.vit_dim
        self.qkv = Linear(d, 3 * d, c, True)
        self.proj = Linear(d, d, c, True, .02 / math.sqrt(2 * c.vit_layers))
        self.heads = c.vit_heads

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d))


class VitMlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc1 = Linear(c.vit_dim, c.vit_mlp, c, True)
        self.fc2 = Linear(c.vit_mlp, c.vit_dim, c, True, .02 / math.sqrt(2 * c.vit_layers))

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class VitLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c.vit_dim, 1e-6), nn.LayerNorm(c.vit_dim, 1e-6)
        self.attn, self.mlp = VitAttention(c), VitMlp(c)
        self.ls1, self.ls2 = nn.Parameter(torch.full((c.vit_dim,), .1)), nn.Parameter(torch.full((c.vit_dim,), .1))

    def forward(self, x):
        x = x + self.ls1 * self.attn(self.norm1(x))
        return x + self.ls2 * self.mlp(self.norm2(x))


class Patch(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c.vit_dim, 3, c.patch, c.patch) * .02)
        self.bias = nn.Parameter(torch.zeros(c.vit_dim))


class VitEmbeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        n = (c.side // c.patch) ** 2
        self.class_embedding = nn.Parameter(torch.randn(1, 1, c.vit_dim) * .02)
        self.position_embedding = nn.Parameter(torch.randn(1, n + 1, c.vit_dim) * .02)
        self.patch_embedding = Patch(c)
        self.c = c

    def forward(self, px):
        """px [n, 3, side, side], normalised"""
        c, n = self.c, px.shape[0]
        g = c.side // c.patch
        x = px.view(n, 3, g, c.patch, g, c.patch).permute(0, 2, 4, 1, 3, 5).reshape(n, g * g, -1)
        x = lin(x, self.patch_embedding.weight.view(c.vit_dim, -1), self.patch_embedding.bias, c.dtype)
        x = torch.cat([self.class_embedding.to(x.dtype).expand(n, -1, -1), x], 1)
        return x + self.position_embedding


class Vit(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.mark = False       # the trainer compiles the layers, with the number of tiles left open
        self.embeddings = VitEmbeddings(c)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VitLayer(c) for _ in range(c.vit_layers))

    def forward(self, px):
        x = self.embeddings(px)
        for layer in self.encoder.layers:
            if self.mark:
                torch._dynamo.mark_dynamic(x, 0)
            x = layer(x)
        return x[:, 1:]


class Relu2(nn.Module):
    def forward(self, x):
        return F.relu(x).square()


def shuffle(x):
    """[n, g*g, d] -> [n, g*g/4, 4d]: top left, top right, bottom left, bottom right of each 2x2 block."""
    n, t, d = x.shape
    g = math.isqrt(t)
    return x.view(n, g // 2, 2, g // 2, 2, d).permute(0, 1, 3, 2, 4, 5).reshape(n, t // 4, 4 * d)


# ---------------------------------------------------------------------------------------------------------------------
# decoder

def ssd(x, dt, A, B, C, first, h0=None):
    """Mamba-2 over packed rows in chunks: x [R,T,H,P], dt [R,T,H], B and C [R,T,G,N], first [R,T] (1 at a segment's first token).

    Returns y [R,T,H,P] and the state after the last token [R,H,P,N]. T is a multiple of CHUNK; a padded token has dt 0.
    """
    R, T, H, P = x.shape
    G, N = B.shape[2:]
    Q, n, K, ty = CHUNK, T // CHUNK, H // G, x.dtype
    la = (dt * A - 60.0 * first[..., None]).reshape(R, n, Q, H)
    s = la.cumsum(2).permute(0, 1, 3, 2)                                        # [R,n,H,Q]
    dtc = dt.reshape(R, n, Q, H).permute(0, 1, 3, 2)
    tri = torch.ones(Q, Q, dtype=torch.bool, device=x.device).tril()
    Bc, Cc = B.reshape(R, n, Q, G, N).transpose(2, 3), C.reshape(R, n, Q, G, N).transpose(2, 3)   # [R,n,G,Q,N]
    gram = Cc @ Bc.transpose(-1, -2)                                            # [R,n,G,Q,Q]
    decay = torch.where(tri, s[..., :, None] - s[..., None, :], -math.inf).exp() * dtc[..., None, :]
    m = (gram[:, :, :, None] * decay.reshape(R, n, G, K, Q, Q)).to(ty).reshape(R, n, H, Q, Q)
    xc = x.reshape(R, n, Q, H, P).transpose(2, 3)                                  # [R,n,H,Q,P]
    y = m @ xc
    w = (s[..., -1:] - s).exp() * dtc                                           # [R,n,H,Q]
    xw = (xc * w[..., None]).to(ty).transpose(-1, -2).reshape(R, n, G, K * P, Q)
    u = xw @ Bc                                                                 # [R,n,G,K*P,N]
    tot = s[..., -1].transpose(1, 2)                                            # [R,H,n]
    end = tot.cumsum(-1)
    tri2 = torch.ones(n, n, dtype=torch.bool, device=x.device).tril(-1)
    d2 = torch.where(tri2, (end - tot)[..., :, None] - end[..., None, :], -math.inf).exp()  # [R,H,n,n]
    uh = u.reshape(R, n, H, P * N).transpose(1, 2)                                 # [R,H,n,P*N]
    hin = d2.to(ty) @ uh
    if h0 is not None:
        hin = hin + (end - tot).exp()[..., None].to(ty) * h0.reshape(R, H, 1, P * N)
    hg = hin.transpose(1, 2).reshape(R, n, G, K * P, N)
    off = Cc @ hg.transpose(-1, -2)                                             # [R,n,G,Q,K*P]
    off = off.reshape(R, n, G, Q, K, P).permute(0, 1, 3, 2, 4, 5).reshape(R, n, Q, H, P)
    y = y.transpose(2, 3) + off * s.exp().transpose(2, 3)[..., None]
    last = (tot[..., -1:].exp() * hin[:, :, -1] + uh[:, :, -1]).reshape(R, H, P, N)
    return y.reshape(R, T, H, P), last


class Conv(nn.Module):
    def __init__(self, d, k):
        super().__init__()
        self.weight = nn.Parameter((torch.rand(d, 1, k) * 2 - 1) / math.sqrt(k))
        self.bias = nn.Parameter(torch.zeros(d))


class Mamba(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.d = d = c.m_heads * c.m_head_dim
        self.gn = c.groups * c.state
        self.cd = d + 2 * self.gn
        self.in_proj = Linear(c.dim, 2 * d + 2 * self.gn + c.m_heads, c)
        self.conv1d = Conv(self.cd, c.conv)
        dt = torch.exp(torch.rand(c.m_heads) * math.log(100) + math.log(1e-3))
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.A_log = nn.Parameter(torch.log(torch.rand(c.m_heads) * 15 + 1))
        self.D = nn.Parameter(torch.ones(c.m_heads))
        self.norm = nn.Module()
        self.norm.weight = nn.Parameter(torch.ones(d))
        self.out_proj = Linear(d, c.dim, c, std=.02 / math.sqrt(2 * len(c.pattern)))

    def forward(self, u, same, first, valid=None, state=None, want_state=False):
        """u [R,T,dim]; same[k-1] [R,T]: the token k places back is of the same segment. state: (conv rows, ssm)."""
        c, d, gn = self.c, self.d, self.gn
        R, T, _ = u.shape
        p = self.in_proj(u)
        z, xbc, dt = p[..., :d], p[..., d:d + self.cd], p[..., d + self.cd:]
        f = torch.float64 if p.dtype == torch.float64 else torch.float32
        k = c.conv
        if state is not None:
            pad = torch.cat([state[0].to(xbc.dtype), xbc], 1)
        else:
            pad = F.pad(xbc, (0, 0, k - 1, 0))
        w = self.conv1d.weight[:, 0]
        a = self.conv1d.bias + xbc * w[:, k - 1]
        for j in range(1, k):
            t = pad[:, k - 1 - j:k - 1 - j + T] * w[:, k - 1 - j]
            a = a + (t if same is None else t * same[j - 1][..., None])
        a = F.silu(a).to(c.dtype)
        x = a[..., :d].reshape(R, T, c.m_heads, c.m_head_dim)
        B = a[..., d:d + gn].reshape(R, T, c.groups, c.state)
        C = a[..., d + gn:].reshape(R, T, c.groups, c.state)
        dt = F.softplus(dt.to(f) + self.dt_bias)
        if valid is not None:
            dt = dt * valid[..., None]
        A = -torch.exp(self.A_log.to(f))
        y, h = ssd(x, dt, A, B, C, first.to(f), None if state is None else state[1])
        y = y + self.D[:, None] * x
        g = y.reshape(R, T, d).to(f) * F.silu(z.to(f))
        g = g.view(R, T, c.groups, d // c.groups)
        g = (g * torch.rsqrt(g.pow(2).mean(-1, keepdim=True) + c.eps)).view(R, T, d) * self.norm.weight
        out = self.out_proj(g)
        return (out, (pad, h)) if want_state else out

    def step(self, u, state):
        """One token: u [B,dim], state (conv rows [B,3,cd], ssm [B,H,P,N]), both replaced."""
        c, d, gn = self.c, self.d, self.gn
        p = self.in_proj(u)
        z, xbc, dt = p[:, :d], p[:, d:d + self.cd], p[:, d + self.cd:]
        win = torch.cat([state[0], xbc[:, None]], 1)
        a = F.silu(self.conv1d.bias + (win * self.conv1d.weight[:, 0].T).sum(1))
        x = a[:, :d].view(-1, c.m_heads, c.m_head_dim)
        rep = c.m_heads // c.groups
        B = a[:, d:d + gn].view(-1, c.groups, c.state).repeat_interleave(rep, 1)
        C = a[:, d + gn:].view(-1, c.groups, c.state).repeat_interleave(rep, 1)
        dt = F.softplus(dt + self.dt_bias)
        h = (dt * -torch.exp(self.A_log)).exp()[..., None, None] * state[1] + (dt[..., None] * x)[..., None] * B[:, :, None]
        y = (h * C[:, :, None]).sum(-1) + self.D[:, None] * x
        g = (y.reshape(-1, d) * F.silu(z)).view(-1, c.groups, d // c.groups)
        g = (g * torch.rsqrt(g.pow(2).mean(-1, keepdim=True) + c.eps)).view(-1, d) * self.norm.weight
        return self.out_proj(g), (win[:, 1:], h)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q_proj = Linear(c.dim, c.heads * c.head_dim, c)
        self.k_proj = Linear(c.dim, c.kv_heads * c.head_dim, c)
        self.v_proj = Linear(c.dim, c.kv_heads * c.head_dim, c)
        self.o_proj = Linear(c.heads * c.head_dim, c.dim, c, std=.02 / math.sqrt(2 * len(c.pattern)))

    def qkv(self, u):
        c, (R, T, _) = self.c, u.shape
        q = self.q_proj(u).view(R, T, c.heads, c.head_dim).transpose(1, 2)
        k = self.k_proj(u).view(R, T, c.kv_heads, c.head_dim).transpose(1, 2)
        v = self.v_proj(u).view(R, T, c.kv_heads, c.head_dim).transpose(1, 2)
        return q, k, v

    def forward(self, u, mask, past=None, want_state=False):
        c, (R, T, _) = self.c, u.shape
        q, k, v = self.qkv(u)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        rep = c.heads // c.kv_heads
        kk, vv = k.repeat_interleave(rep, 1), v.repeat_interleave(rep, 1)
        o = F.scaled_dot_product_attention(q, kk, vv, attn_mask=mask)
        o = self.o_proj(o.transpose(1, 2).reshape(R, T, -1))
        return (o, (k, v)) if want_state else o


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.up_proj = Linear(c.dim, c.mlp, c)
        self.down_proj = Linear(c.mlp, c.dim, c, std=.02 / math.sqrt(2 * len(c.pattern)))

    def forward(self, u):
        return self.down_proj(F.relu(self.up_proj(u)).square())


class Layer(nn.Module):
    def __init__(self, c, kind):
        super().__init__()
        self.kind = kind
        self.norm = Norm(c.dim, c)
        self.mixer = {"M": Mamba, "*": Attention, "-": Mlp}[kind](c)

    def forward(self, x, same, first, mask):
        u = self.norm(x)
        if self.kind == "M":
            return x + self.mixer(u, same, first)
        if self.kind == "*":
            return x + self.mixer(u, mask)
        return x + self.mixer(u)


class Embed(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c.vocab, c.dim) * .02)


class Backbone(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings = Embed(c)
        self.layers = nn.ModuleList(Layer(c, k) for k in c.pattern)
        self.norm_f = Norm(c.dim, c)


class LanguageModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.backbone = Backbone(c)
        self.lm_head = Linear(c.dim, c.vocab, c)


class Tessera(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.vision_model = Vit(c)
        self.mlp1 = nn.Sequential(Norm(4 * c.vit_dim, c), Linear(4 * c.vit_dim, c.proj_dim, c), Relu2(), Linear(c.proj_dim, c.dim, c))
        self.language_model = LanguageModel(c)

    def rows(self, px):
        """(projected rows [n*64, dim], patch states [n, 256, vit_dim])"""
        h = self.vision_model(px)
        return self.mlp1(shuffle(h)).reshape(-1, self.c.dim), h

    def embed(self, ids, row, rows):
        """Text embeddings with image rows in their places; row [R,T] is an index into rows or -1."""
        x = F.embedding(ids, self.language_model.backbone.embeddings.weight)
        if rows is not None:
            x = torch.where((row >= 0)[..., None], rows.to(x.dtype)[row.clamp(min=0)], x)
        return x

    def decode(self, x, seg):
        """Packed rows [R,T,dim] -> last hidden state, normed."""
        R, T = seg.shape
        prev = F.pad(seg, (1, 0))[:, :T]
        first = seg != prev
        same = [(F.pad(seg, (k, 0))[:, :T] == seg).to(self.c.dtype) for k in range(1, self.c.conv)]
        mask = (seg[:, :, None] == seg[:, None, :]) & torch.ones(T, T, dtype=torch.bool, device=seg.device).tril()
        mask = mask[:, None]
        for layer in self.language_model.backbone.layers:
            x = layer(x, same, first, mask)
        return self.language_model.backbone.norm_f(x)

    def logits(self, h):
        return self.language_model.lm_head(h)

    # -- one sequence, with state ----------------------------------------------------------------------------------

    @torch.no_grad()
    def prefill(self, x, cache=None):
        """x [1,T,dim] continues the cached sequence; returns (logits of the last token, cache)."""
        T0 = x.shape[1]
        pad = -T0 % CHUNK
        x = F.pad(x, (0, 0, 0, pad))
        T = T0 + pad
        valid = (torch.arange(T) < T0).to(x.dtype)[None]
        first = torch.zeros(1, T)
        new = []
        for i, layer in enumerate(self.language_model.backbone.layers):
            u = layer.norm(x)
            old = None if cache is None else cache[i]
            if layer.kind == "M":
                o, (rows, h) = layer.mixer(u, None, first, valid, old, True)
                o, new_state = o, (rows[:, T0:T0 + self.c.conv - 1], h)
            elif layer.kind == "*":
                n = 0 if old is None else old[0].shape[2]
                mask = (torch.arange(n + T)[None, :] <= torch.arange(T)[:, None] + n)[None, None]
                o, (k, v) = layer.mixer(u, mask, old, True)
                new_state = (k[:, :, :n + T0], v[:, :, :n + T0])
            else:
                o, new_state = layer.mixer(u), None
            x = x + o
            new.append(new_state)
        h = self.language_model.backbone.norm_f(x[:, T0 - 1])
        return self.logits(h)[0], new

    @torch.no_grad()
    def step(self, token, cache):
        x = self.language_model.backbone.embeddings.weight[token][None]
        new = []
        for layer, old in zip(self.language_model.backbone.layers, cache):
            u = layer.norm(x)
            if layer.kind == "M":
                o, s = layer.mixer.step(u, old)
            elif layer.kind == "*":
                o, s = layer.mixer(u[:, None], None, old, True)
                o = o[:, 0]
            else:
                o, s = layer.mixer(u), None
            x = x + o
            new.append(s)
        return self.logits(self.language_model.backbone.norm_f(x))[0], new

    @torch.no_grad()
    def generate(self, x, limit, cache=None, stop=(2, 11), ban=(18,)):
        """Greedy ids after the rows x, and the cache without the last stop token."""
        lg, cache = self.prefill(x, cache)
        out = []
        while len(out) < limit:
            lg[list(ban)] = -math.inf
            t = int(lg.argmax())
            if t in stop:
                break
            out.append(t)
            lg, cache = self.step(t, cache)
        return out, cache


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(tiles, dtype=torch.float32):
    """[n, side, side, 3] u8 -> [n, 3, side, side]"""
    m = torch.tensor(MEAN, device=tiles.device)
    s = torch.tensor(STD, device=tiles.device)
    return ((tiles.float() / 255 - m) / s).permute(0, 3, 1, 2).to(dtype)


def plain_mamba(m, u):
    """The recurrence as it is written down: one token after the other. u [T, dim] float64."""
    c, d, gn = m.c, m.d, m.gn
    h = torch.zeros(c.m_heads, c.m_head_dim, c.state, dtype=u.dtype)
    rows = torch.zeros(c.conv - 1, m.cd, dtype=u.dtype)
    out = []
    for t in range(len(u)):
        o, (r, hh) = m.step(u[t:t + 1], (rows[None], h[None]))
        rows, h = r[0], hh[0]
        out.append(o[0])
    return torch.stack(out)


def main():
    torch.manual_seed(0)
    c = Config(**TINY, dtype=torch.float64)
    net = Tessera(c).double()
    for p in net.parameters():
        p.data += torch.randn_like(p) * .1
    lens = [[70, 1, 120, 60], [251], [3, 2, 1, 40, 200]]
    T = 256
    ids = torch.randint(32, 2048, (3, T))
    seg = torch.zeros(3, T, dtype=torch.long)
    for r, ls in enumerate(lens):
        at = 0
        for i, n in enumerate(ls):
            seg[r, at:at + n] = i + 1
            at += n
    x = net.embed(ids, torch.full_like(ids, -1), None)
    packed = net.decode(x, seg)
    worst = 0.0
    for r, ls in enumerate(lens):
        at = 0
        for n in ls:
            y = x[r, at:at + n]
            for layer in net.language_model.backbone.layers:
                u = layer.norm(y)
                if layer.kind == "M":
                    o = plain_mamba(layer.mixer, u)
                elif layer.kind == "*":
                    o = layer.mixer(u[None], torch.ones(n, n, dtype=torch.bool).tril())[0]
                else:
                    o = layer.mixer(u)
                y = y + o
            y = net.language_model.backbone.norm_f(y)
            worst = max(worst, ((packed[r, at:at + n] - y).norm() / y.norm()).item())
            at += n
    print(f"packed chunked rows against the plain recurrence, float64: relative error {worst:.1e}")
    assert worst < 1e-9
    whole, _ = net.prefill(x[1:2, :200])
    a, cache = net.prefill(x[1:2, :77])
    b, cache = net.prefill(x[1:2, 77:199], cache)
    e, cache = net.step(int(ids[1, 199]), cache)
    err = ((e - whole).norm() / whole.norm()).item()
    print(f"split prefill and step against one prefill: {err:.1e}")
    assert err < 1e-9
    big = Tessera(Config())
    print("S has", sum(p.numel() for p in big.parameters()), "parameters")


if __name__ == "__main__":
    main()
