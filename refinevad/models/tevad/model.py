"""TEVAD: RTFM on visual features and captions, each with a temporal module of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from refinevad.layers.dropout import Dropout
from refinevad.layers.magnitude import magnitude_losses
from refinevad.layers.mlp import mlp, xavier
from refinevad.layers.mtn import MTN
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.rtfm.model import SECOND, weights_of
from refinevad.models.tevad.config import TEVADConfig


class TEVAD(Detector):
    """``f_m = dropout(MTN_m(x_m))``; side by side, or ``dropout(ReLU(W f_1)) + f_2``; then RTFM's
    head. Of one modality it is RTFM."""

    Config = TEVADConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "magnitude", "sparsity", "smooth")
    config: TEVADConfig

    def __init__(self, config: TEVADConfig, task: Task) -> None:
        super().__init__(config, task)
        self.widths = list(task.widths.values())
        self.temporal = nn.ModuleList(MTN(width) for width in self.widths)
        self.dropout = Dropout(config.dropout)
        self.joined = None
        width = task.width
        if config.fusion == "add" and len(self.widths) == 2:
            first, width = self.widths
            self.joined = nn.Linear(first, width)
        self.head = mlp(width, (config.hidden, SECOND), config.dropout)
        xavier(self)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        _, scores = self._score(x, mask)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _score(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, ·)`` and scores ``(B, T)``, float32."""
        self.require_width(x)
        parts = [
            self.dropout(module(part, mask))
            for module, part in zip(self.temporal, torch.split(x, self.widths, dim=-1), strict=True)
        ]
        if self.joined is None:
            f = torch.cat(parts, dim=-1)
        else:
            f = self.dropout(self.joined(parts[0]).relu()) + parts[1]
        return f, self.head(f).squeeze(-1).float().sigmoid()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Those of RTFM: :func:`refinevad.layers.magnitude.magnitude_losses`."""
        f, scores = self._score(batch.x, None)
        return magnitude_losses(f, scores, batch.abnormal, weights_of(self.config, self.training))
