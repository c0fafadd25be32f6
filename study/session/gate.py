"""The gate of a leaderboard: a method that cannot learn eight videos by heart is no competitor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from refinevad.data import Store
from refinevad.data.device import as_tensor
from refinevad.models.base import FittedDetector
from refinevad.models.registry import detector_class
from refinevad.testing.detectors import overfit
from refinevad.training.task import task_of
from study.config.study_file import StudyFile

VIDEOS = 4
"""Of either kind."""
RATES = (1e-2, 1e-3, 1e-4)
STEPS = 400


def learns_by_heart(file: StudyFile, store: Store) -> bool:
    """Whether a method tells the first training videos of either kind apart, at one of three
    learning rates; what is fitted in one go passes.

    Args:
        file: Its search; the knobs are the fixed ones and the defaults.
        store: The data.
    """
    config = file.model
    if config.fitted:
        return True
    labels = np.asarray(store.train.labels)
    abnormal = labels.any(axis=1)
    rows = [np.flatnonzero(abnormal == kind)[:VIDEOS] for kind in (False, True)]
    chosen = np.sort(np.concatenate(rows))
    x = as_tensor(store.train.features[chosen]).float().mean(dim=1)  # crops averaged
    named: Any = torch.from_numpy(labels[chosen])
    torch.set_num_threads(file.execution.threads)
    for rate in RATES:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = detector_class(config.name)(config, task_of(store))
        assert not isinstance(model, FittedDetector)
        if overfit(model, x, named, lr=rate, steps=STEPS):
            return True
    return False
