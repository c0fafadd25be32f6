"""The snippet scorer: D -> 512 -> 128 -> 1, used twice in a pass. [c1]"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from refinevad.layers.batch_norm import masked_batch_norm
from refinevad.layers.dropout import Dropout
from refinevad.models.refinevad.config import RefineVADConfig

Pass = Literal["rough", "final"]
"""``rough`` scores MoTAR's output (it weighs the pooling), ``final`` scores CORE's."""


class TwoPassBatchNorm(nn.Module):
    """BatchNorm with shared scale and shift, and one set of running statistics per pass.

    X^tc and X^ca are two distributions. One BatchNorm would average their statistics and, in
    evaluation, normalise both with the mixture. Padded segments count in no statistic.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        for which in ("rough", "final"):
            self.register_buffer(f"{which}_mean", torch.zeros(width))
            self.register_buffer(f"{which}_var", torch.ones(width))

    def forward(self, x: Tensor, which: Pass, mask: Tensor | None) -> Tensor:
        """``(B, T, width)`` to the same shape; ``mask (B, T)``, True where valid."""
        mean: Tensor = getattr(self, f"{which}_mean")
        var: Tensor = getattr(self, f"{which}_var")
        return masked_batch_norm(x, mask, mean, var, self.weight, self.bias, training=self.training)


class SnippetScorer(nn.Module):
    """Anomaly logits of segments; the weights are those of both passes."""

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        widths = (config.d_model, 512, 128)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        batch = config.scorer_norm == "batch"
        self.norms = nn.ModuleList(
            TwoPassBatchNorm(width) if batch else nn.LayerNorm(width) for width in widths[1:]
        )
        self.dropout = Dropout(config.scorer_dropout)
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor, which: Pass, mask: Tensor | None = None) -> Tensor:
        """``(B, T, D) -> (B, T)`` logits, float32."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = linear(x)
            x = norm(x, which, mask) if isinstance(norm, TwoPassBatchNorm) else norm(x)
            x = self.dropout(x.relu())
        logits: Tensor = self.head(x).squeeze(-1)
        return logits.float()
