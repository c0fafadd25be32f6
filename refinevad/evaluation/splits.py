"""Metrics of a model's scores on held-out training videos and on the test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinevad.config.detector import DetectorConfig
from refinevad.config.training import ObjectiveConfig
from refinevad.data.device import as_tensor
from refinevad.errors import InputError
from refinevad.evaluation.metrics import (
    brier,
    frame_metrics,
    segment_auc,
    video_label_floor,
    video_metrics,
)
from refinevad.evaluation.scores import (
    Length,
    VideoScores,
    device_of,
    score_segments,
    score_test,
    scoring_mode,
    segments_to_snippets,
)
from refinevad.layers.mil import top_k_mean
from refinevad.models.base import Detector

if TYPE_CHECKING:
    from refinevad.data.store import Store

Array = NDArray[Any]


def validation_metrics(
    model: Detector,
    features: Tensor,
    labels: Array,
    videos: Array,
    config: DetectorConfig,
    objective: ObjectiveConfig,
) -> dict[str, float]:
    """``val/auc``, ``val/ap`` of video labels, and diagnostics; empty if a score is not finite.

    A video is judged by its largest segment scores (``objective.top_k``), crops averaged first.

    Args:
        model: On the device of ``features``.
        features: (N, crops, T, D) of the training videos.
        labels: (N, C) bool.
        videos: Indices of the held-out ones.
        config: Configuration of the detector.
        objective: What judges a video, and whether the detector is monitored.
    """
    found = score_segments(model, features, torch.from_numpy(videos))
    if not np.isfinite(found.scores).all():
        return {}
    scores = torch.from_numpy(found.scores)
    values = held_out_values(type(model), scores, labels[videos], config, objective)
    if objective.monitor:
        held_out = torch.from_numpy(np.asarray(labels[videos]))
        losses = model.held_out_losses(scores, held_out, config)
        values |= {name: float(value) for name, value in losses.items()}
    monitored = _apart(found, labels[videos]) if objective.monitor else {}
    return found.diagnostics | monitored | {f"val/{name}": value for name, value in values.items()}


def held_out_values(
    detector: type[Detector],
    scores: Tensor,
    labels: Array,
    config: DetectorConfig,
    objective: ObjectiveConfig,
) -> dict[str, float]:
    """``auc`` and ``ap`` of video labels, and the objective's own metric.

    Args:
        detector: Its class.
        scores: (M, T) segment scores, crops averaged.
        labels: (M, C) bool.
        config: Configuration of the detector.
        objective: What judges a video.
    """
    length = scores.shape[1]
    if objective.top_k == "loss":
        video_scores = detector.video_scores(scores, config)
    else:
        everywhere = torch.ones_like(scores, dtype=torch.bool)
        video_scores = top_k_mean(scores, everywhere, objective.top_k)
    abnormal = np.asarray(labels.any(axis=1))
    values = video_metrics(video_scores.numpy(), abnormal)
    if objective.metric == "seg_auc":
        k = objective.top_k if isinstance(objective.top_k, int) else length // 16 + 1
        values["seg_auc"] = segment_auc(scores.numpy(), abnormal, k)
    elif objective.metric == "brier":
        values["brier"] = brier(video_scores.numpy(), abnormal)
    return values


def _apart(found: VideoScores, labels: Array) -> dict[str, float]:
    """Means of the detector's diagnostics over abnormal and over normal videos."""
    abnormal = np.asarray(labels).any(axis=1)
    kinds = {"abnormal": abnormal, "normal": ~abnormal}
    return {
        f"{name}_{kind}": float(values[chosen].mean())
        for name, values in found.by_kind.items()
        for kind, chosen in kinds.items()
        if chosen.any()
    }


def effect_metrics(model: Detector, features: Tensor, labels: Array) -> dict[str, float]:
    """What the parts of a trained detector do, on videos ``features`` (N, crops, T, D)."""
    with scoring_mode(model):
        x = model.normalised(features.float().mean(1))
        return model.effects(x, torch.from_numpy(labels).to(features.device))


def epoch_test_metrics(
    model: Detector, store: Store, length: Length, objective: ObjectiveConfig
) -> dict[str, float]:
    """``test/…`` and diagnostics of one epoch; empty if a score is not finite."""
    found = score_segments(model, as_tensor(store.test.segments).to(device_of(model)))
    if length == "full":
        scores = score_test(model, store, length="full")
    else:
        scores = segments_to_snippets(found.scores, store.test.offsets)
    if not np.isfinite(scores).all():
        return {}
    monitored = _apart(found, store.test.labels) if objective.monitor else {}
    return found.diagnostics | monitored | test_metrics(scores, store)


def test_metrics(scores: Array, store: Store) -> dict[str, float]:
    """Frame metrics of the test set, named ``test/…``."""
    test = store.test
    abnormal = np.asarray(test.labels.any(axis=1))
    found = frame_metrics(scores, test.truth, test.offsets, abnormal, frames=test.snippet_frames)
    return {f"test/{name}": value for name, value in found.items()}


test_metrics.__test__ = False  # type: ignore[attr-defined]  # no test, whatever pytest thinks


def require_both_kinds(store: Store, objective: ObjectiveConfig) -> None:
    """Raises InputError where the objective is undefined on the test set, whatever the scores."""
    test = store.test
    positive = test.truth.astype(np.int64)
    negative = test.snippet_frames - positive
    where, inside = "", np.ones(len(positive), dtype=bool)
    if objective.metric == "ano_auc":
        where = "of its abnormal videos "
        inside = np.repeat(test.labels.any(axis=1), test.lengths)
    for count, kind in ((positive[inside].sum(), "positive"), (negative[inside].sum(), "negative")):
        if count == 0:
            raise InputError(
                f"objective.split is test, and no frame {where}in the test set is {kind}: "
                f"{objective.metric} is undefined there; add test videos of both kinds, or say "
                "objective.split: val"
            )


def floor_metrics(store: Store) -> dict[str, float]:
    """Metrics of the video-label baseline on the test set, named ``floor/…``."""
    test = store.test
    abnormal = np.asarray(test.labels.any(axis=1))
    found = video_label_floor(test.truth, test.offsets, abnormal, frames=test.snippet_frames)
    return {f"floor/{name}": value for name, value in found.items()}
