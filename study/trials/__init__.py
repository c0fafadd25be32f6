"""One trial on a worker: its input, its run, its outcome."""

from __future__ import annotations

from study.trials.checkpoints import Checkpoints, checkpoint_path
from study.trials.runner import TrialRunner
from study.trials.runs import DetectorRuns, LocalStore, Run, Runs, StoreSource
from study.trials.spec import TrialOutcome, TrialSpec

__all__ = [
    "Checkpoints",
    "DetectorRuns",
    "LocalStore",
    "Run",
    "Runs",
    "StoreSource",
    "TrialOutcome",
    "TrialRunner",
    "TrialSpec",
    "checkpoint_path",
]
