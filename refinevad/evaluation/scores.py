"""Scores of whole data sets: batched, averaged over crops.

Scoring is always float32, whatever precision training has: bfloat16 keeps 8 bits, the scores of
neighbouring segments would tie, and a tie costs AUC and AP. The model's device is the one used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from refinevad.data.device import as_tensor
from refinevad.data.segments import expand, pool
from refinevad.models.base import Detector, Prediction

if TYPE_CHECKING:
    from refinevad.data.store import Store

Length = Literal["segments", "full"]
Array = NDArray[Any]

TOKENS = 8192
"""Segments (or snippets) in one batch, padding included: bounds the memory of activations."""
CACHED_TOKENS = 2048
"""Snippets in one batch at full length on a CPU, whose caches hold no more."""
WINDOW = 4096
"""Longest piece of a video scored at once in full length (36 minutes at 30 frames a second);
a longer one is cut into equal pieces. Attention's memory grows with the square of it."""


@dataclass(frozen=True)
class VideoScores:
    """A model's scores of N videos of T segments, averaged over crops; on the CPU."""

    scores: Array
    """(N, T) float32"""
    category_probs: Array | None
    """(N, C) float32; None: the detector knows no categories."""
    diagnostics: dict[str, float]
    """Metric name -> mean of the detector's own diagnostics over videos."""
    by_kind: dict[str, Array]
    """Metric name -> (N,), to be averaged over abnormal and normal videos apart."""


