"""CLIP-TSA: RTFM on segments that a differentiable top-k lets through."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from refinevad.layers.dropout import Dropout
from refinevad.layers.magnitude import magnitude_losses
from refinevad.layers.mlp import mlp, xavier
from refinevad.layers.mtn import MTN
from refinevad.layers.perturbed_top_k import count_of, hard_top_k, perturbed_top_k
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.cliptsa.config import CLIPTSAConfig
from refinevad.models.rtfm.model import weights_of


class CLIPTSA(Detector):
    """``x' = q x`` with q the probability of being chosen; ``f = dropout(MTN(x'))``, then
    ``D-D/4-D/16-1`` with ReLU and dropout, sigmoid."""

    Config = CLIPTSAConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "magnitude", "sparsity", "smooth")
    config: CLIPTSAConfig

    def __init__(self, config: CLIPTSAConfig, task: Task) -> None:
        super().__init__(config, task)
        width = task.width
        self.chooser = mlp(width, (config.scorer,), 0.0)
        self.temporal = MTN(width)
        self.dropout = Dropout(config.dropout)
        self.head = mlp(width, (max(1, width // 4), max(1, width // 16)), config.dropout)
        xavier(self)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        """Scores with the choice made without noise."""
        self.require_width(x)
        valid = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        gate = hard_top_k(self._relevance(x), valid, self.config.rho)
        _, scores = self._score(x, gate, mask)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _relevance(self, x: Tensor) -> Tensor:
        relevance: Tensor = self.chooser(x).squeeze(-1).float().sigmoid()
        return relevance

    def _score(self, x: Tensor, gate: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, D)`` and scores ``(B, T)``, float32."""
        f = self.dropout(self.temporal(x * gate.unsqueeze(-1), mask))
        return f, self.head(f).squeeze(-1).float().sigmoid()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Those of RTFM: :func:`refinevad.layers.magnitude.magnitude_losses`."""
        config = self.config
        k = int(count_of(torch.tensor(batch.x.shape[1]), config.rho))
        relevance = self._relevance(batch.x)
        if self.training:
            gate = perturbed_top_k(relevance, k, draws=config.draws, noise=config.noise)
        else:
            gate = hard_top_k(relevance, torch.ones_like(relevance, dtype=torch.bool), config.rho)
        f, scores = self._score(batch.x, gate, None)
        return magnitude_losses(f, scores, batch.abnormal, weights_of(config, self.training))
