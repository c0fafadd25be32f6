"""Frame and video metrics, computed per snippet with frame counts as weights.

A snippet of f frames (16 unless the data say otherwise) has one score, ``p`` positive and ``f - p``
negative frames. Counting it with these weights gives what the field gets by repeating every score
f times, on a fraction of the rows. All metrics are fractions in [0, 1]; one that is undefined (a
class is absent) is NaN.

AP and AUC equal scikit-learn's ``average_precision_score`` and ``roc_auc_score``
(``tests/refinevad/test_metrics.py``), which is not needed here. The trapezoid under the
precision-recall curve, which some published numbers are, flatters tied scores (a constant score
per video gives XD 0.749 instead of 0.499), so it is reported as ``pr_auc_trapz`` and never called
AP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinevad.config.section import SNIPPET_FRAMES

Array = NDArray[Any]


def frame_metrics(
    scores: Array, truth: Array, offsets: Array, abnormal: Array, *, frames: int = SNIPPET_FRAMES
) -> dict[str, float]:
    """Metrics of snippet scores against frame ground truth.

    Args:
        scores: (S,) float, snippets of all videos one after another; higher is more anomalous.
        truth: (S,) positive frames of each snippet, 0 to ``frames``.
        offsets: (M + 1,) int; video m owns snippets ``offsets[m]:offsets[m + 1]``.
        abnormal: (M,) bool, the video label.
        frames: Frames of a snippet.

    Returns:
        ``auc`` and ``ap`` over all frames, ``ano_auc`` over frames of abnormal videos,
        ``pr_auc_trapz``, and ``video_auc``: mean AUC of the abnormal videos that have both
        positive and negative frames.
    """
    positive, negative = _frame_counts(truth, frames)
    tp, fp = _counts_by_threshold(scores, positive, negative)
    inside = np.repeat(abnormal, np.diff(offsets))
    return {
        "auc": _auc(tp, fp),
        "ano_auc": weighted_auc(scores[inside], positive[inside], negative[inside]),
        "ap": _average_precision(tp, fp),
        "pr_auc_trapz": _trapezoid_pr_auc(tp, fp),
        "video_auc": _mean_auc_inside_videos(scores, positive, negative, offsets, abnormal),
    }


def video_label_floor(
    truth: Array, offsets: Array, abnormal: Array, *, frames: int = SNIPPET_FRAMES
) -> dict[str, float]:
    """The video-label baseline: frames' ``auc`` and ``ap`` of a scorer that knows only the label.

    A model that localises must exceed it: UCF-Crime AUC 0.816, XD-Violence AP 0.499.
    """
    label = np.repeat(np.asarray(abnormal, dtype=np.float32), np.diff(offsets))
    tp, fp = _counts_by_threshold(label, *_frame_counts(truth, frames))
    return {"auc": _auc(tp, fp), "ap": _average_precision(tp, fp)}


def video_metrics(video_scores: Array, abnormal: Array) -> dict[str, float]:
    """``auc`` and ``ap`` of video labels. Both arguments are (M,)."""
    positive = np.asarray(abnormal, dtype=np.int64)
    tp, fp = _counts_by_threshold(video_scores, positive, 1 - positive)
    return {"auc": _auc(tp, fp), "ap": _average_precision(tp, fp)}


def segment_auc(scores: Array, abnormal: Array, k: int) -> float:
    """AUC of the k largest segments of abnormal videos against all segments of normal ones.

    Needs video labels only. What it adds to the AUC of videos: a normal video's whole curve must
    stay below an abnormal video's peak, as in the frame AUC of a test set.

    Args:
        scores: (M, T) segment scores; higher is more anomalous.
        abnormal: (M,) bool, the video label.
        k: Segments that stand for an abnormal video; never more than T.
    """
    peaks = -np.sort(-scores[abnormal], axis=1)[:, :k]
    ranked = np.concatenate([peaks.ravel(), scores[~abnormal].ravel()])
    positive = np.concatenate(
        [np.ones(peaks.size, dtype=np.int64), np.zeros(ranked.size - peaks.size, dtype=np.int64)]
    )
    return weighted_auc(ranked, positive, 1 - positive)


def brier(video_scores: Array, abnormal: Array) -> float:
    """One minus the Brier score of video scores in [0, 1], so that larger is better.

    The Brier score is the mean squared difference of score and label (Brier, 1950). Both arguments
    are (M,).
    """
    squares = (np.asarray(video_scores, dtype=np.float64) - np.asarray(abnormal)) ** 2
    return float(1.0 - squares.mean())


def category_metrics(
    scores: Array,
    truth: Array,
    offsets: Array,
    labels: Array,
    categories: Sequence[str],
    *,
    frames: int = SNIPPET_FRAMES,
) -> dict[str, Mapping[str, float]]:
    """Frame metrics of each category that occurs. ``labels``: (M, C) bool.

    ``auc`` takes the category's videos with all normal videos, ``ano_auc`` its videos alone;
    ``videos`` counts them. A video with several labels counts for each.
    """
    positive, negative = _frame_counts(truth, frames)
    normal = ~labels.any(1)
    result: dict[str, Mapping[str, float]] = {}
    for index, name in enumerate(categories):
        chosen = labels[:, index]
        if not chosen.any():
            continue
        own = np.repeat(chosen, np.diff(offsets))
        both = np.repeat(chosen | normal, np.diff(offsets))
        result[name] = {
            "videos": float(chosen.sum()),
            "auc": weighted_auc(scores[both], positive[both], negative[both]),
            "ano_auc": weighted_auc(scores[own], positive[own], negative[own]),
        }
    return result


def weighted_auc(scores: Array, positive: Array, negative: Array) -> float:
    """Area under the ROC curve; row i counts as ``positive[i]`` and ``negative[i]`` frames."""
    return _auc(*_counts_by_threshold(scores, positive, negative))


def _frame_counts(truth: Array, frames: int) -> tuple[Array, Array]:
    positive = np.asarray(truth, dtype=np.int64)
    return positive, frames - positive


def _mean_auc_inside_videos(
    scores: Array, positive: Array, negative: Array, offsets: Array, abnormal: Array
) -> float:
    values = [
        weighted_auc(scores[start:end], positive[start:end], negative[start:end])
        for start, end, anomalous in zip(offsets[:-1], offsets[1:], abnormal, strict=True)
        if anomalous
    ]
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _counts_by_threshold(scores: Array, positive: Array, negative: Array) -> tuple[Array, Array]:
    """True and false positives at every distinct score taken as threshold, highest first."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # Tied scores are one threshold: keep the last row of each run of equals.
    last_of_tie = np.ones(len(ranked), dtype=bool)
    last_of_tie[:-1] = ranked[1:] != ranked[:-1]
    return np.cumsum(positive[order])[last_of_tie], np.cumsum(negative[order])[last_of_tie]


def _auc(tp: Array, fp: Array) -> float:
    if len(tp) == 0 or tp[-1] == 0 or fp[-1] == 0:
        return float("nan")
    area = _trapezoid(np.concatenate([[0], tp]), np.concatenate([[0], fp]))
    return area / (float(tp[-1]) * float(fp[-1]))


def _average_precision(tp: Array, fp: Array) -> float:
    if len(tp) == 0 or tp[-1] == 0:
        return float("nan")
    gained = np.diff(tp, prepend=0)
    return float(np.sum(gained * (tp / (tp + fp))) / tp[-1])


def _trapezoid_pr_auc(tp: Array, fp: Array) -> float:
    if len(tp) == 0 or tp[-1] == 0:
        return float("nan")
    precision = np.concatenate([[1.0], tp / (tp + fp)])
    recall = np.concatenate([[0.0], tp / tp[-1]])
    return _trapezoid(precision, recall)


def _trapezoid(y: Array, x: Array) -> float:
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)
