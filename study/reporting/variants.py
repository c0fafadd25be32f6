"""Cards of variants: a table, a picture and the differences that the intervals support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from study.analysis.activity import inactive_core
from study.analysis.paired import (
    OBJECTIVE,
    Values,
    VariantResult,
    baselines_of,
    beside_baseline,
    compared,
    interval,
    signed,
    values_of,
    variant_results,
    with_test_videos,
)
from study.analysis.test_videos import beside_baselines, of_first_fold, read_test_videos
from study.config.variants import VARIANT
from study.ledger.records import digest
from study.ledger.study import StudyView
from study.plots.variants import variants as variants_picture
from study.reporting.card import Card

_FRAME = {
    "selected/test/auc": "test AUC",
    "selected/test/ano_auc": "test AnoAUC",
    "selected/test/ap": "test AP",
}


def shown_metrics(view: StudyView) -> dict[str, str]:
    """Metric -> label, the data set's headline first; AUC where the data set is not known."""
    dataset = view.file.data.dataset
    head = f"selected/test/{dataset.headline if dataset else 'auc'}"
    found = {key: _FRAME[key] for key in sorted(_FRAME, key=lambda key: key != head)}
    if view.meta.split == "val":
        found[OBJECTIVE] = view.objective
    return found


def variants_card(
    view: StudyView,
    *,
    title: str = "Variants compared",
    variants: Sequence[str] | None = None,
    reference: str | None = None,
    names: Mapping[str, str] | None = None,
    metrics: Mapping[str, str] | None = None,
    values: Mapping[str, Values] | None = None,
    marks: Mapping[str, float] | None = None,
    mark: str = "video-label baseline",
    paper: Mapping[str, Mapping[str, float]] | None = None,
    note: str = "",
) -> Card:
    """A card that compares the variants of a study.

    Args:
        view: A comparison study.
        title: Title of the card.
        variants: Variants in order; default: all.
        reference: Variant that the others are compared with; default: the first.
        names: Variant -> its title.
        metrics: Metric -> label, the headline first.
        values: Values of metrics that are not among a trial's own.
        marks: Label of a metric -> value of a line in the picture; default: the video-label
            baseline.
        mark: Label of that line.
        paper: Column -> variant -> the paper's number.
        note: Further facts needed to read the card.
    """
    variants = list(variants or view.file.variants)
    reference, names = reference or variants[0], names or {}
    metrics = metrics or shown_metrics(view)
    found = {key: values_of(view.records, variants, key) for key in metrics} | dict(values or {})
    on_test = read_test_videos(view.folder, digest(view.records))
    results = {
        key: with_test_videos(variant_results(found[key], reference), key, on_test)
        for key in metrics
    }
    head = next(iter(metrics))
    table = _table(results, metrics, head, names, paper or {})
    seeds = max((len(r.values) for r in results[head]), default=0)
    text = compared(results[head], metrics[head], names)
    baselines = baselines_of(view.ended, metrics)
    if marks is None and head in baselines:
        beside = beside_baseline(results[head], baselines[head], metrics[head], names)
        text = f"{text} {beside}".rstrip()
    others = [
        compared(results[key], label, names)
        for key, label in metrics.items()
        if key != head and any(result.apart for result in results[key])
    ]
    own = [record for record in view.ended if record.params.get(VARIANT) in variants]
    folds = of_first_fold(view.file.objective.folds)
    further = [*others, *beside_baselines(on_test), folds, note, inactive_core(own)]
    return Card(
        title,
        text,
        table,
        variants_picture(
            {label: results[key] for key, label in metrics.items()},
            names=names,
            marks={metrics[key]: value for key, value in baselines.items()}
            if marks is None
            else marks,
            mark=mark,
        ),
        f"Every seed as a point; means over up to {seeds} seeds with 95% intervals"
        f"{_over(results[head])}. {view.caption()}.",
        "Differences are paired: variants of one seed have the same random numbers and held-out "
        "videos. Intervals are per comparison, not corrected for their number, and do not cover "
        f"another choice of held-out videos. {' '.join(further)}".strip(),
    )


def _over(results: Sequence[VariantResult]) -> str:
    """What the intervals of a metric cover."""
    if any(result.with_videos for result in results):
        return " over seeds (Student's t) and test videos (bootstrap)"
    return " by Student's t over seeds; they say nothing of other test videos"


def _table(
    results: Mapping[str, Sequence[VariantResult]],
    metrics: Mapping[str, str],
    head: str,
    names: Mapping[str, str],
    paper: Mapping[str, Mapping[str, float]],
) -> pd.DataFrame:
    rows = []
    for i, first in enumerate(results[head]):
        row: dict[str, object] = {"variant": names.get(first.name, first.name)}
        row[f"{metrics[head]}, mean"] = interval(first.mean)
        difference = signed(first.difference) or ("reference" if first.values else "")
        row["difference in pairs"] = difference
        row |= {"seeds": len(first.values), "sd": first.sd}
        for key, label in metrics.items():
            if key != head:
                row[label] = results[key][i].mean.value
        for column, numbers in paper.items():
            row[column] = numbers.get(first.name)
        rows.append(row)
    return pd.DataFrame(rows)
