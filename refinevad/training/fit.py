"""The run of a fitted detector: one epoch in which it is fitted and evaluated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.models.base import FittedDetector, Split, Task
from refinevad.models.registry import detector_class
from refinevad.run_config import Config
from refinevad.training.judge import Judge
from refinevad.training.random_state import RandomState
from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.runtime import resolve_runtime

if TYPE_CHECKING:
    from refinevad.data.store import Store


class FitRun:
    """A run of a detector that is fitted in one go.

    Args:
        store: Packed data.
        config: Configuration of the run.
        seed: Decides every random draw.
        split_seed: Decides which videos are held out.
        objective: Objective of the run.
        runtime: Device, threads; scores are float32.

    Raises:
        InputError: The data cannot be split, or there is no such device.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        seed: int,
        split_seed: int,
        objective: ObjectiveConfig,
        runtime: Runtime,
    ) -> None:
        self._runtime = resolve_runtime(runtime)
        self._runtime.apply()
        self._judge = Judge(
            store, config, split_seed=split_seed, objective=objective, runtime=self._runtime
        )
        self._seed = seed
        with RandomState(seed, self._runtime.device).active():
            model = detector_class(config.model.name)(
                config.model, Task(store.widths, store.categories)
            )
        assert isinstance(model, FittedDetector), "its config says so"
        self._model = model.to(self._runtime.device).eval()
        self._record: EpochRecord | None = None

    @property
    def done(self) -> bool:
        """Whether the detector was fitted."""
        return self._record is not None

    def run_epoch(self) -> EpochRecord:
        """Fits the detector and evaluates it."""
        started = time.perf_counter()
        self._runtime.apply()
        judge = self._judge
        training, labels = judge.training, judge.store.train.labels
        if self._model.trained_on == "normal":
            training = training[~np.asarray(labels[training]).any(axis=1)]
        split = Split(
            judge.features,
            torch.from_numpy(training),
            torch.from_numpy(labels[training]).to(self._runtime.device),
        )
        with torch.inference_mode():
            self._model.fit(split, np.random.default_rng(self._seed))
        metrics = judge.epoch_metrics(self._model)
        self._record = judge.only_epoch(metrics, time.perf_counter() - started)
        return self._record

    def result(self) -> RunResult:
        """The metrics and the fitted weights."""
        assert self._record is not None, "the run is not done"
        state = {name: t.detach().cpu().clone() for name, t in self._model.state_dict().items()}
        return self._judge.only_result(self._model, self._record, state)
