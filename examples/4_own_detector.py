"""Adds a detector in one file, checks it against the contract, and trains it.

    python examples/4_own_detector.py

In the package a detector is a folder `refinevad/models/<name>/` and a line in
`refinevad/models/registry.py` (CONTRIBUTING.md); commands, studies and checkpoints then know it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

import refinevad
from refinevad.config import DetectorConfig
from refinevad.layers import bag_cross_entropy, top_k_mean
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.registry import register
from refinevad.testing import DetectorContract


class ContrastConfig(DetectorConfig):
    """A segment is judged by how far it is from its video's mean."""

    name: Literal["contrast"] = "contrast"
    """Which detector this section describes."""
    hidden: int = 32
    """Width of the hidden layer."""


class Contrast(Detector):
    """An MLP on a segment and on its difference from the video's mean."""

    Config = ContrastConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss",)
    config: ContrastConfig

    def __init__(self, config: ContrastConfig, task: Task) -> None:
        super().__init__(config, task)
        self.mlp = nn.Sequential(
            nn.Linear(2 * task.width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 1)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        self.require_width(x)
        valid = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        weight = valid.unsqueeze(-1).to(x)
        mean = (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        scores = self.mlp(torch.cat([x, x - mean], dim=-1)).squeeze(-1).float().sigmoid()
        return Prediction(scores.masked_fill(~valid, 0.0))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        scores = self(batch.x).scores
        video = top_k_mean(scores, torch.ones_like(scores, dtype=torch.bool))
        return {"loss": bag_cross_entropy(video, batch.abnormal)}


register(Contrast)

contract = DetectorContract()
checks = [name for name in dir(contract) if name.startswith("test_")]
for name in checks:
    getattr(contract, name)(ContrastConfig(hidden=8))
print(f"the contract's {len(checks)} checks passed")

config = refinevad.Config.model_validate(
    {
        "data": {"synthetic": "ucf-like"},
        "model": {"name": "contrast"},
        "train": {"epochs": 5, "batch_size": 32, "lr": 1e-3},
    }
)
trained = refinevad.train_detector(config, seed=1)
print(f"test AUC {trained.metrics['test/auc']:.3f} (synthetic data)")
