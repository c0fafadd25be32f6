"""One training run, epoch by epoch, and its result.

A run is repeatable: initial weights, batches, crops and dropout depend on the seed only. Dropout
draws from torch's global generator, so a run keeps its own state of it (``RandomState``). Other
draws of the process, before or between epochs, change nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.data.batches import BalancedBatches
from refinevad.evaluation.splits import floor_metrics
from refinevad.models.base import Batch, Detector, Split, Task
from refinevad.models.registry import detector_class
from refinevad.run_config import Config
from refinevad.training.fit import FitRun
from refinevad.training.judge import Judge
from refinevad.training.random_state import RandomState
from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.runtime import resolve_runtime
from refinevad.training.schedule import learning_rate

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
        stopping_curve: Objective that the best epoch so far must reach, per epoch.
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
        self._curve = stopping_curve
        self._warmup_epochs = warmup_epochs
        self._runtime = resolve_runtime(runtime)
        self._runtime.apply()
        device = self._runtime.device
        self._judge = Judge(
            store, config, split_seed=split_seed, objective=objective, runtime=self._runtime
        )
        labels = store.train.labels[self._judge.training]
        self._videos = torch.from_numpy(self._judge.training)
        self._labels = torch.from_numpy(labels).to(device)
        self._features = self._judge.features
        self._batches = BalancedBatches(
            labels,
            config.train.batch_size,
            torch.Generator().manual_seed(seed),
            self._features.shape[1],
        )
        categories = store.categories if frozen_from is None else frozen_from.task.categories
        self._random = RandomState(seed, device)
        with self._random.active():
            model = detector_class(config.model.name)(config.model, Task(store.widths, categories))
        if frozen_from is not None:
            model.take_frozen(frozen_from)
        self._model = model.to(device).train()
        self._model.prepare(Split(self._features, self._videos, self._labels))
        self._optimizer = torch.optim.AdamW(
            self._model.parameter_groups(),
            lr=config.train.lr,
            weight_decay=config.train.weight_decay,
            fused=True,
        )
        self._step = 0
        self._records: list[EpochRecord] = []
        self._selected_epoch = 0
        self._selected_state: dict[str, Tensor] | None = None
        self._diverged = False
        self._pruned = False
        self._result: RunResult | None = None

    @property
    def done(self) -> bool:
        """Whether the last epoch is over, the run was pruned, or it diverged."""
        return self._pruned or self._diverged or len(self._records) >= self._config.train.epochs

    def run_epoch(self) -> EpochRecord:
        """Trains one epoch and evaluates it."""
        if self.done:
            raise RuntimeError("the run is done")
        started = time.perf_counter()
        self._runtime.apply()
        with self._random.active():
            metrics = self._train_epoch()
        if math.isfinite(metrics["train/loss"]):
            found = self._judge.epoch_metrics(self._model)
            metrics |= found
            self._diverged = not found
        else:
            self._diverged = True
        epoch = len(self._records) + 1
        value = 0.0
        if not self._diverged:
            value = metrics[self._judge.metric]
        metrics = {name: number for name, number in metrics.items() if math.isfinite(number)}
        record = EpochRecord(epoch, value, metrics, time.perf_counter() - started)
        self._records.append(record)
        if not self._diverged:
            self._select(record)
            self._pruned = self._below_curve(epoch)
        return record

    def result(self) -> RunResult:
        """The run's outcome; the first call scores the test set, with the best and last weights."""
        if not self.done:
            raise RuntimeError("the run is not done")
        if self._result is None:
            self._result = self._finish()
        return self._result

    def _train_epoch(self) -> dict[str, float]:
        config, device = self._config.train, self._runtime.device
        crops = self._features.shape[1]
        rows = self._features.flatten(0, 1)
        names = self._model.loss_names
        sums = torch.zeros(len(names), device=device)
        lr = config.lr
        steps = 0
        for video, crop in self._batches.epoch():
            lr = learning_rate(self._step, self._batches.steps_per_epoch, config)
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            row = (self._videos[video] * crops + crop).to(device, non_blocking=True)
            x = rows.index_select(0, row).float()
            labels = self._labels.index_select(0, video.to(device, non_blocking=True))
            with self._runtime.autocast():
                losses = self._model.losses(Batch(x, labels))
            self._optimizer.zero_grad()
            torch.autograd.backward(losses["loss"])
            if config.clip_norm:
                torch.nn.utils.clip_grad_norm_(self._model.parameters(), config.clip_norm)
            self._optimizer.step()
            # Read once per epoch: no waiting for the device.
            sums += torch.stack([losses[name] for name in names]).detach()
            steps += 1
            self._step += 1
        means = (sums / steps).tolist()
        return {f"train/{name}": mean for name, mean in zip(names, means, strict=True)} | {"lr": lr}

    def _select(self, record: EpochRecord) -> None:
        """Keeps the weights of the best epoch; of equal ones, the earliest."""
        if not self._selected_epoch or record.objective > self._best.objective:
            self._selected_epoch = record.epoch
            self._selected_state = _copy(self._model)

    @property
    def _best(self) -> EpochRecord:
        return self._records[self._selected_epoch - 1]

    def _below_curve(self, epoch: int) -> bool:
        if self._curve is None or epoch <= self._warmup_epochs or epoch > len(self._curve):
            return False
        # The last epoch has nothing left to save.
        last = epoch == self._config.train.epochs
        return not last and self._best.objective < self._curve[epoch - 1]

    def _finish(self) -> RunResult:
        objective = last_objective = 0.0
        selected: dict[str, float] = {}
        last = self._records[-1].metrics | floor_metrics(self._judge.store)
        if not self._diverged:
            objective = self._best.objective
            last_objective = self._records[-1].objective
            last = self._records[-1].metrics | self._judge.test_metrics(self._model)
            selected = last
            if self._selected_epoch != len(self._records):
                assert self._selected_state is not None
                last_state = _copy(self._model)
                self._model.load_state_dict(self._selected_state)
                selected = self._best.metrics | self._judge.test_metrics(self._model)
                self._model.load_state_dict(last_state)
        return RunResult(
            state="pruned" if self._pruned else "complete",
            diverged=self._diverged,
            objective=objective,
            selected_epoch=0 if self._diverged else self._selected_epoch,
            last_objective=last_objective,
            curve=list(self._records),
            selected=selected,
            last=last,
            model_state=None if self._diverged else self._selected_state,
            hardware=self._runtime.hardware(),
            selection=self._judge.selection,
        )


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


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
