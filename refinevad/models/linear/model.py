"""Top-k logistic regression: segments are scored independently, a video by its k largest scores."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from refinevad.config.detector import DetectorConfig
from refinevad.layers.mil import bag_cross_entropy, top_k_mean
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.linear.config import LinearConfig


class Linear(Detector):
    """``s_t = sigmoid(w . x_t + b)``; D + 1 parameters."""

    Config = LinearConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "l2")
    config: LinearConfig

    def __init__(self, config: LinearConfig, task: Task) -> None:
        super().__init__(config, task)
        self.scorer = nn.Linear(task.width, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        self.require_width(x)
        scores = self.scorer(x).squeeze(-1).float().sigmoid()  # (B, T)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy of a video's mean top-k score, and the squared norm."""
        scores = self(batch.x).scores
        video = top_k_mean(scores, torch.ones_like(scores, dtype=torch.bool), self.config.top_k)
        bce = bag_cross_entropy(video, batch.abnormal)
        l2 = self.scorer.weight.float().square().sum() if self.config.l2 else bce.new_zeros(())
        return {"loss": bce + self.config.l2 * l2, "bce": bce, "l2": l2}

    @classmethod
    def held_out_losses(
        cls, scores: Tensor, labels: Tensor, config: DetectorConfig
    ) -> dict[str, Tensor]:
        """The binary cross-entropy of a video's mean top-k score."""
        assert isinstance(config, LinearConfig)
        video = top_k_mean(scores, torch.ones_like(scores, dtype=torch.bool), config.top_k)
        return {"bce": bag_cross_entropy(video, labels.any(dim=1))}
