"""The evaluation of a run: its held-out videos, and the metrics of a detector on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refinevad.config.training import ObjectiveConfig
from refinevad.data.batches import validation_split
from refinevad.data.device import train_features
from refinevad.evaluation.scores import score_test
from refinevad.evaluation.splits import (
    epoch_test_metrics,
    floor_metrics,
    test_metrics,
    validation_metrics,
)
from refinevad.run_config import Config
from refinevad.training.runtime import Resolved

if TYPE_CHECKING:
    from torch import Tensor

    from refinevad.data.store import Store
    from refinevad.models.base import Detector


class Judge:
    """The split and the metrics of one run.

    Args:
        store: Packed data.
        config: Configuration of the run.
        split_seed: Decides which videos are held out.
        objective: Objective of the run; on ``test`` no training video is held out.
        runtime: Device and threads of the scores.

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
    ) -> None:
        self.store, self.config = store, config
        self.objective, self.runtime = objective, runtime
        self.training = np.arange(len(store.train.labels))
        """Indices of the videos that are trained on."""
        self.held_out = np.empty(0, dtype=np.int64)
        """Indices of the videos that are held out."""
        if objective.split == "val":
            self.training, self.held_out = validation_split(
                store.train.labels, config.data.val_fraction, split_seed
            )

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
            return epoch_test_metrics(model, self.store, self.config.data.test_length)
        return validation_metrics(
            model, self.features, self.store.train.labels, self.held_out, self.config.model
        )

    def test_metrics(self, model: Detector) -> dict[str, float]:
        """Frame metrics of the test set, and those of the video-label baseline."""
        scores = score_test(model, self.store, length=self.config.data.test_length)
        return floor_metrics(self.store) | test_metrics(scores, self.store)
