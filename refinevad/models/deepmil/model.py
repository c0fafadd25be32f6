"""Deep MIL ranking: the best segment of an abnormal video must outscore those of normal ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from refinevad.config.detector import DetectorConfig
from refinevad.layers.mil import (
    bag_cross_entropy,
    fine_grained_loss,
    mil_loss,
    paired_mil_loss,
    regulariser,
    top_k_logits,
    top_k_mean,
)
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.deepmil.config import DeepMILConfig

LAST = 32
"""Width of the last hidden layer."""


class DeepMIL(Detector):
    """``D-hidden-32-1`` with ReLU after the first layer, dropout after both, sigmoid."""

    Config = DeepMILConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "mil", "reg", "class")
    config: DeepMILConfig

    def __init__(self, config: DeepMILConfig, task: Task) -> None:
        super().__init__(config, task)
        self.body = nn.Sequential(
            nn.Linear(task.width, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, LAST),
            nn.Dropout(config.dropout),
        )
        self.scorer = nn.Linear(LAST, 1)
        self.classifier = nn.Linear(LAST, len(task.categories) + 1) if config.fine_grained else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        scores, logits = self._score(x)
        if mask is not None:
            scores = scores.masked_fill(~mask, 0.0)
        if logits is None:
            return Prediction(scores)
        video = top_k_logits(logits, mask).softmax(dim=-1)  # (B, C + 1)
        return Prediction(scores, video[:, 1:], class_probs=logits.softmax(dim=-1))

    def _score(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores ``(B, T)`` and class logits ``(B, T, C + 1)``, float32."""
        self.require_width(x)
        h = self.body(x)
        scores = self.scorer(h).squeeze(-1).float().sigmoid()
        return scores, None if self.classifier is None else self.classifier(h).float()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The ranking hinge, smoothness + sparsity, and the class head's cross-entropy."""
        config = self.config
        scores, logits = self._score(batch.x)
        zero = scores.new_zeros(())
        mask = torch.ones_like(scores, dtype=torch.bool)
        with torch.autocast(scores.device.type, enabled=False):
            video = top_k_mean(scores, mask, config.top_k)
            mil = self._video_loss(video, batch.abnormal, config)
            reg = regulariser(scores, mask, batch.abnormal) if config.lambda_smooth else zero
            named = zero
            if logits is not None and config.lambda_class:
                named = fine_grained_loss(logits, batch.labels)
        total = mil + config.lambda_smooth * reg + config.lambda_class * named
        return {"loss": total, "mil": mil, "reg": reg, "class": named}

    @classmethod
    def held_out_losses(
        cls, scores: Tensor, labels: Tensor, config: DetectorConfig
    ) -> dict[str, Tensor]:
        """The loss of the videos' scores, a hinge over all pairs."""
        assert isinstance(config, DeepMILConfig)
        video = top_k_mean(scores, torch.ones_like(scores, dtype=torch.bool), config.top_k)
        over_all = config.model_copy(update={"pairs": "all"})
        return {"mil": cls._video_loss(video, labels.any(dim=1), over_all)}

    @staticmethod
    def _video_loss(video: Tensor, abnormal: Tensor, config: DeepMILConfig) -> Tensor:
        if config.mil_loss == "bce":
            return bag_cross_entropy(video, abnormal, config.label_smoothing)
        hinge = mil_loss if config.pairs == "all" else paired_mil_loss
        return hinge(video, abnormal, config.margin)
