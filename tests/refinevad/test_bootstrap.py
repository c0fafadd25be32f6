"""Intervals over test videos, against slow loops and a known population."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refinevad.evaluation.bootstrap import VideoBootstrap, interval_of
from refinevad.evaluation.metrics import frame_metrics

Array = NDArray[Any]


def made(rng: np.random.Generator, videos: int = 12) -> tuple[Array, Array, Array, Array]:
    """Scores with ties, truth, offsets, labels of as many abnormal as normal videos."""
    lengths = rng.integers(1, 9, videos)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    abnormal = np.arange(videos) % 2 == 0
    inside = np.repeat(abnormal, lengths)
    truth = np.where(inside, rng.integers(0, 17, offsets[-1]), 0)
    scores = np.round(rng.random(offsets[-1]) + 0.3 * (truth > 8), 1)
    return scores, truth, offsets, abnormal


def test_every_resample_is_the_metric_of_the_videos_written_out() -> None:
    scores, truth, offsets, abnormal = made(np.random.default_rng(1))
    bootstrap = VideoBootstrap(truth, offsets, abnormal, replicates=70, seed=3)
    found = bootstrap.metrics(scores)
    for b, counts in enumerate(bootstrap.counts.astype(int)):
        order = [m for m, count in enumerate(counts) for _ in range(count)]
        rows = [np.arange(offsets[m], offsets[m + 1]) for m in order]
        chosen = np.concatenate(rows)
        ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        slow = frame_metrics(scores[chosen], truth[chosen], ends, abnormal[order])
        for name in ("auc", "ano_auc", "ap"):
            assert found[name][b] == pytest.approx(slow[name], abs=1e-12)


def test_the_first_is_the_test_set_and_every_resample_has_as_many_of_each_kind() -> None:
    scores, truth, offsets, abnormal = made(np.random.default_rng(2))
    bootstrap = VideoBootstrap(truth, offsets, abnormal, replicates=20)
    own = frame_metrics(scores, truth, offsets, abnormal)
    assert bootstrap.metrics(scores)["auc"][0] == pytest.approx(own["auc"], abs=1e-12)
    assert (bootstrap.counts[:, abnormal].sum(1) == abnormal.sum()).all()
    assert (bootstrap.counts[:, ~abnormal].sum(1) == (~abnormal).sum()).all()


def test_one_kind_of_video_gives_no_auc_and_no_interval() -> None:
    offsets = np.array([0, 2, 4])
    bootstrap = VideoBootstrap(np.zeros(4, int), offsets, np.zeros(2, bool), replicates=10)
    found = bootstrap.metrics(np.arange(4.0))
    assert np.isnan(found["auc"]).all()
    assert interval_of(found["auc"]) is None


def test_the_interval_of_a_difference_covers_that_of_the_population() -> None:
    """300 test sets of 60 videos each; a video's difficulty is shared by both scorers."""

    def drawn(rng: np.random.Generator, videos: int) -> tuple[Array, Array, Array, Array, Array]:
        offsets = np.arange(0, 4 * videos + 1, 4)
        abnormal = np.arange(videos) % 2 == 0
        truth = np.where(np.repeat(abnormal, 4) & (rng.random(4 * videos) < 0.5), 16, 0)
        level = np.repeat(rng.normal(0, 1, videos) + 0.5 * abnormal, 4)
        first = level + (truth > 0) * 1.0 + rng.normal(0, 1, 4 * videos)
        second = level + (truth > 0) * 0.6 + rng.normal(0, 1, 4 * videos)
        return first, second, truth, offsets, abnormal

    first, second, truth, offsets, abnormal = drawn(np.random.default_rng(0), 20_000)
    population = [frame_metrics(s, truth, offsets, abnormal)["auc"] for s in (first, second)]
    true_difference = population[0] - population[1]
    covered = 0
    for seed in range(300):
        first, second, truth, offsets, abnormal = drawn(np.random.default_rng(seed + 1), 60)
        bootstrap = VideoBootstrap(truth, offsets, abnormal, replicates=200, seed=seed)
        found = interval_of(bootstrap.metrics(first)["auc"] - bootstrap.metrics(second)["auc"])
        assert found is not None
        covered += found.low <= true_difference <= found.high
    assert 0.90 <= covered / 300 <= 0.99
