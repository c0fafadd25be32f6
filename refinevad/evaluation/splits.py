"""What a model's scores are worth: on held-out training videos, and on the test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinevad.data.device import as_tensor
from refinevad.evaluation.metrics import frame_metrics, video_label_floor, video_metrics
from refinevad.evaluation.scores import Length, VideoScores, score_segments, score_test, spread
from refinevad.layers.mil import top_k_mean
from refinevad.models import RefineVAD

if TYPE_CHECKING:
    from refinevad.data.store import Store

Array = NDArray[Any]


def validation_metrics(
    model: RefineVAD, features: Tensor, labels: Array, videos: Array, top_k: int | None
) -> dict[str, float]:
    """``val/auc``, ``val/ap`` of video labels, and ``shift/…``; empty if a score is not finite.

    A video's score is the mean of its top-k segment scores, crops averaged first.

    Args:
        model: On the device of ``features``.
        features: (N, crops, T, D) of the training videos.
        labels: (N, C) bool.
        videos: Indices of the held-out ones.
        top_k: k; None: T // 16 + 1.
    """
    found = score_segments(model, features, torch.from_numpy(videos))
    if not np.isfinite(found.scores).all():
        return {}
    scores = torch.from_numpy(found.scores)
    video_scores = top_k_mean(scores, torch.ones_like(scores, dtype=torch.bool), top_k)
    values = video_metrics(video_scores.numpy(), np.asarray(labels[videos].any(axis=1)))
    return _shift(found) | {f"val/{name}": value for name, value in values.items()}


def epoch_test_metrics(model: RefineVAD, store: Store, length: Length) -> dict[str, float]:
    """``test/…`` and ``shift/…`` of one epoch; empty if a score is not finite."""
    device = next(model.parameters()).device
    found = score_segments(model, as_tensor(store.test.segments).to(device))
    if length == "full":
        scores = score_test(model, store, length="full")
    else:
        scores = spread(found.scores, store.test.offsets)
    if not np.isfinite(scores).all():
        return {}
    return _shift(found) | test_metrics(scores, store)


def test_metrics(scores: Array, store: Store) -> dict[str, float]:
    """Frame metrics of the test set, named ``test/…``."""
    test = store.test
    found = frame_metrics(scores, test.truth, test.offsets, np.asarray(test.labels.any(axis=1)))
    return {f"test/{name}": value for name, value in found.items()}


test_metrics.__test__ = False  # type: ignore[attr-defined]  # no test, whatever pytest thinks


def floor_metrics(store: Store) -> dict[str, float]:
    """What knowing the video label alone would reach on the test set, named ``floor/…``."""
    test = store.test
    found = video_label_floor(test.truth, test.offsets, np.asarray(test.labels.any(axis=1)))
    return {f"floor/{name}": value for name, value in found.items()}


def _shift(found: VideoScores) -> dict[str, float]:
    return {"shift/s_mean": found.shift_mean, "shift/s_span": found.shift_span}
