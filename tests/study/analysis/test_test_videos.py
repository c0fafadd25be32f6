"""Intervals over seeds and test videos, and the sentences that stand on them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, t

from study.analysis.test_videos import (
    FILE,
    BaselineRow,
    Found,
    Subject,
    TestVideos,
    beside_baselines,
    is_above_all,
    over_seeds_and_videos,
    read_test_videos,
    subject_of,
)


def test_where_videos_do_not_matter_the_interval_is_students() -> None:
    points = np.array([0.70, 0.72, 0.77, 0.75])
    found = over_seeds_and_videos(np.repeat(points[:, None], 20_001, axis=1), bound=0.0)
    half = t.ppf(0.975, 3) * points.std(ddof=1) / 2
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(points.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_where_seeds_do_not_matter_it_is_that_of_the_videos() -> None:
    draws = 0.8 + 0.02 * norm.rvs(size=20_000, random_state=1)
    found = over_seeds_and_videos(np.tile([0.8, *draws], (3, 1)), bound=0.0)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(0.8 - 1.96 * 0.02, abs=0.002)
    assert found.high == pytest.approx(0.8 + 1.96 * 0.02, abs=0.002)


def test_one_run_has_the_interval_of_the_videos_and_two_have_none() -> None:
    draws = np.array([[0.8, *np.linspace(0.7, 0.9, 101)]])
    one = over_seeds_and_videos(draws, bound=0.0)
    assert one is not None
    assert one.low == pytest.approx(0.705)
    two = over_seeds_and_videos(np.repeat(draws, 2, axis=0), bound=0.0)
    assert two is not None
    assert two.low is None
    assert two.high is None


@pytest.mark.parametrize("bound", [0.0, -1.0])
def test_intervals_stay_where_values_can_be(bound: float) -> None:
    points = np.array([0.99, 0.2, 0.97])
    found = over_seeds_and_videos(np.repeat(points[:, None], 501, axis=1), bound=bound)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert bound <= found.low < found.high <= 1.0


def test_a_metric_that_is_undefined_has_no_interval() -> None:
    assert over_seeds_and_videos(np.full((3, 11), math.nan), bound=0.0) is None


def test_the_interval_covers_the_difference_of_the_population() -> None:
    """Seeds and videos both vary; over seeds alone it covers far less than its rate."""
    rng = np.random.default_rng(5)
    both, alone = 0, 0
    for _ in range(400):
        videos = rng.normal(0, 0.03)  # what this test set adds, the same for all seeds
        seeds = rng.normal(0, 0.01, 3)
        points = 0.1 + videos + seeds
        resampled = rng.normal(0, 0.03, 400)
        values = np.column_stack([points, points[:, None] + resampled])
        found = over_seeds_and_videos(values, bound=-1.0, seed=int(rng.integers(1 << 30)))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        both += found.low <= 0.1 <= found.high
        half = t.ppf(0.975, 2) * points.std(ddof=1) / math.sqrt(3)
        alone += abs(points.mean() - 0.1) <= half
    assert 0.92 <= both / 400 <= 0.99
    assert alone / 400 < 0.75


def made(low: float) -> TestVideos:
    difference = Found(value=low + 0.02, low=low, high=low + 0.04)
    return TestVideos(
        digest="d",
        baselines={"plain scorer": BaselineRow(note="3 seeds", metrics={"auc": 0.8})},
        subjects={
            "best": Subject(
                trials=[7],
                mean={"auc": Found(value=0.82 + low, low=0.7, high=0.9)},
                beside={"plain scorer": {"auc": difference}},
                difference={},
            )
        },
    )


def test_a_baseline_that_is_not_beaten_is_named_with_its_interval() -> None:
    below = made(low=-0.03)
    assert not is_above_all(below)
    assert beside_baselines(below)[0] == (
        "Trial 7 does not beat the baselines: test AUC 0.790 beside plain scorer 0.800 "
        "(-0.010 [-0.030, +0.010])."
    )
    above = made(low=0.01)
    assert is_above_all(above)
    assert "above 0" in beside_baselines(above)[0]


def test_missing_baselines_say_why() -> None:
    found = made(low=0.01).model_copy(update={"baselines": {}, "missing": "one kind"})
    assert beside_baselines(found) == ["The baselines are missing: one kind."]
    assert beside_baselines(None) == []


def test_differences_are_paired_by_seed_and_resample() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.1, (3, 201))
    own = dict.fromkeys(("auc", "ano_auc", "ap"), 0.7 + shared)
    reference = dict.fromkeys(own, 0.65 + shared)
    found = subject_of([0, 1, 2], own, {"b": dict.fromkeys(own, shared[0])}, reference)
    difference = found.difference["auc"]
    assert difference.low == pytest.approx(0.05)
    assert difference.high == pytest.approx(0.05)


def test_a_file_of_other_trials_or_a_damaged_one_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / FILE
    assert read_test_videos(tmp_path, "d") is None
    path.write_text(made(low=0.0).model_dump_json())
    assert read_test_videos(tmp_path, "d") == made(low=0.0)
    assert read_test_videos(tmp_path, "another") is None
    path.write_text(path.read_text()[:50])
    assert read_test_videos(tmp_path, "d") is None


def test_names_in_mlflow() -> None:
    assert made(low=0.0).numbers() == {"baseline/plain_scorer/auc": 0.8}
