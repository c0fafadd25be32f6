"""Comparison of variants: means over seeds, and paired differences at equal seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from refinevad.cli import FLOOR_OF
from study.analysis.estimate import Estimate
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
        mean: Mean over replicates, 95% interval by Student's t; NaN bounds below two replicates.
        sd: Standard deviation over replicates.
        difference: Mean of (this variant - reference) over replicates that both have; None for the
            reference itself and where there is no such replicate.
    """

    name: str
    values: dict[int, float]
    mean: Estimate
    sd: float
    difference: Estimate | None

    @property
    def apart(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        d = self.difference
        return d is not None and (d.low > 0 or d.high < 0)


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
            difference = t_interval([own[k] - base[k] for k in shared])
        numbers = [own[k] for k in sorted(own)]
        sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else math.nan
        results.append(VariantResult(variant, dict(own), t_interval(numbers), sd, difference))
    return results


def t_interval(values: Sequence[float]) -> Estimate:
    """Mean and its 95% interval by Student's t; the bounds are NaN below two values."""
    count = len(values)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(np.mean(values))
    if count == 1:
        return Estimate(mean, math.nan, math.nan)
    half = float(t.ppf((1 + LEVEL) / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Estimate(mean, mean - half, mean + half)


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
    if pairs < 2:
        return f"{what}: one seed each gives no spread; at least two are needed."
    groups: dict[str, list[str]] = {"above": [], "below": [], "cannot be distinguished from": []}
    for r in others:
        up = r.difference is not None and r.difference.value > 0
        verb = "cannot be distinguished from" if not r.apart else "above" if up else "below"
        groups[verb].append(f"{names.get(r.name, r.name)} ({signed(r.difference)})")
    return f"{what[:1].upper()}{what[1:]} over {pairs} seeds: {_sentence(groups, called)}."


def beside_baseline(
    results: Sequence[VariantResult], baseline: float, what: str, names: Mapping[str, str]
) -> str:
    """A sentence that states which variants the video-label baseline beats; empty where no variant
    has two seeds, because one value has no interval.

    Args:
        results: Results in any order.
        baseline: The baseline's value: one number, without an interval.
        what: Name of the metric.
        names: Variant -> its title.
    """
    groups: dict[str, list[str]] = {"above": [], "below": [], "cannot be distinguished from": []}
    for r in results:
        if len(r.values) >= 2:
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
