"""Metrics of recognising categories: of abnormal videos, and that normal ones have none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TOP = 3


def recognition_metrics(probs: Array, labels: Array) -> dict[str, float]:
    """``top1``, ``top3``, ``macro_recall`` and ``commonest`` over the abnormal videos, 0 to 1.

    A video of several labels is right if the most probable category is one of them, and counts in
    the recall of each. ``commonest`` is the top1 of always naming the commonest category.

    Args:
        probs: (M, C) p_c.
        labels: (M, C) bool; rows without a label (normal videos) are left out.
    """
    labels = np.asarray(labels, dtype=bool)
    abnormal = labels.any(axis=1)
    probs, labels = probs[abnormal], labels[abnormal]
    rows = np.arange(len(labels))
    ranked = np.argsort(-probs, axis=1, kind="stable")
    right = labels[rows, ranked[:, 0]]
    near = np.take_along_axis(labels, ranked[:, :TOP], axis=1).any(axis=1)
    recalls = category_recall(probs, labels)
    return {
        "top1": float(right.mean()),
        "top3": float(near.mean()),
        "macro_recall": float(np.nanmean(recalls)),
        "commonest": float(labels.mean(axis=0).max()),
    }


def threshold_accuracy(probs: Array, labels: Array, threshold: float) -> dict[str, float]:
    """The two accuracies of the paper's Table 5, 0 to 1; NaN without such a video.

    A normal video is right (``normal_right``) if no category reaches the threshold; an abnormal one
    (``anomalies_right``) if its most probable category reaches it and is one of its labels.

    Args:
        probs: (M, C) p_c.
        labels: (M, C) bool; rows without a label are normal videos.
        threshold: τ.
    """
    labels = np.asarray(labels, dtype=bool)
    abnormal = np.asarray(labels.any(axis=1))
    reached = np.asarray((probs >= threshold).any(axis=1))
    own = np.asarray(labels[np.arange(len(labels)), probs.argmax(axis=1)]) & reached
    normal = float((~reached[~abnormal]).mean()) if (~abnormal).any() else np.nan
    return {
        "normal_right": normal,
        "anomalies_right": float(own[abnormal].mean()) if abnormal.any() else np.nan,
    }


def category_recall(probs: Array, labels: Array) -> Array:
    """(C,) share of a category's videos for which it is the most probable; NaN without a video."""
    labels = np.asarray(labels, dtype=bool)
    named = np.zeros_like(labels)
    named[np.arange(len(labels)), probs.argmax(axis=1)] = True
    counts = labels.sum(axis=0)
    hits = (named & labels).sum(axis=0)
    return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)


def confusion(probs: Array, labels: Array) -> Array:
    """(C, C) share of a category's abnormal videos (rows) that are named each category (columns).

    Rows sum to 1, or are NaN without a video; a video of several labels counts in each row.
    """
    labels = np.asarray(labels, dtype=bool)
    named = np.zeros(labels.shape)
    named[np.arange(len(labels)), probs.argmax(axis=1)] = 1.0
    counts = labels.sum(axis=0)[:, None]
    return np.where(counts > 0, labels.T.astype(float) @ named / np.maximum(counts, 1), np.nan)
