"""What carries over to another data set: the categories that CORE learnt, or the whole model.

Both need features of the same widths; categories may be others, and other in number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.data.batches import validation_split
from refinevad.data.device import train_features
from refinevad.errors import InputError
from refinevad.evaluation.scores import score_test
from refinevad.evaluation.splits import (
    epoch_test_metrics,
    floor_metrics,
    test_metrics,
    validation_metrics,
)
from refinevad.models.checkpoint import Meta, require_widths
from refinevad.run_config import Config
from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.runtime import resolve_runtime

if TYPE_CHECKING:
    from refinevad.data.store import Store
    from refinevad.models import RefineVAD


class ZeroShotRun:
    """A model of another data set, scored on this one as it is: a run of one epoch that trains
    nothing.

    Args:
        store: Packed data.
        source: The model; the run puts it on the device.
        meta: Of its checkpoint.
        config: Of the run; says how validation videos and test scores are made.
        split_seed: As in :class:`refinevad.trainer.TrainingRun`: the same videos are held out.
        objective: What the run is judged by.
        runtime: Device; scoring is always float32.
    """

    def __init__(
        self,
        store: Store,
        source: RefineVAD,
        meta: Meta,
        config: Config,
        *,
        split_seed: int,
        objective: ObjectiveConfig,
        runtime: Runtime,
    ) -> None:
        require_widths(meta, store.widths)
        self._store, self._config, self._objective = store, config, objective
        self._runtime = resolve_runtime(runtime)
        self._runtime.apply()
        self._model = source.to(self._runtime.device).eval()
        self._held_out = np.empty(0, dtype=np.int64)
        if objective.split == "val":
            _, self._held_out = validation_split(
                store.train.labels, config.data.val_fraction, split_seed
            )
        self._record: EpochRecord | None = None

    @property
    def done(self) -> bool:
        """Whether the model was scored."""
        return self._record is not None

    def run_epoch(self) -> EpochRecord:
        """Scores what the objective is computed on."""
        started = time.perf_counter()
        self._runtime.apply()
        if self._objective.split == "val":
            metrics = validation_metrics(
                self._model,
                train_features(self._store, self._runtime.device),
                self._store.train.labels,
                self._held_out,
                self._config.train.mil_top_k,
            )
        else:
            metrics = epoch_test_metrics(self._model, self._store, self._config.data.test_length)
        if not metrics:
            raise InputError("the checkpoint's scores on these data are not finite")
        value = metrics[f"{self._objective.split}/{self._objective.metric}"]
        self._record = EpochRecord(1, value, metrics, time.perf_counter() - started)
        return self._record

    def result(self) -> RunResult:
        """The metrics; there is but one epoch, the selected one."""
        assert self._record is not None, "the run is not done"
        length = self._config.data.test_length
        found = self._record.metrics | floor_metrics(self._store)
        found |= test_metrics(score_test(self._model, self._store, length=length), self._store)
        return RunResult(
            state="complete",
            diverged=False,
            objective=self._record.objective,
            selected_epoch=1,
            last_objective=self._record.objective,
            curve=[self._record],
            selected=found,
            last=found,
            model_state=None,
            hardware=self._runtime.hardware(),
            selection="selected on test" if self._objective.split == "test" else "validation",
        )
