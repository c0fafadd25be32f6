"""The interface of a detector, as the trainer, the scorer and the tables use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from refinevad.config.detector import DetectorConfig
from refinevad.errors import InputError
from refinevad.layers.mil import top_k_mean
from refinevad.layers.smoothing import Smoothing

SMALLEST_DEVIATION = 1e-6
"""Deviation below which a feature counts as constant."""
VIDEOS_AT_ONCE = 64
"""Videos whose features are in double precision at once."""


@dataclass(frozen=True)
class Task:
    """The task that a detector is built for: features and categories of the data set."""

    widths: Mapping[str, int]
    """Modality -> feature width, in the order in which the input concatenates them."""
    categories: tuple[str, ...]
    """C names of anomaly categories."""
    category_embeddings: Tensor | None = None
    """``(C + 1, D_text)`` text embeddings of normal and the categories, rows of length 1, for
    detectors that use them; None: there are none."""

    @property
    def width(self) -> int:
        """Width D of the input, all modalities concatenated."""
        return sum(self.widths.values())


@dataclass(frozen=True)
class Batch:
    """Training videos of equal length, in no meaningful order."""

    x: Tensor
    """``(B, T, D)`` features, float32, as the detector's ``normalised`` gives them."""
    labels: Tensor
    """``(B, C)`` bool; no label: a normal video."""

    @property
    def abnormal(self) -> Tensor:
        """``(B,)`` bool."""
        return self.labels.any(dim=1)


@dataclass(frozen=True)
class Prediction:
    """A detector's output for B videos of T segments."""

    scores: Tensor
    """``(B, T)`` in [0, 1], float32; 0 where padded."""
    category_probs: Tensor | None = None
    """``(B, C)`` probability of each category; None: the detector knows no categories."""
    class_probs: Tensor | None = None
    """``(B, T, C + 1)`` probability of each class of a segment, normal first; sums to 1. None:
    the detector names no classes in time."""
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)
    """Metric name -> ``(B,)``; their means are logged with every evaluation."""
    by_kind: Mapping[str, Tensor] = field(default_factory=dict)
    """Metric name -> ``(B,)``; their means over abnormal and over normal videos are logged apart,
    as ``<name>_abnormal`` and ``<name>_normal``, where ``objective.monitor`` is on."""


@dataclass(frozen=True)
class Split:
    """The part of the training videos that a detector may learn from."""

    features: Tensor
    """``(N, crops, T, D)`` of all training videos, any float type, on the run's device."""
    videos: Tensor
    """``(M,)`` int64 on the CPU: rows of ``features`` that belong to the part."""
    labels: Tensor
    """``(M, C)`` bool, on the run's device."""


