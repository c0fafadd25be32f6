"""Results on the test videos beside the baselines, with intervals over seeds and test videos.

A session writes them beside the ledger when it ends, because they need the data and the
checkpoints; reports and tables read the file. Nothing here enters a digest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.stats import t

from refinevad.evaluation.bootstrap import interval_of
from refinevad.training.baselines import PLAIN, REGRESSION
from study.analysis.estimate import Estimate
from study.text import capitalised

Array = NDArray[Any]

FILE = "test_videos.json"
METRICS = ("auc", "ano_auc", "ap")
TITLES = {"auc": "test AUC", "ano_auc": "AnoAUC"}
"""Metrics that sentences name, with their titles."""
BEST = "best"
"""The subject of a search: its best trial."""
FEWEST_SEEDS = 3
"""Runs below which their spread gives no interval."""


class Found(BaseModel):
    """A value and its 95% interval; without bounds where there are too few runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None

    def estimate(self) -> Estimate:
        """The same with NaN for a missing bound."""
        low = math.nan if self.low is None else self.low
        return Estimate(self.value, low, math.nan if self.high is None else self.high)


class BaselineRow(BaseModel):
    """One baseline on the test set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    note: str
    metrics: dict[str, float]
    """``auc``, ``ano_auc``, ``ap``."""


class Subject(BaseModel):
    """The best trial of a search, or one variant of a comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: list[int]
    mean: dict[str, Found]
    """Metric -> mean over the trials."""
    beside: dict[str, dict[str, Found]]
    """Baseline -> metric -> difference from it."""
    difference: dict[str, Found]
    """Metric -> difference from the reference variant, paired by seed and test video."""


class TestVideos(BaseModel):
    """Everything that a study's file of test videos holds."""

    __test__ = False  # not a test class, whatever pytest thinks of the name
    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    """Of the trials that had ended when it was written."""
    baselines: dict[str, BaselineRow]
    missing: str = ""
    """Why there are no baselines; empty where there are."""
    subjects: dict[str, Subject]
    """Variant, or ``best``."""

    def numbers(self) -> dict[str, float]:
        """The baselines' metrics as MLflow names them: ``baseline/plain_scorer/auc``."""
        return {
            f"baseline/{name.replace(' ', '_').replace('-', '_')}/{metric}": value
            for name, row in self.baselines.items()
            for metric, value in row.metrics.items()
        }


def read_test_videos(folder: Path, digest: str) -> TestVideos | None:
    """The file of a study; None where there is none, or other trials have ended since.

    Args:
        folder: ``runs/<study>``.
        digest: Of the trials that have ended.
    """
    try:
        found = TestVideos.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError, ValueError):
        return None
    return found if found.digest == digest else None


def over_seeds_and_videos(values: Array, *, bound: float, seed: int = 0) -> Found | None:
    """The mean of K runs, with an interval over their seeds and over the test videos.

    The draws are means over the runs on resampled test videos, the same resamples for all runs,
    plus what the seeds add: their standard error times a draw of Student's t with K - 1 degrees of
    freedom. Where videos do not matter this is the interval by Student's t; for one run it is
    that of the videos alone. Two runs give no interval.

    Args:
        values: (K, 1 + replicates) of :meth:`refinevad.evaluation.bootstrap.VideoBootstrap.metrics`
            or of differences of them.
        bound: Values lie in [0, 1] (``bound`` 0) or are differences in [-1, 1] (``bound`` -1);
            so does the interval.
        seed: Seed of the draws.
    """
    means = values.mean(axis=0)
    if not np.isfinite(means[0]):
        return None
    draws = means if len(values) == 1 else draws_over_seeds_and_videos(values, seed=seed)
    if draws is None:
        return Found(value=float(means[0]))
    found = interval_of(draws)
    if found is None:
        return Found(value=float(means[0]))
    low, high = max(bound, found.low), min(1.0, found.high)
    return Found(value=found.value, low=low, high=high)


