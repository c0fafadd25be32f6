"""Intervals of frame metrics over test videos, by a bootstrap that resamples videos."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refinevad.config.section import SNIPPET_FRAMES

Array = NDArray[Any]

REPLICATES = 1000
LEVEL = 0.95
_CHUNK = 64
"""Replicates computed at once: bounds the memory."""


class Interval(NamedTuple):
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


class VideoBootstrap:
    """Resamples of the test videos, the same for all scores, so that differences are paired.

    Abnormal and normal videos are drawn apart, each as often as there are: every resample has both
    kinds. Metrics are those of :func:`refinevad.evaluation.metrics.frame_metrics`.

    Args:
        truth: (S,) positive frames of each snippet, 0 to 16.
        offsets: (M + 1,) int; video m owns snippets ``offsets[m]:offsets[m + 1]``.
        abnormal: (M,) bool, the video label.
        replicates: Number of resamples.
        seed: Seed of the draws.
    """

    def __init__(
        self,
        truth: Array,
        offsets: Array,
        abnormal: Array,
        *,
        frames: int = SNIPPET_FRAMES,
        replicates: int = REPLICATES,
        seed: int = 0,
    ) -> None:
        self._frames = frames
        self._truth = np.asarray(truth, dtype=np.int64)
        self._video = np.repeat(np.arange(len(abnormal)), np.diff(offsets))
        self._abnormal = np.asarray(abnormal, dtype=bool)
        rng = np.random.default_rng(seed)
        counts = np.ones((replicates + 1, len(abnormal)))  # the first row: the test set as it is
        for kind in (True, False):
            own = np.flatnonzero(self._abnormal == kind)
            if len(own):
                counts[1:, own] = rng.multinomial(len(own), [1 / len(own)] * len(own), replicates)
        self.counts = counts
        """(replicates + 1, M): how often each video is in each resample; the first has all once."""

    def metrics(self, scores: Array) -> dict[str, Array]:
        """``auc``, ``ano_auc`` and ``ap``, each (replicates + 1,), the test set's own first.

        A metric that is undefined in a resample is NaN there.

        Args:
            scores: (S,) float; higher is more anomalous.
        """
        video, value, positive, negative = self._merged(np.asarray(scores))
        found = _all_metrics(video, value, positive, negative, self.counts)
        inside = self._abnormal[video]
        rows = (video[inside], value[inside], positive[inside], negative[inside])
        return {
            "auc": found[0],
            "ano_auc": _all_metrics(*rows, self.counts)[0],
            "ap": found[1],
        }

    def _merged(self, scores: Array) -> tuple[Array, Array, Array, Array]:
        """Video, score, positive and negative frames, one row per distinct score of a video."""
        order = np.lexsort((scores, self._video))
        video, value = self._video[order], scores[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (video[1:] != video[:-1]) | (value[1:] != value[:-1])
        starts = np.flatnonzero(first)
        positive = np.add.reduceat(self._truth[order], starts)
        negative = np.add.reduceat(self._frames - self._truth[order], starts)
        return video[starts], value[starts], positive, negative


def interval_of(values: Array, *, level: float = LEVEL) -> Interval | None:
    """The value and its percentile interval; None where it is undefined.

    Args:
        values: (replicates + 1,), the value itself first, as ``VideoBootstrap.metrics`` gives
            them, or a difference of two such arrays.
        level: Coverage.
    """
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or len(drawn) < 2:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(values[0]), float(low), float(high))


def _all_metrics(
    video: Array, value: Array, positive: Array, negative: Array, counts: Array
) -> tuple[Array, Array]:
    """AUC and AP of every resample, each (B,)."""
    order = np.argsort(-value, kind="stable")
    ranked = value[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    auc, ap = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    if not len(order):
        return auc, ap
    for begin in range(0, len(counts), _CHUNK):
        weight = counts[begin : begin + _CHUNK, video[order]]
        gained = np.add.reduceat(weight * positive[order], starts, axis=1)
        lost = np.add.reduceat(weight * negative[order], starts, axis=1)
        tp, fp = np.cumsum(gained, axis=1), np.cumsum(lost, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            area = (lost * (tp - gained / 2)).sum(axis=1)
            auc[begin : begin + _CHUNK] = area / (tp[:, -1] * fp[:, -1])
            precision = np.where(tp + fp > 0, tp / (tp + fp), 0.0)
            ap[begin : begin + _CHUNK] = (gained * precision).sum(axis=1) / tp[:, -1]
    return auc, ap