class Detector(nn.Module, ABC):
    """A detector that is trained by gradient steps.

    A subclass stands in ``models/<name>/model.py`` and has a line in ``models/registry.py``. It
    must pass ``refinevad.testing.detectors.DetectorContract``, which the tests run over the
    registry.

    Args:
        config: Its section of the study file.
        task: Features and categories of the data set.
    """

    Config: ClassVar[type[DetectorConfig]]
    loss_names: ClassVar[tuple[str, ...]] = ("loss",)
    """Keys of :meth:`losses` in their order; ``loss`` carries the gradient."""

    config: DetectorConfig
    task: Task

    def __init__(self, config: DetectorConfig, task: Task) -> None:
        super().__init__()
        self.config = config
        self.task = task
        segments, share = config.smooth_segments, config.video_share
        self.smoothing = Smoothing(
            1 if segments == "auto" else segments, 0.0 if share == "auto" else share
        )
        """What follows the scores in :meth:`predict`; a run sets it where it is ``auto``."""
        if config.normalise == "standard":
            self.register_buffer("feature_mean", torch.zeros(task.width))
            self.register_buffer("feature_scale", torch.ones(task.width))

    def predict(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        """The prediction from features as they are stored: normalised before :meth:`forward`,
        smoothed after it. Arguments and errors are those of :meth:`forward`."""
        found: Prediction = self(self.normalised(x), mask)
        return replace(found, scores=self.smoothing(found.scores, mask))

    def normalised(self, x: Tensor) -> Tensor:
        """Features ``(…, D)`` as ``config.normalise`` asks for them."""
        if self.config.normalise == "none":
            return x
        self.require_width(x)
        if self.config.normalise == "l2":
            return nn.functional.normalize(x, dim=-1)
        mean, scale = self.get_buffer("feature_mean"), self.get_buffer("feature_scale")
        return (x - mean) / scale

    def fit_normalisation(self, split: Split) -> None:
        """Reads means and deviations of the training part, where ``config.normalise`` needs them.

        A feature that never changes is only centred.
        """
        if self.config.normalise != "standard":
            return

        def mean_of(of: Callable[[Tensor], Tensor]) -> Tensor:
            total, count = torch.zeros((), device=split.features.device), 0
            for part in torch.split(split.videos, VIDEOS_AT_ONCE):
                rows = split.features[part.to(split.features.device)].flatten(0, 2).double()
                total = total + of(rows).sum(dim=0)
                count += len(rows)
            return total / count

        mean = mean_of(lambda rows: rows)
        deviation = mean_of(lambda rows: (rows - mean).square()).sqrt()
        scale = torch.where(deviation > SMALLEST_DEVIATION, deviation, 1.0)
        self.get_buffer("feature_mean").copy_(mean)
        self.get_buffer("feature_scale").copy_(scale)

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        """Scores every segment. No label ever gets here.

        Args:
            x: ``(B, T, D)`` features, float32, as :meth:`normalised` gives them.
            mask: ``(B, T)`` bool, True where valid, at least one a video. None: everywhere.

        Raises:
            InputError: The features have another width than the detector was built for.
        """

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The training losses of a batch: scalars named ``loss_names``.

        ``loss`` is their weighted sum; the others are unweighted, for the curve.
        """

    def prepare(self, split: Split) -> None:
        """Reads the training part once, before the first epoch."""

    @classmethod
    def video_scores(cls, scores: Tensor, config: DetectorConfig) -> Tensor:
        """Video scores for validation: ``(N, T)`` segment scores to ``(N,)``.

        By default the mean of the T // 16 + 1 largest.
        """
        return top_k_mean(scores, torch.ones_like(scores, dtype=torch.bool))

    @classmethod
    def held_out_losses(
        cls, scores: Tensor, labels: Tensor, config: DetectorConfig
    ) -> dict[str, Tensor]:
        """Losses of held-out videos, for comparison with those of training; by default none.

        Args:
            scores: ``(N, T)`` segment scores, crops averaged.
            labels: ``(N, C)`` bool; no label: a normal video.
            config: Configuration of the detector.

        Returns:
            Some of ``loss_names`` -> scalar, computed as in :meth:`losses` but over all N videos.
        """
        return {}

    def effects(self, x: Tensor, labels: Tensor) -> dict[str, float]:
        """What the parts of a trained detector do, by metric name; by default nothing.

        Args:
            x: ``(N, T, D)`` features of held-out videos, crops averaged, on the detector's device.
            labels: ``(N, C)`` bool.
        """
        return {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser; by default one."""
        return [{"params": list(self.parameters())}]

    def take_frozen(self, source: Detector) -> None:
        """Takes the transferable parts of a detector of another data set, and freezes them.

        This detector was built for the categories of ``source``; labels of the data set that it
        is trained on then have no index.

        Raises:
            InputError: The detector has no transferable part, or the two do not fit.
        """
        raise InputError(
            f"{self.config.name} has no part that can be taken from another data set and frozen"
        )

    def resize_for(self, state: Mapping[str, Tensor]) -> None:
        """Resizes weights whose sizes were learnt; most detectors have none.

        Raises:
            RuntimeError: The tensors do not fit each other.
        """

    def require_width(self, x: Tensor) -> None:
        """Raises InputError where features have another width than the detector was built for."""
        if x.shape[-1] != self.task.width:
            raise InputError(
                f"features are {x.shape[-1]} wide, but the model was built for {self.task.width}: "
                "use the features it was trained on"
            )


class FittedDetector(Detector):
    """A detector without gradient steps; its fitted values are buffers."""

    loss_names: ClassVar[tuple[str, ...]] = ()
    trained_on: ClassVar[Literal["both", "normal"]] = "both"
    """The training videos that :meth:`fit` is given."""

    @abstractmethod
    def fit(self, split: Split, rng: np.random.Generator) -> None:
        """Learns from the training part; every random draw comes from ``rng``."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """None: there is nothing to train by."""
        raise TypeError(f"{self.config.name} is fitted, not trained")

    def resize_for(self, state: Mapping[str, Tensor]) -> None:
        """Gives every buffer the shape of its tensor in ``state``."""
        for name, buffer in list(self.named_buffers()):
            if name in state and state[name].shape != buffer.shape:
                owner, _, leaf = name.rpartition(".")
                shape = state[name].shape
                empty = torch.empty(shape, dtype=buffer.dtype, device=buffer.device)
                self.get_submodule(owner).register_buffer(leaf, empty)