def draws_over_seeds_and_videos(values: Array, *, seed: int = 0) -> Array | None:
    """The draws of :func:`over_seeds_and_videos`, (1 + replicates,), the mean itself first; None
    where there are fewer than three runs, or the metric is undefined."""
    runs = len(values)
    draws: Array = values.mean(axis=0)
    if runs < FEWEST_SEEDS or not np.isfinite(draws[0]):
        return None
    error = values[:, 0].std(ddof=1) / math.sqrt(runs)
    rng = np.random.default_rng(seed)
    draws[1:] += error * t.rvs(runs - 1, size=len(draws) - 1, random_state=rng)
    return draws


def subject_of(
    trials: Sequence[int],
    own: Mapping[str, Array],
    baselines: Mapping[str, Mapping[str, Array]],
    reference: Mapping[str, Array] | None,
) -> Subject:
    """One subject's results.

    Args:
        trials: Its trials.
        own: Metric -> (K, 1 + replicates).
        baselines: Baseline -> metric -> (1 + replicates,).
        reference: Like ``own``, of the reference's runs of the same seeds; None: there is none.
    """
    mean, difference = {}, {}
    beside: dict[str, dict[str, Found]] = {name: {} for name in baselines}
    for metric in METRICS:
        if found := over_seeds_and_videos(own[metric], bound=0.0):
            mean[metric] = found
        for name, values in baselines.items():
            if found := over_seeds_and_videos(own[metric] - values[metric], bound=-1.0):
                beside[name][metric] = found
        if reference is None:
            continue
        if found := over_seeds_and_videos(own[metric] - reference[metric], bound=-1.0):
            difference[metric] = found
    return Subject(trials=list(trials), mean=mean, beside=beside, difference=difference)


def not_beaten(subject: Subject, baselines: Mapping[str, BaselineRow], metric: str) -> list[str]:
    """The baselines that a subject does not beat, each with its value, the difference and its
    interval: ``plain scorer 0.847 (-0.029 [-0.068, +0.006])``."""
    found = []
    for name, row in baselines.items():
        difference = subject.beside.get(name, {}).get(metric)
        if difference is None or (difference.low is not None and difference.low > 0):
            continue
        between = ""
        if difference.low is not None and difference.high is not None:
            between = f" [{difference.low:+.3f}, {difference.high:+.3f}]"
        found.append(f"{name} {row.metrics[metric]:.3f} ({difference.value:+.3f}{between})")
    return found


def is_above_all(found: TestVideos) -> bool:
    """Whether every subject is above every baseline in the metrics that sentences name."""
    return not any(
        not_beaten(subject, found.baselines, metric)
        for subject in found.subjects.values()
        for metric in TITLES
        if metric in subject.mean
    )


def beside_baselines(found: TestVideos | None) -> list[str]:
    """Sentences that compare the subjects with the baselines on the test videos; none where
    nothing was compared."""
    if found is None or not found.subjects:
        return []
    if found.missing:
        return [f"The baselines are missing: {found.missing}."]
    if is_above_all(found):
        names = " and ".join(f"the {name}" for name in found.baselines)
        titles = " and ".join(TITLES.values())
        return [f"In {titles} the 95% intervals of the differences from {names} are above 0."]
    said = []
    for name, subject in found.subjects.items():
        who = f"Trial {subject.trials[0]}" if name == BEST else name
        parts = [
            f"{title} {subject.mean[metric].value:.3f} beside {', '.join(clauses)}"
            for metric, title in TITLES.items()
            if metric in subject.mean and (clauses := not_beaten(subject, found.baselines, metric))
        ]
        if parts:
            said.append(f"{who} does not beat the baselines: {'; '.join(parts)}.")
    return [*said, "In brackets: the difference with its 95% interval over test videos."]


def described(found: TestVideos | None) -> list[str]:
    """What the baselines are, in sentences."""
    if found is None:
        return []
    texts = {
        REGRESSION: "a logistic regression on the mean feature of each training video, applied to "
        "every snippet",
        PLAIN: "RefineVAD's snippet scorer alone, without temporal module and injection",
    }
    return [
        f"{capitalised(name)}: {texts[name]} ({row.note})."
        for name, row in found.baselines.items()
        if name in texts
    ]


def of_first_fold(folds: int) -> str:
    """A sentence where a trial's metrics are means over folds, and its checkpoint is of one."""
    if folds == 1:
        return ""
    return (
        f"Metrics of a trial are means over its {folds} folds; its checkpoint, which is set beside "
        "the baselines with intervals, is of the first fold."
    )
