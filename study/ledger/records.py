"""Records of a study: its description, its trials, and the digest that identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from study.config.sections import STUDY_NAME
from study.space.dimension import Params

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAILED"]


@dataclass(frozen=True)
class StudyMeta:
    """The description of a study, written once when it begins (``trials`` may be raised later)."""

    name: Annotated[str, Field(pattern=STUDY_NAME)]
    uid: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
    """Random id, which distinguishes a new study from a deleted one of the same name."""
    hash: str
    """Hash of everything that determines the results (``StudyFile.hash``)."""
    config: dict[str, Any]
    """The resolved study file."""
    determinants: dict[str, Any]
    """The part of ``config`` that no later session may change."""
    fingerprint: str
    """Fingerprint of the packed data."""
    metric: str
    split: str
    created: float
    """Time of the first session, in unix seconds."""
    git_commit: str | None
    versions: dict[str, str]
    trials: int = 0
    """Trials planned in all."""


@dataclass(frozen=True)
class TrialResult:
    """The end of a trial, written to the ledger in one line."""

    state: Literal["COMPLETE", "PRUNED", "FAILED"]
    objective: float | None
    """Best objective over the epochs; 0 where the run diverged; None where it failed."""
    diverged: bool = False
    selected_epoch: int | None = None
    """Epoch (from 1) of the objective."""
    last_objective: float | None = None
    reason: str | None = None
    """Reason of a failure."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """One row per epoch: ``epoch``, ``objective`` and the metrics by name."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Final metrics: ``selected/…`` and ``last/…``."""
    started: float | None = None
    finished: float | None = None
    worker: dict[str, str] = field(default_factory=dict)
    """Host, process, device, precision, versions: the kind of hardware that decided the bits."""


TIMED_OUT = "timed out"
WORKER_DIED = "its worker process or node died"
OUT_OF_MEMORY = "its worker was killed: its node ran out of memory"
"""Reasons for a lost attempt that lie with the machine."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the ledger knows it."""

    number: int
    key: str
    """Unique for ever: study name, study uid and number."""
    params: Params
    seed: int
    state: State
    stopping_curve: list[float] | None = None
    inherited: str | None = None
    """``study/number`` of the trial that was taken over; None: it ran here."""
    attempts: int = 0
    """Attempts that ended without a result (crash, timeout, lost node)."""
    whole_gpu: bool = False
    """True if the trial needs a whole GPU: an attempt ran out of memory on a shared one. That
    attempt does not count against ``retries``."""
    objective: float | None = None
    diverged: bool = False
    selected_epoch: int | None = None
    last_objective: float | None = None
    reason: str | None = None
    curve: list[dict[str, float]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    started: float | None = None
    finished: float | None = None
    worker: dict[str, str] = field(default_factory=dict)

    @property
    def duration_s(self) -> float | None:
        """Wall time of the attempt that counted, in seconds."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started

    @property
    def cost(self) -> float | None:
        """What the study's objective has as its cost; None: it has none, or the trial no result."""
        return next((v for k, v in self.metrics.items() if k.startswith("cost/")), None)

    @property
    def ended(self) -> bool:
        """Whether there is a final record."""
        return self.state != "RUNNING"

    def with_result(self, result: TrialResult) -> TrialRecord:
        """A copy of the record with ``result``."""
        return TrialRecord(
            number=self.number,
            key=self.key,
            params=self.params,
            seed=self.seed,
            stopping_curve=self.stopping_curve,
            inherited=self.inherited,
            attempts=self.attempts,
            whole_gpu=self.whole_gpu,
            **vars(result),  # not copied: a curve is most of what a trial takes in memory
        )


def plottable(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics of the test set that stand once more as plain numbers in a trial's attributes, where
    optuna-dashboard can plot them."""
    return {name: value for name, value in metrics.items() if name.startswith("selected/test/")}


def ended_by_machine(records: Iterable[TrialRecord]) -> str:
    """A sentence about trials that failed because of the machine's state, by which the result is
    more than a function of file, seed and data; empty where there is none."""
    failed = [r for r in records if r.state == "FAILED" and r.reason]
    late = sum(r.reason.startswith(TIMED_OUT) for r in failed if r.reason)
    gone = sum(r.reason in (WORKER_DIED, OUT_OF_MEMORY) for r in failed)
    counts = [(late, "by time-out"), (gone, "with their worker")]
    said = " and ".join(f"{count} {how}" for count, how in counts if count)
    if not said:
        return ""
    return (
        f"trials failed: {said}; elsewhere they may end otherwise, and so may trials proposed "
        "after them"
    )


def digest(records: Iterable[TrialRecord]) -> str:
    """sha256 over number, parameters, state and objective of every ended trial, in order.

    Floats enter as hexadecimal, so that one bit of difference shows.
    """
    hasher = hashlib.sha256()
    for record in sorted(records, key=lambda r: r.number):
        if record.ended:
            row = [record.number, _exact(record.params), record.state, _exact(record.objective)]
            hasher.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return hasher.hexdigest()


def ranked(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Ended trials with a result, the best first; of equals the first. Diverged ones have none."""
    used = [r for r in records if r.objective is not None and r.ended and not r.diverged]
    return sorted(used, key=lambda r: (-(r.objective or 0.0), r.number))


def best(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trial with the highest objective; the first of equals."""
    ended = [r for r in records if r.objective is not None and r.ended and not r.diverged]
    return max(ended, key=lambda r: (r.objective, -r.number), default=None)


def selected_metrics(record: TrialRecord) -> dict[str, float]:
    """Metrics of a trial's selected epoch, by the names that a run gives them."""
    head = "selected/"
    return {
        name.removeprefix(head): value
        for name, value in record.metrics.items()
        if name.startswith(head)
    }


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    return value.hex() if isinstance(value, float) else value
