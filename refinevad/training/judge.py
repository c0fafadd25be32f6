"""The evaluation of a run: its held-out videos, and the metrics of a detector on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.data.batches import steps_of_an_epoch, validation_split
from refinevad.data.device import as_tensor, train_features
from refinevad.data.folds import k_folds
from refinevad.errors import InputError
from refinevad.evaluation.scores import score_segments, score_test
from refinevad.evaluation.splits import (
    effect_metrics,
    epoch_test_metrics,
    floor_metrics,
    held_out_values,
    require_both_kinds,
    test_metrics,
    validation_metrics,
)
from refinevad.layers.smoothing import Smoothing
from refinevad.models.registry import detector_class
from refinevad.run_config import Config
from refinevad.training.runtime import Resolved

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from refinevad.config.data import DataConfig
    from refinevad.data.store import Store
    from refinevad.models.base import Detector


def training_videos(
    store: Store, data: DataConfig, objective: ObjectiveConfig, split_seed: int, fold: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the videos that are trained on, and of those that are held out: none, where the
    test set judges.

    Raises:
        InputError: The videos cannot be split.
    """
    labels = store.train.labels
    if objective.split == "test":
        return np.arange(len(labels)), np.empty(0, dtype=np.int64)
    if objective.fold_kind == "k_fold":
        return k_folds(labels, objective.folds, split_seed, store.train.groups)[fold]
    return validation_split(labels, data.val_fraction, split_seed + fold, store.train.groups)


def require_judgeable(
    store: Store, data: DataConfig, objective: ObjectiveConfig, split_seed: int
) -> None:
    """Raises InputError where no detector could be trained or judged on these data."""
    if objective.split == "test":
        require_both_kinds(store, objective)
    for fold in range(objective.folds):
        training_videos(store, data, objective, split_seed, fold)


def with_epochs(
    train: TrainConfig, store: Store, data: DataConfig, objective: ObjectiveConfig, split_seed: int
) -> TrainConfig:
    """``train`` with `epochs` in place of `steps`: as few as have so many steps on these data.

    Raises:
        InputError: The videos cannot be split.
    """
    if train.steps is None:
        return train
    training, _ = training_videos(store, data, objective, split_seed)
    an_epoch = steps_of_an_epoch(store.train.labels[training], train.batch_size, train.batches)
    epochs = -(-train.steps // an_epoch)
    return train.model_copy(update={"steps": None, "epochs": epochs})


class Judge:
    """The split and the metrics of one run.

    Args:
        store: Packed data.
        config: Configuration of the run.
        split_seed: Decides which videos are held out.
        objective: Objective of the run; on ``test`` no training video is held out.
        runtime: Device and threads of the scores.
        fold: Which of the objective's folds, from 0.

    Raises:
        InputError: The data cannot be split.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        split_seed: int,
        objective: ObjectiveConfig,
        runtime: Resolved,
        fold: int = 0,
    ) -> None:
        self.store, self.config = store, config
        self.objective, self.runtime = objective, runtime
        if objective.split == "test":
            require_both_kinds(store, objective)
            if "auto" in (config.model.smooth_segments, config.model.video_share):
                raise InputError(
                    "model.smooth_segments and model.video_share cannot be auto with "
                    "objective.split: test: held-out videos choose them; give numbers"
                )
        self.training, self.held_out = training_videos(
            store, config.data, objective, split_seed, fold
        )
        """Indices of the videos that are trained on, and of those that are held out."""

    @property
    def features(self) -> Tensor:
        """``(N, crops, T, D)`` of all training videos, on the run's device."""
        return train_features(self.store, self.runtime.device)

    @property
    def metric(self) -> str:
        """Name of the metric that is the objective."""
        return f"{self.objective.split}/{self.objective.metric}"

    @property
    def selection(self) -> str:
        """Checkpoint selection, in the words shown beside results."""
        return "selected on test" if self.objective.split == "test" else "validation"

    def epoch_metrics(self, model: Detector) -> dict[str, float]:
        """Metrics of the objective's split and diagnostics; empty if a score is not finite."""
        if self.objective.split == "test":
            length = self.config.data.test_length
            return epoch_test_metrics(model, self.store, length, self.objective)
        return validation_metrics(
            model,
            self.features,
            self.store.train.labels,
            self.held_out,
            self.config.model,
            self.objective,
        )

    def scores_of_crops(self, model: Detector) -> Tensor:
        """Scores (M, crops, T) of the held-out videos, without smoothing; on the CPU."""
        features = self.features.index_select(
            0, torch.from_numpy(self.held_out).to(self.runtime.device)
        )
        videos, crops = features.shape[:2]
        smoothing, model.smoothing = model.smoothing, Smoothing()
        try:
            found = score_segments(model, features.flatten(0, 1).unsqueeze(1))
        finally:
            model.smoothing = smoothing
        return torch.from_numpy(found.scores).view(videos, crops, -1)

    def metric_of(self, scores: Tensor) -> float:
        """The objective's metric of scores (M, T) of the held-out videos."""
        labels = self.store.train.labels[self.held_out]
        model, objective = self.config.model, self.objective
        found = held_out_values(detector_class(model.name), scores, labels, model, objective)
        return found[objective.metric]

    def test_metrics(self, model: Detector) -> dict[str, float]:
        """Frame metrics of the test set, those of the video-label baseline, and what the parts of
        the detector do on the videos that judge it."""
        scores = score_test(model, self.store, length=self.config.data.test_length)
        found = floor_metrics(self.store) | test_metrics(scores, self.store)
        return found | self._effects(model) if self.objective.monitor else found

    def _effects(self, model: Detector) -> dict[str, float]:
        if self.objective.split == "test":
            features = as_tensor(self.store.test.segments).to(self.runtime.device)
            return effect_metrics(model, features, self.store.test.labels)
        held_out = torch.from_numpy(self.held_out).to(self.runtime.device)
        features = self.features.index_select(0, held_out)
        return effect_metrics(model, features, self.store.train.labels[self.held_out])


def judges(
    store: Store,
    config: Config,
    *,
    split_seed: int,
    objective: ObjectiveConfig,
    runtime: Resolved,
) -> list[Judge]:
    """One judge for every fold of the objective; arguments and errors as of :class:`Judge`."""
    return [
        Judge(
            store,
            config,
            split_seed=split_seed,
            objective=objective,
            runtime=runtime,
            fold=fold,
        )
        for fold in range(objective.folds)
    ]
