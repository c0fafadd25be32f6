"""Comparison of variants: means over seeds, and paired differences at equal seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t

from refinevad.cli import FLOOR_OF
from study.analysis.estimate import Estimate
from study.analysis.test_videos import FEWEST_SEEDS, TestVideos
from study.config.variants import REPLICATE, VARIANT
from study.ledger.records import TrialRecord

LEVEL = 0.95
OBJECTIVE = "objective"


@dataclass(frozen=True)
class VariantResult:
    """One variant's result in one metric.

    Attributes:
        name: Name of the variant.
        values: Replicate -> value; a trial without one is left out.
        mean: Mean over replicates, 95% interval by Student's t; NaN bounds below three replicates.
        sd: Standard deviation over replicates.
        difference: Mean of (this variant - reference) over replicates that both have; None for the
            reference itself and where there is no such replicate.
        with_videos: Whether the intervals cover the choice of test videos too.
    """

    name: str
    values: dict[int, float]
    mean: Estimate
    sd: float
    difference: Estimate | None
    with_videos: bool = False

    @property
    def apart(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        d = self.difference
        return d is not None and (d.low > 0 or d.high < 0)


def with_test_videos(
    results: Sequence[VariantResult], metric: str, found: TestVideos | None
) -> list[VariantResult]:
    """Results whose intervals also cover the choice of test videos, where a session wrote them.

    Args:
        results: Of one metric, intervals over seeds alone.
        metric: Its name in a trial's metrics.
        found: What the session wrote; None: nothing.
    """
    head = "selected/test/"
    if found is None or not metric.startswith(head):
        return list(results)
    name, changed = metric.removeprefix(head), []
    for result in results:
        subject = found.subjects.get(result.name)
        if subject is not None and len(subject.trials) == len(result.values):
            mean, difference = subject.mean.get(name), subject.difference.get(name)
            if mean is not None:
                result = replace(result, mean=mean.estimate(), with_videos=True)
            if result.difference is not None and difference is not None:
                result = replace(result, difference=difference.estimate())
        changed.append(result)
    return changed


Values = Mapping[str, Mapping[int, float]]
"""Variant -> replicate -> value."""


def values_of(records: Sequence[TrialRecord], variants: Sequence[str], metric: str) -> Values:
    """Values of ``metric`` (``objective``, or a final metric) by variant and replicate."""
    return {variant: _values(records, variant, metric) for variant in variants}


def variant_results(values: Values, reference: str) -> list[VariantResult]:
    """Results of every variant, with paired differences from ``reference``."""
    base = values[reference]
    results = []
    for variant, own in values.items():
        shared = sorted(own.keys() & base.keys())
        difference = None
        if variant != reference and shared:
            difference = t_interval([own[k] - base[k] for k in shared], -1.0, 1.0)
        numbers = [own[k] for k in sorted(own)]
        sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else math.nan
        mean = t_interval(numbers, 0.0, 1.0)
        results.append(VariantResult(variant, dict(own), mean, sd, difference))
    return results


def t_interval(values: Sequence[float], low: float = -math.inf, high: float = math.inf) -> Estimate:
    """Mean and its 95% interval by Student's t; the bounds are NaN below three values.

    Args:
        values: One value per seed.
        low: Smallest possible value of the mean; the interval ends there.
        high: Largest possible value of the mean, likewise.
    """
    count = len(values)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(np.mean(values))
    if count < FEWEST_SEEDS:
        return Estimate(mean, math.nan, math.nan)
    half = float(t.ppf((1 + LEVEL) / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Estimate(mean, max(low, mean - half), min(high, mean + half))


def compared(results: Sequence[VariantResult], what: str, names: Mapping[str, str]) -> str:
    """A sentence that states which variants differ from the reference.

    Args:
        results: Results in any order; the reference is the one without a difference.
        what: Name of the metric.
        names: Variant -> its title.
    """
    reference = next((r for r in results if r.difference is None and r.values), None)
    others = [r for r in results if r.difference is not None]
    if reference is None or not others:
        return f"{what}: no two variants have a trial of the same seed yet."
    called = names.get(reference.name, reference.name)
    pairs = min(len(r.values.keys() & reference.values.keys()) for r in others)
    if pairs < FEWEST_SEEDS:
        few = "one seed each gives" if pairs == 1 else f"{pairs} seeds each give"
        text = f"{what}: {few} no interval over seeds; at least {FEWEST_SEEDS} are needed"
        if any(r.with_videos for r in results):
            text += "; those in brackets are of other test videos alone"
        return f"{text}."
    groups: dict[str, list[str]] = {"above": [], "below": [], "cannot be distinguished from": []}
    for r in others:
        up = r.difference is not None and r.difference.value > 0
        verb = "cannot be distinguished from" if not r.apart else "above" if up else "below"
        groups[verb].append(f"{names.get(r.name, r.name)} ({signed(r.difference)})")
    over = f"{pairs} seeds and the test videos" if reference.with_videos else f"{pairs} seeds"
    return f"{what[:1].upper()}{what[1:]} over {over}: {_sentence(groups, called)}."


def beside_baseline(
    results: Sequence[VariantResult], baseline: float, what: str, names: Mapping[str, str]
) -> str:
    """A sentence that states which variants the video-label baseline beats; empty where no variant
    has an interval, because there are too few seeds.

    Args:
        results: Results in any order.
        baseline: The baseline's value: one number, without an interval.
        what: Name of the metric.
        names: Variant -> its title.
    """
    groups: dict[str, list[str]] = {"above": [], "below": [], "cannot be distinguished from": []}
    for r in results:
        if not math.isnan(r.mean.low):
            above, below = r.mean.low > baseline, r.mean.high < baseline
            verb = "above" if above else "below" if below else "cannot be distinguished from"
            groups[verb].append(names.get(r.name, r.name))
    said = _sentence(groups, "it")
    if not said:
        return ""
    return f"{what[:1].upper()}{what[1:]} beside the video-label baseline ({baseline:.4f}): {said}."


def baselines_of(records: Sequence[TrialRecord], metrics: Iterable[str]) -> dict[str, float]:
    """Metric -> value of the video-label baseline, for those of ``metrics`` that have one."""
    floors = {f"selected/{key}": f"selected/{floor}" for key, floor in FLOOR_OF.items()}
    found = {}
    for metric in metrics:
        for record in records:
            if metric in floors and floors[metric] in record.metrics:
                found[metric] = record.metrics[floors[metric]]
                break
    return found


def _sentence(groups: Mapping[str, Sequence[str]], whom: str) -> str:
    """``a, b lie above whom; c cannot be distinguished from whom``."""
    parts = []
    for verb, listed in groups.items():
        lies = "" if verb.startswith("cannot") else "lies " if len(listed) == 1 else "lie "
        if listed:
            parts.append(f"{', '.join(listed)} {lies}{verb} {whom}")
    return "; ".join(parts)


def signed(estimate: Estimate | None) -> str:
    """``+0.012 [-0.003, +0.027]``."""
    if estimate is None:
        return ""
    if math.isnan(estimate.low):
        return f"{estimate.value:+.4f}"
    return f"{estimate.value:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}]"


def interval(estimate: Estimate, digits: int = 4) -> str:
    """``0.8562 [0.8410, 0.8714]``."""
    if math.isnan(estimate.value):
        return ""
    value, low, high = (
        f"{part:.{digits}f}" for part in (estimate.value, estimate.low, estimate.high)
    )
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"


def _values(records: Sequence[TrialRecord], variant: str, metric: str) -> dict[int, float]:
    found = {}
    for record in records:
        if record.ended and not record.diverged and record.params.get(VARIANT) == variant:
            value = record.objective if metric == OBJECTIVE else record.metrics.get(metric)
            if value is not None:
                found[int(record.params[REPLICATE])] = value
    return found
