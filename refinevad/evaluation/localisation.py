"""Categories localised in time: mAP@IoU, as VadCLIP computes it and in the usual definition.

VadCLIP's evaluation (``map_vadclip``) has peculiarities that change the number. They are kept, so
that numbers are comparable; ``map_clean`` leaves them out. Both work on snippets, which is exact: a
score is the same for all frames of a snippet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from refinevad.config.section import SNIPPET_FRAMES

if TYPE_CHECKING:
    from refinevad.data.store import TestSplit

Array = NDArray[Any]
IOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
NORMAL = 0
"""Column of the normal class."""
RELATIVE_THRESHOLD = 0.6
"""Relative threshold: a run lies above ``max - 0.6 (max - min)`` of a video's column."""
VIDEO_WEIGHT = 0.7
"""Share of the class's score of the whole video in a proposal's score."""

Event = tuple[int, int, int]
"""First frame, the frame after the last, column of the class."""
Kind = Literal["argmax", "soft"]


@dataclass(frozen=True)
class DetectionMAP:
    """Mean average precision in percent.

    Attributes:
        by_iou: IoU -> mAP.
        mean: Over the IoUs.
        per_class: IoU -> (K,) AP in percent; not a number where a class is not counted.
        silent: Columns of counted classes without any proposal. VadCLIP's own code returns 0 for
            the whole mAP if there is one; here each scores 0.
    """

    by_iou: dict[float, float]
    mean: float
    per_class: dict[float, Array]
    silent: tuple[int, ...]


@dataclass(frozen=True)
class Proposals:
    """Proposals of one class in all videos: (P,) each, half-open frames, by video and time."""

    video: Array
    start: Array
    end: Array
    score: Array


def class_scores(scores: Array, category_probs: Array, offsets: Array, kind: Kind) -> Array:
    """Scores of classes per snippet, (S, 1 + C), the normal class first.

    The paper does not define them. ``argmax``: s_t in the column of the most probable category, 0
    in the others; ``soft``: s_t p_c. The normal class has 1 - s_t.

    Args:
        scores: (S,) s_t.
        category_probs: (M, C) p_c.
        offsets: (M + 1,); video m has the snippets ``offsets[m]:offsets[m + 1]``.
        kind: ``argmax`` or ``soft``.
    """
    lengths = np.diff(offsets)
    if kind == "argmax":
        shares = np.zeros_like(category_probs, dtype=np.float64)
        shares[np.arange(len(shares)), category_probs.argmax(axis=1)] = 1.0
    else:
        shares = category_probs.astype(np.float64)
    per_snippet = np.repeat(shares, lengths, axis=0) * scores[:, None]
    return np.concatenate([1.0 - scores[:, None], per_snippet], axis=1)


def truth_of(test: TestSplit, *, normal: bool) -> list[list[Event]]:
    """The annotated events of every test video, with the column of their class.

    Annotations name the video's categories, not each event's: in a video of several (XD-Violence)
    every event counts for each of them.

    Args:
        test: The test set.
        normal: A normal video is one event of the normal class, as VadCLIP has it on XD-Violence.
    """
    found: list[list[Event]] = []
    for labels, events, snippets in zip(test.labels, test.events, test.lengths, strict=True):
        columns = [1 + int(c) for c in np.flatnonzero(labels)]
        if normal and not columns:
            found.append([(0, test.snippet_frames * int(snippets), NORMAL)])
        else:
            found.append([(start, end, c) for start, end in events for c in columns])
    return found


def map_vadclip(
    matrix: Array,
    offsets: Array,
    truth: Sequence[Sequence[Event]],
    *,
    frames: int = SNIPPET_FRAMES,
) -> DetectionMAP:
    """mAP@IoU as VadCLIP computes it.

    All K columns count, also one without an event: on UCF-Crime, where normal videos are no event,
    that is the normal class, and mAP is 13/14 of the mean over categories. One thing differs: where
    a class has no proposal its code returns 0 for the whole mAP, which the argmax of a video-level
    category easily brings about; here the class scores 0, and ``silent`` names it.

    Args:
        matrix: (S, K) of :func:`class_scores`.
        offsets: (M + 1,).
        truth: Events of each video, in frames as annotated.
        frames: Frames of a snippet.
    """
    return _mean_average_precision(matrix, offsets, truth, range(matrix.shape[1]), frames)


def map_clean(
    matrix: Array,
    offsets: Array,
    truth: Sequence[Sequence[Event]],
    *,
    frames: int = SNIPPET_FRAMES,
) -> DetectionMAP:
    """mAP@IoU over the categories that have an event; the normal class is none.

    Proposals are the same; events are clipped to their video.
    """
    lengths = frames * np.diff(offsets)
    clipped = [
        [(max(0, s), min(int(n), e), c) for s, e, c in events if c != NORMAL and s < n]
        for events, n in zip(truth, lengths, strict=True)
    ]
    with_event = sorted({c for events in clipped for _, _, c in events})
    return _mean_average_precision(matrix, offsets, clipped, with_event, frames)