def device_of(model: nn.Module) -> torch.device:
    """Device of a detector's weights, or of its buffers where it is fitted."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def scoring_mode(model: Detector) -> Iterator[None]:
    """Evaluation mode without gradients; training mode comes back afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def score_segments(model: Detector, features: Tensor, videos: Tensor | None = None) -> VideoScores:
    """Scores videos of equal length.

    Args:
        model: On any device.
        features: (N, crops, T, D) of any float type, on the model's device.
        videos: Indices of the videos to score; None: all.
    """
    count, crops, length, width = features.shape
    rows = features.reshape(count * crops, length, width)
    if videos is None:
        videos = torch.arange(count)
    chosen = (videos[:, None] * crops + torch.arange(crops)).flatten().to(features.device)
    scores: list[Tensor] = []
    probs: list[Tensor] = []
    diagnostics: dict[str, list[Tensor]] = {}
    by_kind: dict[str, list[Tensor]] = {}
    with scoring_mode(model):
        for part in torch.split(chosen, max(1, TOKENS // length)):
            found: Prediction = model.predict(rows.index_select(0, part).float())
            scores.append(found.scores)
            if found.category_probs is not None:
                probs.append(found.category_probs)
            for name, value in found.diagnostics.items():
                diagnostics.setdefault(name, []).append(value)
            for name, value in found.by_kind.items():
                by_kind.setdefault(name, []).append(value)
        return VideoScores(
            scores=_numpy(torch.cat(scores).view(-1, crops, length).mean(1)),
            category_probs=_numpy(torch.cat(probs).view(len(videos), crops, -1).mean(1))
            if probs
            else None,
            diagnostics={
                name: float(torch.cat(values).mean()) for name, values in diagnostics.items()
            },
            by_kind={
                name: _numpy(torch.cat(values).view(-1, crops).mean(1))
                for name, values in by_kind.items()
            },
        )


def score_snippets(model: Detector, features: Array, offsets: Array) -> tuple[Array, Array | None]:
    """Scores ragged videos at full length.

    Args:
        model: On any device.
        features: (S, crops, D), snippets of all videos one after another.
        offsets: (M + 1,); video m owns rows ``offsets[m]:offsets[m + 1]``.

    Returns:
        (S,) float32 scores and (M, C) float32 category probabilities, means over crops (and the
        latter over a video's windows, weighted by length; None where the detector knows none).
    """
    device = device_of(model)
    crops = features.shape[1]
    pieces = _windows(offsets)
    rows = [(*piece, crop) for piece in pieces for crop in range(crops)]
    rows.sort(key=lambda row: row[2] - row[1])  # alike lengths together: little padding
    scores = np.zeros(len(features), dtype=np.float32)
    probs: Array | None = None
    with scoring_mode(model):
        for batch in _batches(rows, CACHED_TOKENS if device.type == "cpu" else TOKENS):
            x, mask = _padded(features, batch, device)
            prediction: Prediction = model.predict(x, mask)
            found = _numpy(prediction.scores)
            for (_, start, end, _), row in zip(batch, found, strict=True):
                scores[start:end] += row[: end - start] / crops
            if prediction.category_probs is None:
                continue
            batch_probs = _numpy(prediction.category_probs)
            if probs is None:
                probs = np.zeros((len(offsets) - 1, batch_probs.shape[1]), dtype=np.float32)
            for (video, start, end, _), categories in zip(batch, batch_probs, strict=True):
                share = (end - start) / (offsets[video + 1] - offsets[video])
                probs[video] += categories * np.float32(share / crops)
    return scores, probs


def score_video(
    model: Detector, features: Array, *, segments: int, length: Length
) -> tuple[Array, Array | None]:
    """Scores (n,) and category probabilities (C,) of one video with features (n, crops, D).

    The probabilities are None where the detector knows no categories.
    """
    if length == "full":
        scores, probs = score_snippets(model, features, np.array([0, len(features)]))
        return scores, None if probs is None else probs[0]
    device = device_of(model)
    pooled = torch.from_numpy(pool(features, segments)).to(device)
    found = score_segments(model, pooled.transpose(0, 1).unsqueeze(0))
    probs = found.category_probs
    return expand(found.scores[0], len(features)), None if probs is None else probs[0]


def score_test(model: Detector, store: Store, *, length: Length) -> Array:
    """Scores (total_snippets,) float32 of a store's test set, averaged over crops.

    ``segments`` scores each video's T segments and spreads them over its snippets; ``full`` scores
    snippet by snippet.
    """
    test = store.test
    if length == "full":
        return score_snippets(model, test.features, test.offsets)[0]
    found = score_segments(model, as_tensor(test.segments).to(device_of(model)))
    return segments_to_snippets(found.scores, test.offsets)


def segments_to_snippets(scores: Array, offsets: Array) -> Array:
    """Segment scores (M, T) to the snippets of all videos, (offsets[-1],) float32."""
    lengths = np.diff(offsets)
    return np.concatenate([expand(row, int(n)) for row, n in zip(scores, lengths, strict=True)])


def _windows(offsets: Array) -> list[tuple[int, int, int]]:
    """(video, first, end) rows of pieces no longer than WINDOW; pieces of a video are equal."""
    pieces = []
    for video, (start, end) in enumerate(pairwise(offsets.tolist())):
        parts = -(-(end - start) // WINDOW)
        borders = np.linspace(start, end, parts + 1).astype(int).tolist()
        pieces += [(video, a, b) for a, b in pairwise(borders)]
    return pieces


def _batches(
    rows: list[tuple[int, int, int, int]], tokens: int
) -> Iterator[list[tuple[int, int, int, int]]]:
    """Cuts rows sorted by length where a batch would exceed tokens or WINDOW^2 attention pairs."""
    batch: list[tuple[int, int, int, int]] = []
    for row in rows:
        length = row[2] - row[1]
        if batch and (len(batch) + 1) * length > min(tokens, WINDOW * WINDOW // length):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _padded(
    features: Array, batch: list[tuple[int, int, int, int]], device: torch.device
) -> tuple[Tensor, Tensor | None]:
    lengths = [end - start for _, start, end, _ in batch]
    x = torch.zeros(len(batch), max(lengths), features.shape[-1])
    for index, (_, start, end, crop) in enumerate(batch):
        rows = np.asarray(features[start:end, crop], dtype=np.float32)
        x[index, : end - start] = torch.from_numpy(rows)
    if min(lengths) == max(lengths):
        return x.to(device), None
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return x.to(device), mask.to(device)


def _numpy(tensor: Tensor) -> Array:
    return tensor.cpu().numpy()
