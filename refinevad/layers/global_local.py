"""The encoder of UR-DMU (arXiv 2302.05160), which BN-WVAD has as well.

A convolution, then transformer layers whose heads attend globally and to near segments at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.dropout import Dropout
from refinevad.layers.lgt import nearness
from refinevad.layers.mtn import Convolution

WIDTH, HEADS, OF_HEAD, LAYERS = 512, 4, 128, 2


class GlobalLocalEncoder(nn.Module):
    """``(B, T, D) -> (B, T, 512)``.

    Args:
        width: D.
        dropout: In the layers.
        columns: Divide the nearness by the sums of its columns in place of those of its rows.
    """

    def __init__(self, width: int, dropout: float, *, columns: bool = False) -> None:
        super().__init__()
        self._summed = 1 if columns else 2
        self.stem = Convolution(width, WIDTH, 3)
        self.layers = nn.ModuleList(GlobalLocalLayer(dropout) for _ in range(LAYERS))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``x (B, T, D)``, ``mask (B, T)``."""
        h = F.relu(self.stem(x, mask))
        near = nearness(x, mask)
        if mask is not None:
            near = near * mask.unsqueeze(-1)
        near = near / near.sum(dim=self._summed, keepdim=True).clamp(min=1e-12)
        for layer in self.layers:
            h = layer(h, near, mask)
        return h


class GlobalLocalLayer(nn.Module):
    """Pre-norm. Each of four heads gives ``[softmax(q k / sqrt d) v ; G u]`` with the nearness G,
    whose rows sum to 1; then a network 512-512-512 with GELU."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.project = nn.Linear(WIDTH, 4 * HEADS * OF_HEAD, bias=False)
        self.join = nn.Sequential(nn.Linear(2 * HEADS * OF_HEAD, WIDTH), Dropout(dropout))
        self.feedforward = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU(), Dropout(dropout),
            nn.Linear(WIDTH, WIDTH), Dropout(dropout),
        )  # fmt: skip

    def forward(self, h: Tensor, near: Tensor, mask: Tensor | None) -> Tensor:
        """``h (B, T, 512)``, ``near (B, T, T)``, ``mask (B, T)`` to ``(B, T, 512)``."""
        batch, length, _ = h.shape
        projected = self.project(self.norm(h)).view(batch, length, 4, HEADS, OF_HEAD)
        query, key, value, local = projected.permute(2, 0, 3, 1, 4)  # each (B, heads, T, 128)
        allowed = None if mask is None else mask[:, None, None, :]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        beside = near.to(local.dtype).unsqueeze(1) @ local
        both = torch.cat([seen, beside], dim=-1).transpose(1, 2).reshape(batch, length, -1)
        h = h + self.join(both)
        result: Tensor = h + self.feedforward(h)
        return result
