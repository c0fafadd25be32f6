"""An autoencoder that learns normal segments; the score is how badly a segment is rebuilt."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from refinevad.models.ae.config import AutoencoderConfig
from refinevad.models.base import Batch, Detector, Prediction, Task

MOMENTUM = 0.1
"""How fast the median follows that of a batch."""


class Autoencoder(Detector):
    """``D-512-128-512-D`` with ReLU; score ``e / (1 + e)``, e the mean squared error over its
    median on normal training segments."""

    Config = AutoencoderConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "mse")
    config: AutoencoderConfig
    median: Tensor
    batches: Tensor

    def __init__(self, config: AutoencoderConfig, task: Task) -> None:
        super().__init__(config, task)
        width = task.width * config.stack
        self.body = nn.Sequential(
            nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.code),
            nn.ReLU(), nn.Linear(config.code, config.hidden), nn.ReLU(),
            nn.Linear(config.hidden, width),
        )  # fmt: skip
        self.register_buffer("median", torch.ones(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        e = self._errors(x) / self.median.clamp(min=1e-12)
        scores = e / (1 + e)
        if self.config.per_video:
            scores = _from_0_to_1(scores, mask)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _errors(self, x: Tensor) -> Tensor:
        """``(B, T)`` mean squared errors, float32."""
        self.require_width(x)
        if self.config.stack > 1:
            x = _with_earlier(x, self.config.stack)
        errors: Tensor = (self.body(x).float() - x.float()).square().mean(dim=-1)
        return errors

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The mean squared error of normal videos; abnormal ones are not read."""
        errors = self._errors(batch.x[~batch.abnormal])
        mse = errors.sum() / max(1, errors.numel())
        if self.training and errors.numel():
            with torch.no_grad():
                follow = MOMENTUM if self.batches else 1.0
                self.median.lerp_(errors.median(), follow)
                self.batches.add_(1)
        return {"loss": mse, "mse": mse}


def _with_earlier(x: Tensor, count: int) -> Tensor:
    """``(B, T, count D)``: each segment after those before it; the first one stands for what is
    missing."""
    time = torch.arange(x.shape[1], device=x.device)
    earlier = [x[:, (time - back).clamp(min=0)] for back in reversed(range(count))]
    return torch.cat(earlier, dim=-1)


def _from_0_to_1(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Every video's scores, the least 0 and the largest 1; all 0 where they are the same."""
    valid = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    low = scores.masked_fill(~valid, torch.inf).amin(dim=1, keepdim=True)
    high = scores.masked_fill(~valid, -torch.inf).amax(dim=1, keepdim=True)
    return ((scores - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
