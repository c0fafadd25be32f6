"""Top-k logistic regression: segments are scored independently, a video by its k largest scores."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        scores = self._logits(x).sigmoid()
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _logits(self, x: Tensor) -> Tensor:
        """``(B, T)``, float32."""
        self.require_width(x)
        logits: Tensor = self.scorer(x).squeeze(-1).float()
        return logits

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy of a video's mean top-k score or logit, and the squared norm."""
        logits = self._logits(batch.x)
        everywhere = torch.ones_like(logits, dtype=torch.bool)
        if self.config.pool == "logits":
            video = top_k_mean(logits, everywhere, self.config.top_k)
            bce = F.binary_cross_entropy_with_logits(video, batch.abnormal.float())
        else:
            video = top_k_mean(logits.sigmoid(), everywhere, self.config.top_k)
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
