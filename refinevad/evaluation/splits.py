"""Metrics of a model's scores on held-out training videos and on the test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinevad.config.detector import DetectorConfig
from refinevad.data.device import as_tensor
from refinevad.evaluation.metrics import frame_metrics, video_label_floor, video_metrics
from refinevad.evaluation.scores import (
    Length,
    device_of,
    score_segments,
    score_test,
    segments_to_snippets,
)
from refinevad.models.base import Detector

if TYPE_CHECKING:
    from refinevad.data.store import Store

Array = NDArray[Any]


def validation_metrics(
    model: Detector, features: Tensor, labels: Array, videos: Array, config: DetectorConfig
) -> dict[str, float]:
    """``val/auc``, ``val/ap`` of video labels, and diagnostics; empty if a score is not finite.

    A video is judged by the detector's ``video_scores`` of its segments, crops averaged first.

    Args:
        model: On the device of ``features``.
        features: (N, crops, T, D) of the training videos.
        labels: (N, C) bool.
        videos: Indices of the held-out ones.
        config: Configuration of the detector's ``video_scores``.
    """
    found = score_segments(model, features, torch.from_numpy(videos))
    if not np.isfinite(found.scores).all():
        return {}
    video_scores = model.video_scores(torch.from_numpy(found.scores), config)
    values = video_metrics(video_scores.numpy(), np.asarray(labels[videos].any(axis=1)))
    return found.diagnostics | {f"val/{name}": value for name, value in values.items()}


def epoch_test_metrics(model: Detector, store: Store, length: Length) -> dict[str, float]:
    """``test/…`` and diagnostics of one epoch; empty if a score is not finite."""
    found = score_segments(model, as_tensor(store.test.segments).to(device_of(model)))
    if length == "full":
        scores = score_test(model, store, length="full")
    else:
        scores = segments_to_snippets(found.scores, store.test.offsets)
    if not np.isfinite(scores).all():
        return {}
    return found.diagnostics | test_metrics(scores, store)


def test_metrics(scores: Array, store: Store) -> dict[str, float]:
    """Frame metrics of the test set, named ``test/…``."""
    test = store.test
    found = frame_metrics(scores, test.truth, test.offsets, np.asarray(test.labels.any(axis=1)))
    return {f"test/{name}": value for name, value in found.items()}


test_metrics.__test__ = False  # type: ignore[attr-defined]  # no test, whatever pytest thinks


def floor_metrics(store: Store) -> dict[str, float]:
    """Metrics of the video-label baseline on the test set, named ``floor/…``."""
    test = store.test
    found = video_label_floor(test.truth, test.offsets, np.asarray(test.labels.any(axis=1)))
    return {f"floor/{name}": value for name, value in found.items()}
