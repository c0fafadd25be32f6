"""What makes X^tc of the fused features: the paper's MoTAR, two rivals, or nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinevad.config.data import ModelConfig
from refinevad.layers.lgt import LGTAdapter
from refinevad.layers.mtn import MTN
from refinevad.models.refinevad.motar import MoTAR


class Unchanged(nn.Module):
    """X^tc = X: every segment stands alone."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """``x (B, T, D)`` and no shift, zeros ``(B, T)``."""
        return x, torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)


TEMPORAL: dict[str, type[MoTAR | MTN | LGTAdapter | Unchanged]] = {
    "motar": MoTAR,
    "mtn": MTN,
    "lgt": LGTAdapter,
    "none": Unchanged,
}
"""Module by its name in :class:`refinevad.config.ModelConfig`."""
