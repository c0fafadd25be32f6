"""Ledger records as MLflow shows them: tags, parameters and points.

Pure functions of the ledger: the same record always gives the same tags and the same points
(name, value, timestamp, step), so that publishing twice adds nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from study.ledger.records import StudyMeta, TrialRecord

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}
"""A finished trial's state in MLflow. A pruned one has done what it should; its tag `state` says
that it was pruned."""

EVALUATIONS = ("test/", "val/", "floor/")
"""Final metrics that are shown: `selected/test/auc`, `last/floor/ap` …"""
_NOT_ON_CURVE = ("epoch", "objective")


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    milliseconds: int  # since 1970
    step: int


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def trial_name(number: int) -> str:
    """The name of a trial's run: sorts as the numbers do."""
    return f"trial-{number:04d}"


def study_key(meta: StudyMeta) -> str:
    """Unique name of a study: a deleted study started again under its name is another one."""
    return f"{meta.name}/{meta.uid}"


def selection(meta: StudyMeta) -> str:
    """The split that trials were selected on; shown beside every test number."""
    return f"selected on {meta.split}"


def synthetic(meta: StudyMeta) -> str | None:
    """Kind of the synthetic benchmark that the study ran on; None for real data."""
    kind = meta.config.get("data", {}).get("synthetic")
    return None if kind is None else str(kind)


def study_tags(meta: StudyMeta) -> dict[str, str]:
    """Tags of the study's run, its description included."""
    tags = {
        "fingerprint": meta.fingerprint,
        "metric": meta.metric,
        "trials_planned": str(meta.trials),
        "versions": ", ".join(f"{name} {v}" for name, v in sorted(meta.versions.items())),
        "mlflow.note.content": (
            f"Study **{meta.name}** `{meta.hash}`: {meta.trials} trials for the best "
            f"`{meta.metric}`, {selection(meta)}. One nested run per finished trial; all of them "
            "in the artifacts `trials.csv` and `trials.parquet`. This page is a view of the "
            f"study's ledger: `python -m study.publish --study {meta.name} --rebuild` makes it "
            "again."
        ),
    }
    if synthetic(meta):
        tags["mlflow.note.content"] += (
            " **Synthetic data: its numbers say nothing of real videos.**"
        )
    return tags | _common_tags(meta, "study.run")


def trial_tags(trial: TrialRecord, meta: StudyMeta) -> dict[str, str]:
    """Tags of a trial's run; `reason` and the worker's only where they are known."""
    tags = {
        "trial_key": trial.key,
        "trial_number": str(trial.number),
        "state": trial.state,
        "diverged": str(trial.diverged).lower(),
        "seed": str(trial.seed),
        "attempts": str(trial.attempts),
    }
    if trial.reason:
        tags["reason"] = trial.reason
    if dropped := _not_finite(trial):
        tags["not_finite"] = ", ".join(dropped)
    tags |= {f"worker.{name}": value for name, value in trial.worker.items() if value}
    return tags | _common_tags(meta, "trial")


def _common_tags(meta: StudyMeta, name: str) -> dict[str, str]:
    """Which study, judged how, on synthetic data or not, and by which code: MLflow's own columns
    "Source" and "Version", and the commit under its plain name."""
    tags = {
        "study_key": study_key(meta),
        "study_hash": meta.hash,
        "selection": selection(meta),
        "mlflow.source.name": name,
        "mlflow.source.type": "LOCAL",
    }
    if kind := synthetic(meta):
        tags["data"] = f"synthetic ({kind})"
    if meta.git_commit:
        tags |= {"git_commit": meta.git_commit, "mlflow.source.git.commit": meta.git_commit}
    return tags


