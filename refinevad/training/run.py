"""One training run, epoch by epoch, and its result.

A run is repeatable: initial weights, batches, crops and dropout depend on the seed only. Dropout
draws from torch's global generator, so a run keeps its own state of it (``RandomState``). Other
draws of the process, before or between epochs, change nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from refinevad.config.epochs import chosen, so_far
from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.evaluation.cost import cost_of
from refinevad.evaluation.splits import floor_metrics
from refinevad.models.base import Detector
from refinevad.run_config import Config
from refinevad.training.fit import FitRun
from refinevad.training.fold import Fold, State, mean_metrics
from refinevad.training.judge import Judge, judges
from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.runtime import resolve_runtime
from refinevad.training.smoothing import choose_smoothing

if TYPE_CHECKING:
    from refinevad.data.store import Store

__all__ = ["EpochRecord", "RunResult", "TrainingRun", "start_run", "train"]


class TrainingRun:
    """A run of a detector that is trained by gradient steps, advanced one epoch at a time.

    Args:
        store: Packed data.
        config: Configuration of the run. ``config.train.seed`` is ignored in favour of ``seed``.
        seed: Decides initial weights, batches, crops and dropout.
        split_seed: Decides which videos are held out.
        objective: Objective of the run; on ``test`` no training video is held out.
        runtime: Device, precision, threads.
        stopping_curve: Objective that the run must have reached by then, per epoch.
        warmup_epochs: First epochs that the run is never stopped after, whatever the curve says.
        frozen_from: A detector of another data set, whose transferable parts are taken and
            frozen. Labels then have no index.

    Raises:
        InputError: The data cannot be split or trained on, or there is no such device.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        seed: int,
        split_seed: int,
        objective: ObjectiveConfig = ObjectiveConfig(),
        runtime: Runtime = Runtime(),
        stopping_curve: Sequence[float] | None = None,
        warmup_epochs: int = 0,
        frozen_from: Detector | None = None,
    ) -> None:
        self._config = config
        self._objective = objective
        self._curve = stopping_curve
        self._warmup_epochs = warmup_epochs
        self._runtime = resolve_runtime(runtime)
        self._runtime.apply()
        own = judges(
            store, config, split_seed=split_seed, objective=objective, runtime=self._runtime
        )
        self._folds = [
            Fold(config, judge, seed=seed + fold, frozen_from=frozen_from)
            for fold, judge in enumerate(own)
        ]
        self._records: list[EpochRecord] = []
        self._selected_epoch = 0
        self._selected_states: list[State] = []
        self._diverged = False
        self._pruned = False
        self._result: RunResult | None = None

    @property
    def done(self) -> bool:
        """Whether the last epoch is over, the run was pruned, or it diverged."""
        return self._pruned or self._diverged or len(self._records) >= self._config.train.epochs

    @property
    def model(self) -> Detector:
        """The detector of fold 0 as the last epoch was judged: its weights, or their average."""
        return self._folds[0].judged

    @property
    def judge(self) -> Judge:
        """The split and the metrics of fold 0."""
        return self._folds[0].judge

    def run_epoch(self) -> EpochRecord:
        """Trains one epoch of every fold and evaluates it."""
        if self.done:
            raise RuntimeError("the run is done")
        started = time.perf_counter()
        self._runtime.apply()
        found = []
        for fold in self._folds:
            metrics, finite = fold.run_epoch()
            found.append(metrics)
            if not finite:  # the other folds would change nothing
                self._diverged = True
                break
        metrics = mean_metrics(found)
        value = 0.0 if self._diverged else metrics[self.judge.metric]
        metrics = {name: number for name, number in metrics.items() if math.isfinite(number)}
        epoch = len(self._records) + 1
        record = EpochRecord(epoch, value, metrics, time.perf_counter() - started)
        self._records.append(record)
        if not self._diverged:
            self._select()
            self._pruned = self._below_curve(epoch)
        return record

    def result(self) -> RunResult:
        """The run's outcome; the first call scores the test set, with the best and last weights."""
        if not self.done:
            raise RuntimeError("the run is not done")
        if self._result is None:
            self._result = self._finish()
        return self._result

    @property
    def _values(self) -> list[float]:
        return [record.objective for record in self._records]

    def _select(self) -> None:
        """Keeps the weights of the epoch that the objective selects, where it is this one."""
        _, epoch = chosen(self._values, self._objective.epoch)
        if epoch == len(self._records):
            self._selected_epoch = epoch
            self._selected_states = [fold.state() for fold in self._folds]

    def _below_curve(self, epoch: int) -> bool:
        if self._curve is None or epoch <= self._warmup_epochs or epoch > len(self._curve):
            return False
        # The last epoch has nothing left to save.
        last = epoch == self._config.train.epochs
        return not last and so_far(self._values, self._objective.epoch)[-1] < self._curve[epoch - 1]

    def _finish(self) -> RunResult:
        objective = last_objective = 0.0
        selected: dict[str, float] = {}
        last = self._records[-1].metrics | floor_metrics(self.judge.store)
        model = self._config.model
        if not self._diverged:
            objective, _ = chosen(self._values, self._objective.epoch)
            last_objective = self._records[-1].objective
            last_states = [fold.state() for fold in self._folds]
            self._load(self._selected_states)
            smoothing = choose_smoothing(self._folds, model, self._objective)
            last_is_selected = self._selected_epoch == len(self._records)
            selected = self._records[self._selected_epoch - 1].metrics | self._test_metrics()
            selected |= smoothing.metrics
            model = smoothing.config
            self._load(last_states)
            last = selected
            if not last_is_selected:
                last = self._records[-1].metrics | self._test_metrics() | smoothing.metrics
        return RunResult(
            state="pruned" if self._pruned else "complete",
            diverged=self._diverged,
            objective=objective,
            selected_epoch=0 if self._diverged else self._selected_epoch,
            last_objective=last_objective,
            curve=list(self._records),
            selected=selected,
            last=last,
            model_state=None if self._diverged else self._selected_states[0],
            hardware=self._runtime.hardware(),
            selection=self.judge.selection,
            model=model,
            cost=self._cost(),
        )

    def _cost(self) -> Mapping[str, float]:
        if self._objective.cost is None:
            return {}
        return cost_of(
            self._objective.cost,
            self.model,
            segments=self._config.data.segments,
            epoch_seconds=[record.seconds for record in self._records],
        )

    def _load(self, states: Sequence[State]) -> None:
        for fold, state in zip(self._folds, states, strict=True):
            fold.judged.load_state_dict(state)

    def _test_metrics(self) -> dict[str, float]:
        return mean_metrics([fold.judge.test_metrics(fold.judged) for fold in self._folds])


