"""A study's importances: computed, printed, written as tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from study.analysis.importance import BOOTSTRAPS, METHODS, PROBE, Importance, importance

if TYPE_CHECKING:
    from refinevad.config.published import Published
    from study.ledger.study import StudyView

METHOD_HEADS = {
    "permutation": "permutation",
    "mdi": "impurity (MDI)",
    "ped_anova": "PED-ANOVA",
}


def importance_of(
    view: StudyView,
    *,
    bootstraps: int = BOOTSTRAPS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Importance:
    """The importances of a study: the same trials give the same result.

    Raises:
        Unanswerable: Importances cannot be computed from these trials.
    """
    evenly = view.file.search.evenly(len(view.records))
    return importance(
        view.compared,
        view.file.distributions(),
        space_filling=len(evenly),
        enqueued=evenly.start,
        seed=view.seed("importance"),
        bootstraps=bootstraps,
        progress=progress,
    )


def paper_of(view: StudyView) -> Published | None:
    """The paper's importances, where the study is on its data set."""
    dataset = view.file.data.dataset
    return dataset.published.get("importance") if dataset else None


def importance_table(found: Importance, paper: Published | None) -> pd.DataFrame:
    """One row per hyperparameter, the most important first; then the probe, then those with one
    value only."""
    rows = []
    for parameter in found.parameters:
        row: dict[str, object] = {"hyperparameter": parameter.name}
        for method in METHODS:
            estimate = parameter.shares[method]
            row |= {
                method: estimate.value,
                f"{method}_low": estimate.low,
                f"{method}_high": estimate.high,
            }
        row |= {"p_first": parameter.first, "above_noise": parameter.above_noise}
        if paper:
            row["paper"] = paper.numbers.get(parameter.name)
        rows.append(row)
    probe: dict[str, object] = {"hyperparameter": PROBE}
    for method in METHODS:
        noise = found.probe[method]
        probe |= {
            method: noise.value,
            f"{method}_low": noise.low,
            f"{method}_high": noise.high,
        }
    rows.append(probe)
    rows += [{"hyperparameter": name} for name in found.single]
    return pd.DataFrame(rows)


def interactions_table(found: Importance) -> pd.DataFrame:
    """One row per pair of hyperparameters, the strongest first."""
    return pd.DataFrame(
        [
            {
                "one": pair.names[0],
                "other": pair.names[1],
                "share_of_variance": pair.share.value,
                "low": pair.share.low,
                "high": pair.share.high,
                "above_noise": pair.above_noise,
            }
            for pair in found.interactions
        ]
    )


def stages_table(found: Importance) -> pd.DataFrame:
    """The headline from the first trials only: one row per stage and hyperparameter."""
    return pd.DataFrame(
        [
            {
                "trials": stage.trials,
                "hyperparameter": name,
                "permutation": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
            }
            for stage in found.stages
            for name, estimate in stage.shares.items()
        ]
    )


def describe(view: StudyView) -> str:
    """``(300 trials: 270 complete, 30 pruned)``."""
    ended = view.ended
    counts = {
        "complete": sum(r.state == "COMPLETE" and not r.diverged for r in ended),
        "pruned" if len(view.compared) == len(ended) else "stopped at a rung, left out": sum(
            r.state == "PRUNED" and not r.diverged for r in ended
        ),
        "diverged, objective 0": sum(r.diverged for r in ended),
        "failed, left out": sum(r.state == "FAILED" for r in ended),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"({len(ended)} trials: {said})"