def study_params(meta: StudyMeta) -> dict[str, str]:
    """The resolved study file, one dotted name per value; a search space reads as in the file.

    Left out are the values that fields have which are searched, and the number of trials: a study
    may be extended, and MLflow's parameters may not change.
    """
    space = meta.config.get("space", {})
    params = _flatten({k: v for k, v in meta.config.items() if k != "space"}, "")
    params.pop("study.trials", None)
    for name, dimension in space.items():
        for section in ("model", "train"):
            params.pop(f"{section}.{name}", None)
        kinds = [f"{kind} {value}" for kind, value in dimension.items() if value is not None]
        params[f"space.{name}"] = ", ".join(kinds)
    return params


def _flatten(section: Mapping[str, Any], prefix: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            params |= _flatten(value, f"{prefix}{name}.")
        else:
            params[prefix + name] = str(value)
    return params


def trial_times(trial: TrialRecord, meta: StudyMeta) -> tuple[float, float]:
    """Start and end in unix seconds; a missing one is taken from the other.

    A record with neither, of a trial that never started, stands at the beginning of its study and
    takes no time. A clock that was set back in between gives no negative duration.
    """
    known = [time for time in (trial.started, trial.finished) if time is not None]
    if not known:
        return meta.created, meta.created
    return known[0], max(known)


def trial_points(trial: TrialRecord, meta: StudyMeta) -> list[Point]:
    """The final values (`objective` first: MLflow's comparisons start with it), then the curve.

    What both have is shown once: an epoch's objective is its `val/…` (or `test/…`) metric, and of
    the final metrics only those of an evaluation (`selected/test/auc`) are shown, not the losses
    at that epoch. The ledger keeps the trial's start and end; the epochs in between are taken as
    equally long.
    """
    started, finished = trial_times(trial, meta)
    final: dict[str, float | None] = {
        "objective": trial.objective,
        "last_objective": trial.last_objective,
        "selected_epoch": trial.selected_epoch,
        **{
            name: value
            for name, value in trial.metrics.items()
            if name.partition("/")[2].startswith(EVALUATIONS)
            and not name.startswith("last/floor/")  # the same as `selected/floor/`
        },
    }
    at = milliseconds(finished)
    points = [Point(name, float(v), at, 0) for name, v in final.items() if v is not None]
    for index, epoch in enumerate(trial.curve, start=1):
        at = milliseconds(started + (finished - started) * index / len(trial.curve))
        step = int(epoch["epoch"])
        points += [Point(n, v, at, step) for n, v in epoch.items() if n not in _NOT_ON_CURVE]
    # MLflow draws NaN as 0 and infinity as 1.8e308; `trial_tags` names what is left out here.
    return [point for point in points if math.isfinite(point.value)]


def _not_finite(trial: TrialRecord) -> list[str]:
    values = [*trial.metrics.items(), *(pair for epoch in trial.curve for pair in epoch.items())]
    return sorted({name for name, value in values if not math.isfinite(value)})


def study_points(trials: Sequence[TrialRecord], meta: StudyMeta, start: int) -> list[Point]:
    """The study's own curves over the trial number, from trial ``start`` on.

    `objective`, the best so far: the value that the study's run shows is its best trial's;
    `trial_objective`, each trial's; and how many trials have ended in which way. They stop before
    the first unfinished trial: a point in MLflow cannot be taken back, and a late trial may still
    change the best.
    """
    best: float | None = None
    counts = dict.fromkeys(("complete", "pruned", "failed", "diverged"), 0)
    points: list[Point] = []
    at = 0
    for trial in itertools.takewhile(lambda trial: trial.ended, trials):
        counts[trial.state.lower()] += 1
        counts["diverged"] += trial.diverged
        if trial.objective is not None and not trial.diverged:  # as `record.best`
            best = trial.objective if best is None else max(best, trial.objective)
        # Later trials may have ended earlier; a curve over time does not run backwards.
        at = max(at, milliseconds(trial_times(trial, meta)[1]))
        if trial.number < start:
            continue
        values = {"objective": best, "trial_objective": trial.objective}
        values |= {f"trials/{state}": float(count) for state, count in counts.items()}
        points += [Point(n, v, at, trial.number) for n, v in values.items() if v is not None]
    return points
