"""Runs that have one epoch, which is the selected one: fitted and zero-shot detectors."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.errors import InputError
from refinevad.evaluation.cost import cost_of
from refinevad.run_config import Config
from refinevad.training.fold import mean_metrics
from refinevad.training.judge import judges
from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.runtime import resolve_runtime
from refinevad.training.smoothing import Chosen

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
        self._config = config
        self._objective = objective
        self._judges = judges(
            store, config, split_seed=split_seed, objective=objective, runtime=self._runtime
        )
        self._record: EpochRecord | None = None

    @abstractmethod
    def _ready(self, fold: int) -> Detector:
        """The detector of a fold, on the run's device and in evaluation mode."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor] | None:
        """Weights that the run made, on the CPU; None: it made none."""

    def _chosen(self) -> Chosen:
        """The detector's section as the run leaves it."""
        return Chosen(self._config.model)

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
        found = [judge.epoch_metrics(self._ready(i)) for i, judge in enumerate(self._judges)]
        if not all(found):
            raise InputError("the scores on these data are not finite")
        metrics = mean_metrics(found)
        value = metrics[self._judges[0].metric]
        self._record = EpochRecord(1, value, metrics, time.perf_counter() - started)
        return self._record

    def result(self) -> RunResult:
        """The metrics, those of the test set among them."""
        record = self._record
        assert record is not None, "the run is not done"
        chosen = self._chosen()
        on_test = [judge.test_metrics(self._ready(i)) for i, judge in enumerate(self._judges)]
        found = record.metrics | mean_metrics(on_test) | chosen.metrics
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
            selection=self._judges[0].selection,
            model=chosen.config,
            cost=self._cost(record.seconds),
        )

    def _cost(self, seconds: float) -> Mapping[str, float]:
        if self._objective.cost is None:
            return {}
        return cost_of(
            self._objective.cost,
            self._ready(0),
            segments=self._config.data.segments,
            epoch_seconds=[seconds],
        )
