"""The run of a fitted detector: one epoch in which it is fitted and evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.models.base import Detector, FittedDetector, Split
from refinevad.models.registry import detector_class
from refinevad.run_config import Config
from refinevad.training.judge import Judge
from refinevad.training.random_state import RandomState
from refinevad.training.single_epoch import SingleEpochRun
from refinevad.training.smoothing import Chosen, choose_smoothing
from refinevad.training.task import task_of

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
        self._folds = [_FittedFold(judge, seed + i) for i, judge in enumerate(self._judges)]

    def _ready(self, fold: int) -> Detector:
        return self._folds[fold].judged

    def _state(self) -> dict[str, Tensor]:
        state = self._folds[0].judged.state_dict()
        return {name: t.detach().cpu().clone() for name, t in state.items()}

    def _chosen(self) -> Chosen:
        return choose_smoothing(self._folds, self._config.model, self._objective)


class _FittedFold:
    """A detector that is fitted when it is first asked for."""

    def __init__(self, judge: Judge, seed: int) -> None:
        self.judge = judge
        self._seed = seed
        self._device = judge.runtime.device
        config, store = judge.config.model, judge.store
        with RandomState(seed, self._device).active():
            model = detector_class(config.name)(config, task_of(store))
        assert isinstance(model, FittedDetector), "its config says so"
        self._model = model.to(self._device).eval()
        self._fitted = False

    @property
    def judged(self) -> Detector:
        if not self._fitted:
            with torch.inference_mode():
                split = self._split()
                self._model.fit_normalisation(split)
                normalised = Split(
                    self._model.normalised(split.features), split.videos, split.labels
                )
                self._model.fit(normalised, np.random.default_rng(self._seed))
            self._fitted = True
        return self._model

    def _split(self) -> Split:
        """The training part, or its normal videos where the detector learns from them alone."""
        judge = self.judge
        videos, labels = judge.training, judge.store.train.labels
        if self._model.trained_on == "normal":
            videos = videos[~np.asarray(labels[videos]).any(axis=1)]
        return Split(
            judge.features,
            torch.from_numpy(videos),
            torch.from_numpy(labels[videos]).to(self._device),
        )
