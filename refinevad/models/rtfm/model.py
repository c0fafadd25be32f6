"""RTFM: abnormal segments have longer features; length and score of the longest are trained."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from refinevad.layers.dropout import Dropout
from refinevad.layers.magnitude import MagnitudeWeights, magnitude_losses
from refinevad.layers.mlp import mlp, xavier
from refinevad.layers.mtn import MTN
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.rtfm.config import MagnitudeConfig, RTFMConfig

SECOND = 128
"""Width of the head's second hidden layer."""


class RTFM(Detector):
    """``f = dropout(MTN(x))``, then ``D-hidden-128-1`` with ReLU and dropout, sigmoid."""

    Config = RTFMConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "magnitude", "sparsity", "smooth")
    config: RTFMConfig

    def __init__(self, config: RTFMConfig, task: Task) -> None:
        super().__init__(config, task)
        self.temporal = MTN(task.width)
        self.dropout = Dropout(config.dropout)
        self.head = mlp(task.width, (config.hidden, SECOND), config.dropout)
        xavier(self)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        _, scores = self._score(x, mask)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _score(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, D)`` and scores ``(B, T)``, float32."""
        self.require_width(x)
        f = self.dropout(self.temporal(x, mask))
        return f, self.head(f).squeeze(-1).float().sigmoid()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """BCE of the longest segments' mean score, the loss of the lengths, sparsity, smoothness:
        :func:`refinevad.layers.magnitude.magnitude_losses`."""
        f, scores = self._score(batch.x, None)
        return magnitude_losses(f, scores, batch.abnormal, weights_of(self.config, self.training))


def weights_of(config: MagnitudeConfig, training: bool) -> MagnitudeWeights:
    """The weights of a section; no segment is dropped in evaluation."""
    return MagnitudeWeights(
        top_k=config.top_k,
        dropped=config.dropped if training else 0.0,
        alpha=config.alpha,
        margin=config.margin,
        sparsity=config.sparsity,
        smoothness=config.smoothness,
    )
