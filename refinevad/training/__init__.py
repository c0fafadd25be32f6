"""One training run: epochs, optimiser, selected epoch, result."""

from __future__ import annotations

from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.run import TrainingRun, start_run, train
from refinevad.training.zero_shot import ZeroShotRun

__all__ = ["EpochRecord", "RunResult", "TrainingRun", "ZeroShotRun", "start_run", "train"]
