"""The mean of several models' scores on the test videos, beside its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from refinevad.cli import SHORT_NAMES
from refinevad.evaluation.scores import Length, score_test
from refinevad.evaluation.splits import test_metrics
from refinevad.models.checkpoint import load

if TYPE_CHECKING:
    from refinevad.data import Store


@dataclass(frozen=True)
class Ensemble:
    """Metrics of the mean score, and the means of its members' own."""

    members: int
    together: dict[str, float]
    alone: dict[str, float]

    @property
    def sentence(self) -> str:
        """The gain and its cost."""
        cells = ", ".join(
            f"{title} {self.together[key]:.4f} (its members on average {self.alone[key]:.4f})"
            for key, title in SHORT_NAMES.items()
            if key in self.together
        )
        return (
            f"The mean score of the trusted configuration's {self.members} models has {cells}; "
            f"scoring costs {self.members} times as much."
        )


def ensemble_of(paths: Sequence[Path], store: Store, *, length: Length) -> Ensemble:
    """Scores the test set with every checkpoint and with their mean.

    Args:
        paths: Checkpoints, two or more.
        store: Packed data.
        length: ``data.test_length``.
    """
    scores = []
    for path in paths:
        with torch.random.fork_rng(devices=[]):
            model, _ = load(path)
        scores.append(score_test(model, store, length=length))
    own = [test_metrics(row, store) for row in scores]
    mean = np.asarray(np.mean(np.stack(scores), axis=0, dtype=np.float64), dtype=np.float32)
    return Ensemble(
        len(paths),
        test_metrics(mean, store),
        {key: float(np.mean([row[key] for row in own])) for key in SHORT_NAMES if key in own[0]},
    )
