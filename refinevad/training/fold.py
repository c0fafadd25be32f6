"""One fold of a training run: a detector, its optimiser, and the videos that judge it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from refinevad.data.batches import BATCHES
from refinevad.models.base import Batch, Detector, Split
from refinevad.models.registry import detector_class
from refinevad.run_config import Config
from refinevad.training.judge import Judge
from refinevad.training.random_state import RandomState
from refinevad.training.schedule import learning_rate
from refinevad.training.task import task_of

OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "adagrad": torch.optim.Adagrad,
}
"""``train.optimizer`` -> its class; each has a fused step."""
State = dict[str, Tensor]
"""Weights and buffers on the CPU, by name."""


class Fold:
    """A detector in training, one epoch at a time.

    Args:
        config: Configuration of the run.
        judge: Its training videos, and the metrics of the others.
        seed: Decides initial weights, batches, crops and dropout.
        frozen_from: As in :class:`refinevad.training.run.TrainingRun`.

    Raises:
        InputError: The data cannot be trained on.
    """

    def __init__(
        self, config: Config, judge: Judge, *, seed: int, frozen_from: Detector | None
    ) -> None:
        self.judge = judge
        self._config = config.train
        self._runtime = judge.runtime
        device = self._runtime.device
        labels = judge.store.train.labels[judge.training]
        self._videos = torch.from_numpy(judge.training)
        self._labels = torch.from_numpy(labels).to(device)
        self._features = judge.features
        self._batches = BATCHES[config.train.batches](
            labels,
            config.train.batch_size,
            torch.Generator().manual_seed(seed),
            self._features.shape[1],
        )
        categories = None if frozen_from is None else frozen_from.task.categories
        self._random = RandomState(seed, device)
        with self._random.active():
            task = task_of(judge.store, categories)
            model = detector_class(config.model.name)(config.model, task)
        if frozen_from is not None:
            model.take_frozen(frozen_from)
        self._model = model.to(device).train()
        split = Split(self._features, self._videos, self._labels)
        self._model.fit_normalisation(split)
        self._model.prepare(split)
        self._average = deepcopy(self._model) if config.train.ema else None
        self._optimizer = OPTIMIZERS[config.train.optimizer](
            self._model.parameter_groups(),
            lr=config.train.lr,
            weight_decay=config.train.weight_decay,
            fused=True,
        )
        self._step = 0

    @property
    def judged(self) -> Detector:
        """The detector that is judged and kept: in training, or the average of its weights."""
        return self._model if self._average is None else self._average

    def run_epoch(self) -> tuple[dict[str, float], bool]:
        """Trains one epoch.

        Returns:
            The epoch's metrics; and whether its loss and its scores are finite.
        """
        with self._random.active():
            metrics = self._train_epoch()
        if not math.isfinite(metrics["train/loss"]):
            return metrics, False
        found = self.judge.epoch_metrics(self.judged)
        return metrics | found, bool(found)

    def state(self) -> State:
        """A copy of what is judged."""
        return {name: t.detach().cpu().clone() for name, t in self.judged.state_dict().items()}

    def _train_epoch(self) -> dict[str, float]:
        config, device = self._config, self._runtime.device
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
            x = self._model.normalised(rows.index_select(0, row).float())
            labels = self._labels.index_select(0, video.to(device, non_blocking=True))
            with self._runtime.autocast():
                losses = self._model.losses(Batch(x, labels))
            self._optimizer.zero_grad()
            torch.autograd.backward(losses["loss"])
            if config.clip_norm:
                torch.nn.utils.clip_grad_norm_(self._model.parameters(), config.clip_norm)
            self._optimizer.step()
            if self._average is not None:
                decay = min(config.ema, (1 + self._step) / (10 + self._step))
                _move_towards(self._average, self._model, decay)
            # Read once per epoch: no waiting for the device.
            sums += torch.stack([losses[name] for name in names]).detach()
            steps += 1
            self._step += 1
        means = (sums / steps).tolist()
        return {f"train/{name}": mean for name, mean in zip(names, means, strict=True)} | {"lr": lr}


def mean_metrics(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over folds of every metric that all of them have."""
    if len(found) == 1:
        return dict(found[0])
    return {
        name: math.fsum(metrics[name] for metrics in found) / len(found)
        for name in found[0]
        if all(name in metrics for metrics in found)
    }


@torch.no_grad()
def _move_towards(average: nn.Module, model: nn.Module, decay: float) -> None:
    """One step of the exponential moving average of weights; statistics of batches included."""
    own = model.state_dict()
    for name, kept in average.state_dict().items():
        if kept.is_floating_point():
            kept.lerp_(own[name], 1 - decay)
        else:
            kept.copy_(own[name])
