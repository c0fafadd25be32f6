"""Metrics equal scikit-learn on scores repeated frame by frame, and hand-computed numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from refinevad.evaluation.metrics import (
    category_metrics,
    frame_metrics,
    video_label_floor,
    video_metrics,
)

Array = NDArray[Any]


def _random_set(seed: int, *, ties: bool) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, size=30)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    abnormal = rng.random(30) < 0.5
    truth = rng.integers(0, 17, size=offsets[-1]) * (rng.random(offsets[-1]) < 0.4)
    truth = (truth * np.repeat(abnormal, lengths)).astype(np.uint8)
    scores = rng.random(offsets[-1]).astype(np.float32) + truth / 40
    return (np.round(scores, 1) if ties else scores), truth, offsets, abnormal


def _frames(scores: Array, truth: Array) -> tuple[Array, Array]:
    """Scores repeated sixteen times, and a label per frame."""
    labels = np.concatenate([np.repeat([1, 0], [p, 16 - p]) for p in truth.astype(int)])
    return np.repeat(scores, 16), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_weights_give_what_repeating_every_score_sixteen_times_gives(seed: int, ties: bool) -> None:
    scores, truth, offsets, abnormal = _random_set(seed, ties=ties)
    found = frame_metrics(scores, truth, offsets, abnormal)

    repeated, labels = _frames(scores, truth)
    precision, recall, _ = precision_recall_curve(labels, repeated)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, repeated), abs=1e-12)
    assert found["ap"] == pytest.approx(average_precision_score(labels, repeated), abs=1e-12)
    assert found["pr_auc_trapz"] == pytest.approx(auc(recall, precision), abs=1e-12)

    inside = np.repeat(abnormal, np.diff(offsets))
    repeated, labels = _frames(scores[inside], truth[inside])
    assert found["ano_auc"] == pytest.approx(roc_auc_score(labels, repeated), abs=1e-12)


def test_video_auc_is_the_mean_over_abnormal_videos_that_have_both_kinds_of_frames() -> None:
    scores, truth, offsets, abnormal = _random_set(7, ties=True)
    wholly_positive = int(np.flatnonzero(abnormal)[0])
    truth[offsets[wholly_positive] : offsets[wholly_positive + 1]] = 16
    values = []
    for start, end, anomalous in zip(offsets[:-1], offsets[1:], abnormal, strict=True):
        repeated, labels = _frames(scores[start:end], truth[start:end])
        if anomalous and 0 < labels.sum() < len(labels):
            values.append(roc_auc_score(labels, repeated))
    assert 3 < len(values) < abnormal.sum()
    found = frame_metrics(scores, truth, offsets, abnormal)["video_auc"]
    assert found == pytest.approx(np.mean(values), abs=1e-12)


def test_two_snippets_computed_by_hand() -> None:
    # Snippet 0 scores 0.9 with 12 positive frames; snippet 1 scores 0.1 with 4.
    found = frame_metrics(
        np.array([0.9, 0.1]), np.array([12, 4]), np.array([0, 2]), np.array([True])
    )
    # Pairs: 12 x 12 won, 12 x 4 + 4 x 12 tied, 4 x 4 lost, of 16 x 16.
    assert found["auc"] == pytest.approx((144 + 96 / 2) / 256)
    assert found["ap"] == pytest.approx(12 / 16 * 12 / 16 + 4 / 16 * 16 / 32)


def test_the_trapezoid_flatters_tied_scores_and_average_precision_does_not() -> None:
    truth = np.array([16, 0, 0, 0])
    found = frame_metrics(np.zeros(4), truth, np.array([0, 4]), np.array([True]))
    assert found["ap"] == pytest.approx(0.25)
    assert found["pr_auc_trapz"] == pytest.approx(0.625)


def test_the_floor_is_a_score_that_is_the_video_label() -> None:
    _, truth, offsets, abnormal = _random_set(3, ties=False)
    repeated, labels = _frames(np.repeat(abnormal, np.diff(offsets)).astype(float), truth)
    floor = video_label_floor(truth, offsets, abnormal)
    assert floor["auc"] == pytest.approx(roc_auc_score(labels, repeated))
    assert floor["ap"] == pytest.approx(average_precision_score(labels, repeated))


def test_video_metrics_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    abnormal = rng.random(50) < 0.4
    scores = np.round(rng.random(50) + 0.3 * abnormal, 1)
    found = video_metrics(scores, abnormal)
    assert found["auc"] == pytest.approx(roc_auc_score(abnormal, scores))
    assert found["ap"] == pytest.approx(average_precision_score(abnormal, scores))


def test_a_metric_without_positives_or_negatives_is_nan() -> None:
    offsets, normal = np.array([0, 3]), np.array([False])
    found = frame_metrics(np.arange(3.0), np.zeros(3, dtype=np.uint8), offsets, normal)
    assert all(np.isnan(value) for value in found.values())
    assert np.isnan(video_metrics(np.arange(3.0), np.ones(3, dtype=bool))["auc"])


def test_a_category_is_judged_with_the_normal_videos_and_alone() -> None:
    # Videos: one Abuse (positive first), one Arson (score upside down), one normal.
    scores = np.array([0.9, 0.2, 0.1, 0.8, 0.3, 0.0])
    truth = np.array([16, 0, 16, 0, 0, 0])
    offsets = np.array([0, 2, 4, 6])
    labels = np.array([[True, False, False], [False, True, False], [False, False, False]])
    found = category_metrics(scores, truth, offsets, labels, ["Abuse", "Arson", "Absent"])
    assert found == {
        "Abuse": {"videos": 1, "auc": 1.0, "ano_auc": 1.0},
        "Arson": {"videos": 1, "auc": pytest.approx(1 / 3), "ano_auc": 0.0},
    }


def _ground_truth(annotations: Path, frames: dict[str, int]) -> tuple[Array, Array, Array]:
    """Truth, offsets and abnormal of an annotation file; ``frames``: length of each test video."""
    events: dict[str, list[tuple[int, int]]] = {}
    for line in annotations.read_text().splitlines():  # `name [Class] start end …`; -1: none
        name, *rest = line.split()
        bounds = [int(part) for part in rest if part.lstrip("-").isdigit()]
        pairs = zip(bounds[::2], bounds[1::2], strict=True)
        events[name.removesuffix(".mp4")] = [pair for pair in pairs if pair[0] >= 0]
    truth = []
    for name, length in frames.items():
        positive = np.zeros(length // 16 * 16, dtype=int)
        for start, end in events.get(name, []):
            positive[start:end] = 1
        truth.append(positive.reshape(-1, 16).sum(1))
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in truth])])
    abnormal = np.array([bool(events.get(name)) for name in frames])
    return np.concatenate(truth), offsets, abnormal


def test_the_floors_of_ucf_and_xd_are_the_known_ones(real_data: Path) -> None:
    ucf = real_data / "ucf-crime-captions"
    table = pd.read_csv(ucf / "frames.csv").query("split == 'test'")
    frames = dict(zip(table["video"], table["n_frames"], strict=True))
    floor = video_label_floor(*_ground_truth(ucf / "Temporal_Anomaly_Annotation.txt", frames))
    assert floor["auc"] == pytest.approx(0.816, abs=5e-4)
    assert floor["ap"] == pytest.approx(0.182, abs=5e-4)

    xd = real_data / "xd-violence-lists"
    table = pd.read_csv(xd / "test_frames.csv")
    frames = dict(zip(table["video"], table["n_frames"], strict=True))
    truth, offsets, abnormal = _ground_truth(xd / "annotations.txt", frames)
    floor = video_label_floor(truth, offsets, abnormal)
    assert floor["ap"] == pytest.approx(0.499, abs=5e-4)
    label = np.repeat(abnormal, np.diff(offsets)).astype(np.float32)
    flattered = frame_metrics(label, truth, offsets, abnormal)
    assert flattered["pr_auc_trapz"] == pytest.approx(0.749, abs=5e-4)
