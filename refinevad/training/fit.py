"""The run of a fitted detector: one epoch in which it is fitted and evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.models.base import Detector, FittedDetector, Split, Task
from refinevad.models.registry import detector_class
from refinevad.run_config import Config
from refinevad.training.random_state import RandomState
from refinevad.training.single_epoch import SingleEpochRun

if TYPE_CHECKING:
    from refinevad.data.store import Store


class FitRun(SingleEpochRun):
    """A run of a detector that is fitted in one go; ``seed`` decides every random draw."""

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
        super().__init__(store, config, split_seed=split_seed, objective=objective, runtime=runtime)
        self._seed = seed
        task = Task(store.widths, store.categories)
        with RandomState(seed, self._runtime.device).active():
            model = detector_class(config.model.name)(config.model, task)
        assert isinstance(model, FittedDetector), "its config says so"
        self._model = model.to(self._runtime.device).eval()
        self._fitted = False

    def _ready(self) -> Detector:
        if not self._fitted:
            with torch.inference_mode():
                self._model.fit(self._split(), np.random.default_rng(self._seed))
            self._fitted = True
        return self._model

    def _split(self) -> Split:
        """The training part, or its normal videos where the detector learns from them alone."""
        judge = self._judge
        videos, labels = judge.training, judge.store.train.labels
        if self._model.trained_on == "normal":
            videos = videos[~np.asarray(labels[videos]).any(axis=1)]
        return Split(
            judge.features,
            torch.from_numpy(videos),
            torch.from_numpy(labels[videos]).to(self._runtime.device),
        )

    def _state(self) -> dict[str, Tensor]:
        return {name: t.detach().cpu().clone() for name, t in self._model.state_dict().items()}
