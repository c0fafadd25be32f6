"""Dropout whose random numbers do not dominate a step on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 2**16
"""A drop probability is rounded to a multiple of one in this many."""


class Dropout(nn.Module):
    """As ``nn.Dropout``: zero with probability p, else times 1 / (1 - p); identity in evaluation.

    On a CPU torch draws one number per element, one after the other, which a training step waits
    for. Here every 64-bit draw decides on four elements. Like torch's, it follows ``manual_seed``.
    Elsewhere it is torch's own, which is a single kernel.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * LEVELS)
        if not self.training or dropped == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        level = draws.view(torch.int16)[: x.numel()].view(x.shape)  # uniform, 16 bits each
        # In-place comparison keeps int16 and is vectorised, one that makes bools is not.
        keep = level.ge_(dropped - LEVELS // 2).to(x.dtype)
        return x * keep.mul_(LEVELS / (LEVELS - dropped))

    def extra_repr(self) -> str:
        return f"p={self.p}"
