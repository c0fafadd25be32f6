"""Runs that have one epoch, which is the selected one: fitted and zero-shot detectors."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.errors import InputError
from refinevad.run_config import Config
from refinevad.training.judge import Judge
from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.runtime import resolve_runtime

if TYPE_CHECKING:
    from torch import Tensor

    from refinevad.data.store import Store
    from refinevad.models.base import Detector


class SingleEpochRun(ABC):
    """A run whose only epoch makes the detector ready and evaluates it.

    Args:
        store: Packed data.
        config: Of the run.
        split_seed: Decides which videos are held out.
        objective: What the run is judged by.
        runtime: Device, threads; scores are float32.

    Raises:
        InputError: The data cannot be split, or there is no such device.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        split_seed: int,
        objective: ObjectiveConfig,
        runtime: Runtime,
    ) -> None:
        self._runtime = resolve_runtime(runtime)
        self._runtime.apply()
        self._judge = Judge(
            store, config, split_seed=split_seed, objective=objective, runtime=self._runtime
        )
        self._record: EpochRecord | None = None

    @abstractmethod
    def _ready(self) -> Detector:
        """The detector, on the run's device and in evaluation mode."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor] | None:
        """Weights that the run made, on the CPU; None: it made none."""

    @property
    def done(self) -> bool:
        """Whether the epoch is over."""
        return self._record is not None

    def run_epoch(self) -> EpochRecord:
        """Makes the detector ready and evaluates it.

        Raises:
            InputError: A score is not finite.
        """
        started = time.perf_counter()
        self._runtime.apply()
        metrics = self._judge.epoch_metrics(self._ready())
        if not metrics:
            raise InputError("the scores on these data are not finite")
        value = metrics[self._judge.metric]
        self._record = EpochRecord(1, value, metrics, time.perf_counter() - started)
        return self._record

    def result(self) -> RunResult:
        """The metrics, those of the test set among them."""
        record = self._record
        assert record is not None, "the run is not done"
        found = record.metrics | self._judge.test_metrics(self._ready())
        return RunResult(
            state="complete",
            diverged=False,
            objective=record.objective,
            selected_epoch=1,
            last_objective=record.objective,
            curve=[record],
            selected=found,
            last=found,
            model_state=self._state(),
            hardware=self._runtime.hardware(),
            selection=self._judge.selection,
        )
