"""One training run, epoch by epoch, and its result.

What makes it repeatable: the weights' initial values, batches, crops and dropout come from the
seed alone. Dropout draws from torch's global generator, so a run keeps a state of its own for it
(``RandomState``): what else the process draws, before or between epochs, changes nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from refinevad.config.training import ObjectiveConfig, Runtime, TrainConfig
from refinevad.data.batches import BalancedBatches, validation_split
from refinevad.data.device import train_features
from refinevad.evaluation.scores import score_test
from refinevad.evaluation.splits import (
    epoch_test_metrics,
    floor_metrics,
    test_metrics,
    validation_metrics,
)
from refinevad.models import RefineVAD
from refinevad.models.refinevad.losses import objective as loss_of
from refinevad.models.refinevad.transfer import take_categories
from refinevad.run_config import Config
from refinevad.training.random_state import RandomState
from refinevad.training.results import EpochRecord, RunResult
from refinevad.training.runtime import resolve_runtime
from refinevad.training.schedule import learning_rate

if TYPE_CHECKING:
    from refinevad.data.store import Store

__all__ = ["EpochRecord", "RunResult", "TrainingRun", "train"]

LOSSES = ("loss", "mil", "cat", "gmm", "reg")


class TrainingRun:
    """A run that is advanced one epoch at a time.

    Args:
        store: Packed data.
        config: What to train and how; ``config.train.seed`` is not read, ``seed`` is.
        seed: Decides initial weights, batches, crops and dropout.
        split_seed: Decides which videos are held out.
        objective: What the run is judged by; on ``test`` no training video is held out.
        runtime: Device, precision, threads.
        stopping_curve: Objective that the best epoch so far must reach, per epoch.
        warmup_epochs: First epochs that the run is never stopped after, whatever the curve says.
        categories_of: A model of another data set, whose category head and prototypes are taken
            and frozen. Labels then have no index: L_cat is not computed, whatever its weight.

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
        objective: ObjectiveConfig = ObjectiveConfig(),  # noqa: B008  (immutable)
        runtime: Runtime = Runtime(),  # noqa: B008
        stopping_curve: Sequence[float] | None = None,
        warmup_epochs: int = 0,
        categories_of: RefineVAD | None = None,
    ) -> None:
        if categories_of is not None:
            train = config.train.model_copy(update={"lambda_cat": 0.0, "class_weights": "none"})
            config = config.model_copy(update={"train": train})
        self._store, self._config, self._objective = store, config, objective
        self._curve = stopping_curve
        self._warmup_epochs = warmup_epochs
        self._runtime = resolve_runtime(runtime)
        self._runtime.apply()
        device = self._runtime.device

        labels = store.train.labels
        if objective.split == "val":
            training, self._held_out = validation_split(
                labels, config.data.val_fraction, split_seed
            )
        else:
            training, self._held_out = np.arange(len(labels)), np.empty(0, dtype=np.int64)
        self._videos = torch.from_numpy(training)
        self._labels = torch.from_numpy(labels[training]).to(device)
        self._features = train_features(store, device)
        self._class_weights = _class_weights(self._labels, config.train)
        self._batches = BalancedBatches(
            labels[training],
            config.train.batch_size,
            torch.Generator().manual_seed(seed),
            self._features.shape[1],
        )
        known = len(store.categories)
        if categories_of is not None:
            known = len(categories_of.core.prototypes.vectors)
        self._random = RandomState(seed, device)
        with self._random.active():
            model = RefineVAD(config.model, store.widths, known)
        if categories_of is not None:
            take_categories(model, categories_of)
        self._frozen = categories_of is not None
        self._model = model.to(device).train()
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(),
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
            metrics |= self._evaluate()
        else:
            self._diverged = True
        epoch = len(self._records) + 1
        value = 0.0
        if not self._diverged:
            value = metrics[f"{self._objective.split}/{self._objective.metric}"]
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
        sums = torch.zeros(len(LOSSES), device=device)
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
                output = self._model(x, labels=None if self._frozen else labels)
                losses = loss_of(output, labels, config, self._class_weights)
            self._optimizer.zero_grad()
            torch.autograd.backward(losses.total)
            if config.clip_norm:
                torch.nn.utils.clip_grad_norm_(self._model.parameters(), config.clip_norm)
            self._optimizer.step()
            parts = (losses.total, losses.mil, losses.cat, losses.gmm, losses.reg)
            sums += torch.stack(parts).detach()  # read once per epoch: no waiting for the device
            steps += 1
            self._step += 1
        means = (sums / steps).tolist()
        return {f"train/{name}": mean for name, mean in zip(LOSSES, means, strict=True)} | {
            "lr": lr
        }

    def _evaluate(self) -> dict[str, float]:
        """Metrics of the objective's split; flags divergence where a score is not finite."""
        if self._objective.split == "val":
            metrics = validation_metrics(
                self._model,
                self._features,
                self._store.train.labels,
                self._held_out,
                self._config.train.mil_top_k,
            )
        else:
            metrics = epoch_test_metrics(self._model, self._store, self._config.data.test_length)
        self._diverged = not metrics
        return metrics

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
        floor = floor_metrics(self._store)
        objective = last_objective = 0.0
        selected: dict[str, float] = {}
        last = self._records[-1].metrics | floor
        if not self._diverged:
            objective = self._best.objective
            last_objective = self._records[-1].objective
            last |= self._test_metrics()
            selected = last
            if self._selected_epoch != len(self._records):
                assert self._selected_state is not None
                last_state = _copy(self._model)
                self._model.load_state_dict(self._selected_state)
                selected = self._best.metrics | floor
                selected |= self._test_metrics()
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
            selection="selected on test" if self._objective.split == "test" else "validation",
        )

    def _test_metrics(self) -> dict[str, float]:
        length = self._config.data.test_length
        return test_metrics(score_test(self._model, self._store, length=length), self._store)


def train(
    store: Store,
    config: Config,
    *,
    seed: int,
    split_seed: int,
    objective: ObjectiveConfig = ObjectiveConfig(),  # noqa: B008
    runtime: Runtime = Runtime(),  # noqa: B008
    stopping_curve: Sequence[float] | None = None,
    warmup_epochs: int = 0,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> RunResult:
    """A whole run; arguments as in ``TrainingRun``. ``on_epoch`` hears of every epoch."""
    run = TrainingRun(
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


def _class_weights(labels: Tensor, config: TrainConfig) -> Tensor | None:
    """(C,) negatives / positives of the training videos; 1 for a category without a video."""
    if config.class_weights == "none":
        return None
    positives = labels.sum(0).float()
    return torch.where(positives > 0, (len(labels) - positives) / positives.clamp(min=1), 1.0)


def _copy(model: RefineVAD) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
