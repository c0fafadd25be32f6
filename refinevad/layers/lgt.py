"""LGT-Adapter, the local-global temporal adapter of VadCLIP (arXiv 2308.11681).

Written from the paper. Transformer blocks look inside windows of eight
segments; two graphs, of likeness and of nearness in time, look at the whole video.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.mtn import Convolution

LENGTH = 32
"""Rows of the table of positions; videos of other lengths interpolate between them."""
WINDOW = 8
BLOCKS = 2
ALIKE = 0.7
"""Cosine similarity from which two segments are neighbours."""


def quick_gelu(x: Tensor) -> Tensor:
    """``x sigmoid(1.702 x)``."""
    return x * (1.702 * x).sigmoid()


class QuickGELU(nn.Module):
    """:func:`quick_gelu` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to the same."""
        return quick_gelu(x)


class WindowBlock(nn.Module):
    """A pre-norm transformer block with one head that attends inside windows."""

    def __init__(self, width: int, window: int = WINDOW) -> None:
        super().__init__()
        self._window = window
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, D)`` to the same shape."""
        x = x + self._attend(self.norm_attention(x), mask)
        result: Tensor = x + self.down(quick_gelu(self.up(self.norm_feedforward(x))))
        return result

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        window = self._window
        missing = -length % window
        if mask is None:
            mask = torch.ones(batch, length, dtype=torch.bool, device=x.device)
        valid = F.pad(mask, (0, missing)).view(-1, 1, window)
        valid = valid | ~valid.any(dim=-1, keepdim=True)  # of an empty window nothing is read
        windows = F.pad(self.query_key_value(x), (0, 0, 0, missing)).view(
            -1, window, 3, x.shape[-1]
        )
        query, key, value = windows.unbind(dim=2)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=valid)
        result: Tensor = self.out(seen.view(batch, length + missing, -1)[:, :length])
        return result


class GraphPair(nn.Module):
    """Two graph convolutions D -> D/2 -> D/2; the first has a convolution for its residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width // 2, bias=False)
        self.residual = Convolution(width, width // 2, 5)
        self.second = nn.Linear(width // 2, width // 2, bias=False)

    def forward(self, x: Tensor, graph: Tensor, mask: Tensor | None) -> Tensor:
        """Args: ``x (B, T, D)``, ``graph (B, T, T)`` with row t for what t receives."""
        y = quick_gelu(_mix(graph, self.first(x)) + self.residual(x, mask))
        return quick_gelu(_mix(graph, self.second(y)) + y)


def _mix(graph: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("bts,bsd->btd", graph.to(x.dtype), x)


def likeness(x: Tensor, mask: Tensor | None, above: float = ALIKE) -> Tensor:
    """``(B, T, T)``: softmax over s of cosine similarities, those up to ``above`` read as zero."""
    unit = F.normalize(x.float(), dim=-1)
    cosine = torch.einsum("btd,bsd->bts", unit, unit)
    cosine = torch.where(cosine > above, cosine, 0.0)
    if mask is not None:
        cosine = cosine.masked_fill(~mask.unsqueeze(1), -torch.inf)
    return cosine.softmax(dim=-1)


def nearness(x: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, T, T)``: ``exp(-|t - s| / e)``, zero where s is padding."""
    time = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
    near = (-(time[:, None] - time[None, :]).abs() / math.e).exp().unsqueeze(0)
    return near.expand(len(x), -1, -1) if mask is None else near * mask.unsqueeze(1)


class LGTAdapter(nn.Module):
    """``(B, T, D) -> (B, T, D)``; 18,625,537 parameters at D = 768."""

    def __init__(self, width: int, *, window: int = WINDOW, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.01 * torch.randn(LENGTH, width))
        self.blocks = nn.ModuleList(WindowBlock(width, window) for _ in range(blocks))
        self.alike = GraphPair(width)
        self.near = GraphPair(width)
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)
        """Layer of the distance graph; it is in the paper's parameter count, but unused."""
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``x (B, T, D)``, ``mask (B, T)`` to ``(B, T, D)``."""
        x = x + self._positions(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        both = [
            self.alike(x, likeness(x, mask), mask),
            self.near(x, nearness(x, mask), mask),
        ]
        result: Tensor = self.out(torch.cat(both, dim=-1))
        return result

    def _positions(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B or 1, T, D)``: the table, stretched linearly to each video's valid length."""
        time = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        if mask is None:
            lengths = torch.full((1, 1), x.shape[1], device=x.device)
        else:
            lengths = mask.sum(dim=1, keepdim=True)
        place = (time * (LENGTH - 1) / (lengths - 1).clamp(min=1)).clamp(max=LENGTH - 1)
        below = place.floor().long()
        above = (below + 1).clamp(max=LENGTH - 1)
        return torch.lerp(
            self.positions[below], self.positions[above], (place - below).unsqueeze(-1)
        )
