"""The choice of a detector's smoothing on held-out videos, where the study file says ``auto``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Protocol

import numpy as np

from refinevad.config.detector import DetectorConfig
from refinevad.config.training import ObjectiveConfig
from refinevad.layers.smoothing import SEGMENTS, SHARES, Smoothing
from refinevad.models.base import Detector
from refinevad.training.judge import Judge


class Judged(Protocol):
    """A detector and the held-out videos that judge it."""

    @property
    def judged(self) -> Detector: ...
    @property
    def judge(self) -> Judge: ...


@dataclass(frozen=True)
class Chosen:
    """The detector's section with numbers in place of ``auto``."""

    config: DetectorConfig
    metrics: dict[str, float] = field(default_factory=dict)
    """The numbers that were chosen, and the objective's metric with them; empty: nothing was."""


def choose_smoothing(
    folds: Sequence[Judged], config: DetectorConfig, objective: ObjectiveConfig
) -> Chosen:
    """Tries every pair of widths and shares on the held-out videos, and sets the best of them.

    The mean over folds of ``objective.metric`` decides; of equal ones the least smoothing.
    """
    if "auto" not in (config.smooth_segments, config.video_share):
        return Chosen(config)
    widths = SEGMENTS if config.smooth_segments == "auto" else (config.smooth_segments,)
    shares = SHARES if config.video_share == "auto" else (config.video_share,)
    scores = [fold.judge.scores_of_crops(fold.judged) for fold in folds]
    best: tuple[float, Smoothing] | None = None
    for segments, share in product(widths, shares):
        smoothing = Smoothing(segments, share)
        values = [
            fold.judge.metric_of(smoothing(own.flatten(0, 1)).view_as(own).mean(1))
            for fold, own in zip(folds, scores, strict=True)
        ]
        if best is None or float(np.mean(values)) > best[0]:
            best = float(np.mean(values)), smoothing
    assert best is not None
    value, smoothing = best
    for fold in folds:
        fold.judged.smoothing = smoothing
    numbers = {"smooth_segments": smoothing.segments, "video_share": smoothing.share}
    return Chosen(
        config.model_copy(update=numbers),
        {f"smoothing/{name}": float(number) for name, number in numbers.items()}
        | {f"val/smoothed_{objective.metric}": value},
    )
