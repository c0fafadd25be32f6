"""A linear SVM: fitted by scikit-learn on mean features of videos, applied to segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from refinevad.errors import InputError
from refinevad.models.base import VIDEOS_AT_ONCE, FittedDetector, Prediction, Split, Task
from refinevad.models.sampling import random_segments
from refinevad.models.svm.config import LinearSVMConfig


class LinearSVM(FittedDetector):
    """``sigmoid(w . x + b)``, the decision value of a segment."""

    Config = LinearSVMConfig
    config: LinearSVMConfig
    weight: Tensor
    bias: Tensor

    def __init__(self, config: LinearSVMConfig, task: Task) -> None:
        super().__init__(config, task)
        self.register_buffer("weight", torch.zeros(task.width))
        self.register_buffer("bias", torch.zeros(1))

    def fit(self, split: Split, rng: np.random.Generator) -> None:
        """Fits the plane between the two kinds of videos.

        Raises:
            InputError: scikit-learn is not installed, or there is one kind of video only.
        """
        abnormal = split.labels.any(dim=1).cpu().numpy()
        if abnormal.all() or not abnormal.any():
            raise InputError("svm tells abnormal from normal videos, and there is one kind only")
        if self.config.level == "video":
            rows, target = _means(split), abnormal
        else:
            rows, video = random_segments(split, self.config.segments, rng)
            target = abnormal[video]
        weight, bias = _fit(rows, target, self.config.c, int(rng.integers(2**31)))
        self.weight.copy_(torch.from_numpy(weight))
        self.bias.copy_(torch.from_numpy(bias))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        self.require_width(x)
        with torch.autocast(x.device.type, enabled=False):
            scores = (x.float() @ self.weight + self.bias).sigmoid()
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))


def _means(split: Split) -> np.ndarray[Any, Any]:
    """``(M, D)`` float64: means over crops and segments."""
    parts = [
        split.features[part.to(split.features.device)].double().mean(dim=(1, 2)).cpu()
        for part in torch.split(split.videos, VIDEOS_AT_ONCE)
    ]
    return torch.cat(parts).numpy()


def _fit(
    rows: np.ndarray[Any, Any], target: np.ndarray[Any, Any], c: float, seed: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    try:
        from sklearn.svm import LinearSVC
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise InputError(
            "the detector svm is fitted by scikit-learn, which is not installed; "
            "pip install scikit-learn"
        ) from None
    with threadpool_limits(1):  # more threads change the last bits
        solver = LinearSVC(C=c, dual="auto", random_state=seed, max_iter=20_000).fit(rows, target)
    return solver.coef_[0].astype(np.float32), solver.intercept_.astype(np.float32)
