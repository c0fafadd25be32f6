"""One-class SVM: fitted by scikit-learn on normal segments, scored by torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from refinevad.errors import InputError
from refinevad.models.base import FittedDetector, Prediction, Split, Task
from refinevad.models.ocsvm.config import OneClassSVMConfig
from refinevad.models.sampling import random_segments

_CHUNK = 4096
"""Segments whose distances to all support vectors are in memory at once."""


class OneClassSVM(FittedDetector):
    """``sigmoid`` of the negated, standardised decision value of a segment."""

    Config = OneClassSVMConfig
    trained_on: ClassVar[Literal["both", "normal"]] = "normal"
    config: OneClassSVMConfig
    mean: Tensor
    components: Tensor
    support: Tensor
    weights: Tensor
    numbers: Tensor

    def __init__(self, config: OneClassSVMConfig, task: Task) -> None:
        super().__init__(config, task)
        sizes = {
            "mean": (task.width,),
            "components": (task.width, 1),
            "support": (1, 1),
            "weights": (1,),
            "numbers": (4,),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size))

    def fit(self, split: Split, rng: np.random.Generator) -> None:
        """Fits the standardisation, the principal components and the SVM.

        Raises:
            InputError: scikit-learn is not installed, or there are no two normal segments.
        """
        rows = _sample(split, self.config.segments, rng)
        decision, fitted = _fit(rows, self.config)
        spread = float(decision.std())
        fitted["numbers"] = np.array(
            [*fitted["numbers"], decision.mean(), spread if spread > 0 else 1.0]
        )
        for name, value in fitted.items():
            device = self.get_buffer(name).device
            self.register_buffer(name, torch.from_numpy(np.float32(value)).to(device))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        self.require_width(x)
        gamma, intercept, centre, spread = self.numbers.unbind()
        with torch.autocast(x.device.type, enabled=False):
            z = (x.float() - self.mean).flatten(0, -2) @ self.components  # (B T, p)
            decision = torch.cat(
                [
                    (-gamma * torch.cdist(part, self.support).square()).exp() @ self.weights
                    for part in torch.split(z, _CHUNK)
                ]
            )
            scores = (-(decision + intercept - centre) / spread).sigmoid().view(x.shape[:-1])
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def resize_for(self, state: Mapping[str, Tensor]) -> None:
        super().resize_for(state)
        width, p = self.components.shape if self.components.ndim == 2 else (-1, -1)
        fits = (
            self.mean.shape == (width,) == (self.task.width,)
            and self.support.ndim == 2
            and self.support.shape[1] == p
            and self.weights.shape == self.support.shape[:1]
            and self.numbers.shape == (4,)
        )
        if not fits:
            raise RuntimeError("its arrays do not fit each other")


def _sample(split: Split, most: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """At most so many segments of the split, any crop, in their order, ``(n, D)`` float64."""
    _, crops, length, _ = split.features.shape
    if len(split.videos) * crops * length < 2:
        raise InputError("a one-class SVM is fitted on normal videos, and there are none")
    return random_segments(split, most, rng)[0]


def _fit(
    rows: np.ndarray[Any, Any], config: OneClassSVMConfig
) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """The decision values of ``rows``, and what computes them."""
    try:
        from sklearn.decomposition import PCA
        from sklearn.svm import OneClassSVM as Solver
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise InputError(
            "the detector ocsvm is fitted by scikit-learn, which is not installed; "
            "pip install scikit-learn"
        ) from None
    with threadpool_limits(1):  # more threads change the last bits
        mean = rows.mean(axis=0)
        scale = rows.std(axis=0)
        scale[scale == 0.0] = 1.0  # a feature that never changes
        kept = min(config.components, rows.shape[1], len(rows))
        pca = PCA(kept, whiten=True, svd_solver="covariance_eigh").fit((rows - mean) / scale)
        # Directions without variance would be divided by nothing.
        kept = max(1, int((pca.explained_variance_ > 1e-10).sum()))
        components = pca.components_[:kept].T / np.sqrt(pca.explained_variance_[:kept].clip(1e-10))
        components /= scale[:, None]
        z = (rows - mean) @ components
        solver = Solver(kernel="rbf", nu=config.nu, gamma=config.gamma).fit(z)
        decision = solver.decision_function(z)
    gamma = solver._gamma if config.gamma == "scale" else config.gamma
    fitted = {
        "mean": mean,
        "components": components,
        "support": solver.support_vectors_,
        "weights": solver.dual_coef_[0],
        "numbers": np.array([gamma, solver.intercept_[0]]),
    }
    return decision, fitted