def proposals(column: Array, offsets: Array, *, frames: int = SNIPPET_FRAMES) -> Proposals:
    """Runs of one class in every video.

    A run lies strictly above the relative threshold; its score is its highest value plus 0.7 times
    the mean of the highest 1/16 of the video's frames. Where that mean is not above 0 the video has
    no run. VadCLIP's least length of two frames and its NMS inside a video never apply here: a run
    has a whole snippet at least, and runs of one threshold are disjoint.

    Args:
        column: (S,) of one class.
        offsets: (M + 1,).
        frames: Frames of a snippet.
    """
    lengths = np.diff(offsets)
    starts = offsets[:-1]
    high, low = np.maximum.reduceat(column, starts), np.minimum.reduceat(column, starts)
    overall = _top_sixteenth(column, offsets, frames)
    threshold = np.where(overall > 0, high - RELATIVE_THRESHOLD * (high - low), np.inf)
    above = column > np.repeat(threshold, lengths)
    first = np.zeros(len(column), dtype=bool)
    first[starts] = True
    before = np.concatenate([[False], above[:-1]])
    begins = np.flatnonzero(above & (first | ~before))
    last = np.concatenate([first[1:], [True]])
    after = np.concatenate([above[1:], [False]])
    ends = np.flatnonzero(above & (last | ~after)) + 1
    if len(begins) == 0:
        empty = np.empty(0)
        return Proposals(empty.astype(int), empty.astype(int), empty.astype(int), empty)
    video = np.searchsorted(offsets, begins, side="right") - 1
    # Between runs lie values that no run's maximum may see: -inf there.
    peaks = np.maximum.reduceat(np.where(above, column, -np.inf), begins)
    base = starts[video]
    return Proposals(
        video,
        frames * (begins - base),
        frames * (ends - base),
        peaks + VIDEO_WEIGHT * overall[video],
    )


def _top_sixteenth(column: Array, offsets: Array, frames: int) -> Array:
    """(M,) mean of the highest sixteenth of a video's frames."""
    lengths = np.diff(offsets)
    video = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-column, video))
    rank = np.arange(len(column)) - offsets[:-1][video]
    wanted = lengths * (frames / 16)
    taken = np.clip(wanted[video] - frames * rank, 0, frames)
    sums: Array = np.add.reduceat(column[order] * taken, offsets[:-1])
    return sums / wanted


def _mean_average_precision(
    matrix: Array,
    offsets: Array,
    truth: Sequence[Sequence[Event]],
    columns: Sequence[int],
    frames: int,
) -> DetectionMAP:
    classes = matrix.shape[1]
    per_class = {iou: np.full(classes, np.nan) for iou in IOUS}
    silent = []
    for column in columns:
        found = proposals(np.asarray(matrix[:, column], dtype=np.float64), offsets, frames=frames)
        events = {
            video: [(start, end) for start, end, c in own if c == column]
            for video, own in enumerate(truth)
        }
        events = {video: own for video, own in events.items() if own}
        if len(found.video) == 0:
            silent.append(column)
        for iou, value in _average_precision(found, events).items():
            per_class[iou][column] = value
    by_iou = {iou: 100 * float(np.nanmean(per_class[iou][list(columns)])) for iou in IOUS}
    return DetectionMAP(
        by_iou,
        float(np.mean(list(by_iou.values()))),
        {iou: 100 * values for iou, values in per_class.items()},
        tuple(silent),
    )


def _average_precision(
    found: Proposals, events: dict[int, list[tuple[int, int]]]
) -> dict[float, float]:
    """AP of one class at every IoU: precision at each hit, summed, over the number of events."""
    count = sum(map(len, events.values()))
    # Ties: in the order of videos and time; a sum's last bit makes no difference of two scores.
    order = np.argsort(-np.round(found.score, 12), kind="stable")
    overlaps = [
        (rank, int(found.video[i]), _ious(int(found.start[i]), int(found.end[i]), own))
        for rank, i in enumerate(order)
        if (own := events.get(int(found.video[i])))
    ]
    result = {}
    for iou in IOUS:
        hit = np.zeros(len(order), dtype=bool)
        used: dict[int, set[int]] = {}
        for rank, video, ious in overlaps:
            free = [(value, -k) for k, value in enumerate(ious) if k not in used.get(video, set())]
            value, k = max(free, default=(0.0, 0))
            if free and value >= iou:
                hit[rank] = True
                used.setdefault(video, set()).add(-k)
        precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
        result[iou] = float(precision[hit].sum() / count) if count else 0.0
    return result


def _ious(start: int, end: int, events: Sequence[tuple[int, int]]) -> list[float]:
    """Intersection over union with each event, all half-open."""
    values = []
    for first, stop in events:
        shared = max(0, min(end, stop) - max(start, first))
        values.append(shared / (end - start + stop - first - shared))
    return values