def start_run(
    store: Store,
    config: Config,
    *,
    seed: int,
    split_seed: int,
    objective: ObjectiveConfig = ObjectiveConfig(),
    runtime: Runtime = Runtime(),
    stopping_curve: Sequence[float] | None = None,
    warmup_epochs: int = 0,
    frozen_from: Detector | None = None,
) -> TrainingRun | FitRun:
    """The run of whatever detector ``config.model`` names; arguments as in ``TrainingRun``."""
    if config.model.fitted:
        return FitRun(
            store, config, seed=seed, split_seed=split_seed, objective=objective, runtime=runtime
        )
    return TrainingRun(
        store,
        config,
        seed=seed,
        split_seed=split_seed,
        objective=objective,
        runtime=runtime,
        stopping_curve=stopping_curve,
        warmup_epochs=warmup_epochs,
        frozen_from=frozen_from,
    )


def train(
    store: Store,
    config: Config,
    *,
    seed: int,
    split_seed: int,
    objective: ObjectiveConfig = ObjectiveConfig(),
    runtime: Runtime = Runtime(),
    stopping_curve: Sequence[float] | None = None,
    warmup_epochs: int = 0,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> RunResult:
    """Runs all epochs; arguments as in ``TrainingRun``. ``on_epoch`` is called after each epoch."""
    run = start_run(
        store,
        config,
        seed=seed,
        split_seed=split_seed,
        objective=objective,
        runtime=runtime,
        stopping_curve=stopping_curve,
        warmup_epochs=warmup_epochs,
    )
    while not run.done:
        record = run.run_epoch()
        if on_epoch is not None:
            on_epoch(record)
    return run.result()
