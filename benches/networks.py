"""The networks that PyTorch is measured with."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def rotate(x, angles):
    """RoPE on pairs (i, i + D/2) of `[batch, heads, n, D]`, as our network does it."""
    cos, sin = angles
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)


def angles(positions, head_dim, base=10_000.0):
    """Cosines and sines for some positions, each `[n, D/2]`."""
    rates = base ** (-torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim)
    phase = positions.float()[:, None] * rates
    return phase.cos(), phase.sin()


class Norm(nn.RMSNorm):
    """RMSNorm whose gain takes the type of its input: PyTorch has no fused form for mixed types."""

    def forward(self, x):
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Modern(nn.Module):
    """Pre-norm block with QK-norm, RoPE and SwiGLU: the shape of ours."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.norm1, self.norm2 = Norm(width, eps=1e-6), Norm(width, eps=1e-6)
        self.q_norm, self.k_norm = Norm(self.head_dim, eps=1e-6), Norm(self.head_dim, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x, angles, attend):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.q_norm(q), angles).to(v.dtype), rotate(self.k_norm(k), angles).to(v.dtype)
        x = x + self.out(attend(q, k, v).transpose(1, 2).reshape(b, n, d))
        gate, value = self.up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * value)


class Plain(nn.Module):
    """Pre-norm block with GELU of 4 times the width and no positions: as plain as a transformer gets."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x, angles, attend):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        x = x + self.out(attend(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Network(nn.Module):
    """Ids `[batch, n]` to logits of the first `predicted` positions. Id `vocab` is the mask."""

    def __init__(self, block, layers, width, heads, hidden, vocab):
        super().__init__()
        self.embed, self.head = nn.Embedding(vocab + 1, width), nn.Linear(width, vocab, bias=False)
        self.blocks = nn.ModuleList(block(width, heads, hidden) for _ in range(layers))
        self.norm = Norm(width, eps=1e-6) if block is Modern else nn.Identity()

    def forward(self, ids, angles, attend=F.scaled_dot_product_attention, predicted=None):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, angles, attend)
        return self.head(self.norm(x if predicted is None else x[:, :predicted]))


def forward_flops(network, rows, predicted, pairs):
    """Multiplications and additions of the matrix products: the count of `drdiff bench`. `pairs` are all allowed pairs
    of the batch."""
    block = network.blocks[0]
    matrices = sum(weight.numel() for weight in block.parameters() if weight.dim() == 2)
    products = 2 * rows * len(network.blocks) * matrices + 2 * predicted * network.head.weight.numel()
    return products + len(network.blocks) * attention_flops(pairs, block.heads, block.head_dim)


def attention_flops(pairs, heads, head_dim):
    return 4 * pairs * heads * head_dim
