"""Scores of a comparison study's checkpoints on the test set, computed once for all tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from refinevad.data.device import as_tensor
from refinevad.errors import InputError
from refinevad.evaluation.scores import scoring_mode, segments_to_snippets
from refinevad.models.checkpoint import load
from refinevad.models.refinevad.model import RefineVAD
from study.config.variants import REPLICATE, VARIANT
from study.trials.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.ledger.study import StudyView
    from study.space.encoding import Floats

_BATCH = 256


@dataclass(frozen=True)
class Scored:
    """One model's scores of M test videos of T segments and C categories, means over crops."""

    variant: str
    replicate: int
    segments: Floats
    """(M, T) scores."""
    snippets: Floats
    """(S,) scores of the snippets of all videos, spread from the segments."""
    logits: Floats
    """(M, C, 2): normal, anomalous."""
    probs: Floats
    """(M, C)"""


def score_model(path: Path, store: Store, *, variant: str, replicate: int) -> Scored:
    """Scores the test set with a checkpoint."""
    with torch.random.fork_rng(devices=[]):
        model, _ = load(path)
    if not isinstance(model, RefineVAD):
        raise InputError(f"{path}: a model of {model.config.name}; this table needs RefineVAD")
    features = as_tensor(store.test.segments)
    count, crops, length, width = features.shape
    scores, logits, probs = [], [], []
    with scoring_mode(model):
        for part in torch.split(features.reshape(count * crops, length, width), _BATCH):
            output = model.outputs(model.normalised(part.float()))
            scores.append(model.smoothing(output.scores))
            logits.append(output.category_logits.float())
            probs.append(output.category_probs.float())
    segments = torch.cat(scores).view(count, crops, length).mean(1).numpy()
    return Scored(
        variant,
        replicate,
        segments,
        segments_to_snippets(segments, store.test.offsets),
        torch.cat(logits).view(count, crops, -1, 2).mean(1).numpy(),
        torch.cat(probs).view(count, crops, -1).mean(1).numpy(),
    )


def score_variants(view: StudyView, store: Store, variants: Sequence[str]) -> list[Scored]:
    """Scores every checkpoint of ``variants``; a diverged or failed trial has none."""
    found = []
    for record in view.ended:
        path = checkpoint_path(view.folder / "checkpoints", record.number)
        variant, replicate = record.params[VARIANT], int(record.params[REPLICATE])
        if variant in variants and path.exists():
            found.append(score_model(path, store, variant=variant, replicate=replicate))
    return sorted(found, key=lambda s: (list(variants).index(s.variant), s.replicate))


def abnormal(store: Store) -> Floats:
    """(M,) bool: which test videos are abnormal."""
    return np.asarray(store.test.labels.any(axis=1))
