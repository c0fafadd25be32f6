"""mAP@IoU: each habit of VadCLIP's evaluation by hand, and a slow oracle that works on frames."""

from __future__ import annotations

import numpy as np
import pytest

from refinevad.evaluation.localisation import (
    IOUS,
    Array,
    DetectionMAP,
    Event,
    class_scores,
    map_clean,
    map_vadclip,
    proposals,
)


def one_video(*columns: list[float]) -> tuple[Array, Array]:
    matrix = np.array(columns, dtype=float).T
    return matrix, np.array([0, len(matrix)])


def test_snippets_of_half_the_frames_give_the_same_as_each_row_twice() -> None:
    rng = np.random.default_rng(5)
    matrix, offsets = rng.random((40, 3)), np.array([0, 7, 20, 40])
    truth = [[(16, 52, 1)], [], [(0, 100, 2), (200, 300, 1)]]
    for measure in (map_vadclip, map_clean):
        whole = measure(matrix, offsets, truth)
        halves = measure(np.repeat(matrix, 2, axis=0), 2 * offsets, truth, frames=8)
        assert halves.by_iou == pytest.approx(whole.by_iou)


def test_a_run_lies_strictly_above_the_relative_threshold() -> None:
    """Highest 1, lowest 0: the threshold is 0.4, and 0.4 itself is below."""
    column, offsets = np.array([0.0, 0.5, 1.0, 0.4, 0.41, 0.0]), np.array([0, 6])
    found = proposals(column, offsets)
    assert found.start.tolist() == [16, 64]
    assert found.end.tolist() == [48, 80]
    # The top int(96 / 16) = 6 of 96 frames all lie in the highest snippet: 1 + 0.7 * 1.
    assert found.score == pytest.approx([1.7, 0.41 + 0.7])


def test_the_score_of_the_whole_video_is_the_mean_of_its_highest_sixteenth() -> None:
    """Of 32 snippets, 512 frames, the highest 32: two snippets. Of 24, the highest 24 frames."""
    column = np.linspace(0, 1, 32)
    found = proposals(column, np.array([0, 32]))
    assert found.score[0] == pytest.approx(1 + 0.7 * (column[-1] + column[-2]) / 2)
    found = proposals(column[:24], np.array([0, 24]))
    expected = (16 * column[23] + 8 * column[22]) / 24
    assert found.score[0] == pytest.approx(column[23] + 0.7 * expected)


def test_a_class_that_scores_nothing_has_no_run_and_a_constant_one_neither() -> None:
    assert len(proposals(np.zeros(5), np.array([0, 5])).video) == 0
    assert len(proposals(np.full(5, 0.3), np.array([0, 5])).video) == 0
    assert len(proposals(np.array([-2.0, -1.0]), np.array([0, 2])).video) == 0


def test_runs_do_not_reach_over_the_end_of_a_video() -> None:
    found = proposals(np.array([0.0, 1.0, 1.0, 0.0]), np.array([0, 2, 4]))
    assert found.video.tolist() == [0, 1]
    assert found.start.tolist() == [16, 0]
    assert found.end.tolist() == [32, 16]


def test_precision_by_hand() -> None:
    """Three runs of scores 1.7, 1.5, 1.3; the first and the last are events.

    AP = (1/1 + 2/3) / 2 = 5/6 for the one class with events; the normal class has none and counts
    as 0, so that mAP is half of it.
    """
    column = [0.0, 1.0, 0.0, 0.8, 0.0, 0.6, 0.0]
    matrix, offsets = one_video([0.0] * 7, column)
    truth = [[(16, 32, 1), (80, 96, 1)]]
    found = map_vadclip(matrix, offsets, truth)
    assert found.by_iou == dict.fromkeys(IOUS, pytest.approx(100 * 5 / 6 / 2))
    assert found.silent == (0,)
    assert map_clean(matrix, offsets, truth).mean == pytest.approx(100 * 5 / 6)


def test_overlap_is_over_the_union_of_frames() -> None:
    """Run [16, 32), event [16, 52): 16 of 36 frames, .444: a hit up to IoU 0.4."""
    matrix, offsets = one_video([0.0] * 4, [0.0, 1.0, 0.0, 0.0])
    found = map_clean(matrix, offsets, [[(16, 52, 1)]])
    assert found.by_iou == {0.1: 100, 0.2: 100, 0.3: 100, 0.4: 100, 0.5: 0}


def test_an_event_is_found_once_and_the_best_one_first() -> None:
    """Two runs inside one long event: the higher is a hit, the other a false alarm."""
    matrix, offsets = one_video([0.0] * 5, [0.0, 1.0, 0.0, 0.9, 0.0])
    found = map_clean(matrix, offsets, [[(16, 64, 1)]])
    assert found.by_iou[0.1] == 100  # the false alarm ranks behind the only event
    matrix, offsets = one_video([0.0] * 5, [0.0, 0.9, 0.0, 1.0, 0.0])
    found = map_clean(matrix, offsets, [[(16, 32, 1), (0, 80, 1)]])
    # The higher run overlaps the long event only (.2); the other has both left or the short one.
    assert found.by_iou[0.1] == 100
    assert found.by_iou[0.5] == pytest.approx(100 * (1 / 2) / 2)


def test_normal_videos_are_an_event_where_the_truth_says_so() -> None:
    """XD-Violence: the normal class enters the mean with one event per normal video."""
    column = np.array([0.2, 0.9, 0.9, 0.9])
    matrix = np.stack([column, np.zeros(4)], axis=1)
    offsets = np.array([0, 4])
    found = map_vadclip(matrix, offsets, [[(0, 64, 0)]])
    assert found.per_class[0.5][0] == 100  # [16, 64) of [0, 64): .75
    assert found.per_class[0.5][1] == 0
    assert found.by_iou[0.5] == 50


def test_a_relative_threshold_finds_alarms_in_normal_videos() -> None:
    """However low a normal video's scores are, it has a run, which ranks by its height."""
    matrix = np.array([[0, 0.0], [0, 0.5], [0, 0.0], [0, 0.6]])
    truth: list[list[Event]] = [[(16, 32, 1)], []]
    assert map_clean(matrix, np.array([0, 2, 4]), truth).by_iou[0.5] == 50
    matrix[3, 1] = 0.4
    assert map_clean(matrix, np.array([0, 2, 4]), truth).by_iou[0.5] == 100


def test_a_class_without_a_run_scores_zero_and_is_named() -> None:
    """VadCLIP's code would return 0 for everything."""
    matrix, offsets = one_video([0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0] * 3)
    found = map_vadclip(matrix, offsets, [[(16, 32, 0), (16, 32, 1), (16, 32, 2)]])
    assert found.silent == (2,)
    assert found.mean == pytest.approx(100 * 2 / 3)


def test_perfect_scores_of_thirteen_categories_give_13_14() -> None:
    events = [[(32, 64, c)] for c in range(1, 14)]
    offsets = np.arange(0, 14) * 8
    probs = np.eye(13)
    scores = np.tile([0.0, 0, 1, 1, 0, 0, 0, 0], 13)
    for kind in ("argmax", "soft"):
        matrix = class_scores(scores, probs, offsets, kind)  # type: ignore[arg-type]
        assert matrix[:, 1:].max(axis=1) == pytest.approx(scores)
        assert map_clean(matrix, offsets, events).mean == 100
        assert map_vadclip(matrix, offsets, events).mean == pytest.approx(100 * 13 / 14)


def test_the_two_ways_to_score_classes() -> None:
    probs = np.array([[0.2, 0.7]])
    offsets = np.array([0, 2])
    argmax = class_scores(np.array([0.5, 1.0]), probs, offsets, "argmax")
    assert argmax.tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]
    soft = class_scores(np.array([0.5, 1.0]), probs, offsets, "soft")
    assert soft == pytest.approx(np.array([[0.5, 0.1, 0.35], [0.0, 0.2, 0.7]]))


def test_events_are_clipped_to_their_video_in_the_clean_form_only() -> None:
    """Run [16, 32) of a video of 32 frames; the event was annotated until frame 64."""
    matrix, offsets = one_video([0.0, 0.0], [0.0, 1.0])
    truth = [[(16, 64, 1)]]
    assert map_clean(matrix, offsets, truth).by_iou[0.5] == 100
    assert map_vadclip(matrix, offsets, truth).by_iou[0.5] == 0
    assert map_vadclip(matrix, offsets, truth).by_iou[0.3] == 50


@pytest.mark.parametrize("seed", range(6))
def test_against_a_slow_oracle_on_frames(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, 12)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    matrix = np.round(rng.random((offsets[-1], 4)), 1 if seed % 2 else 6)  # with and without ties
    matrix[:, 3] *= rng.random(offsets[-1]) > 0.7
    truth: list[list[Event]] = []
    for n in lengths:
        own = []
        for _ in range(rng.integers(0, 4)):
            start = int(rng.integers(0, 16 * n))
            own.append((start, start + int(rng.integers(1, 200)), int(rng.integers(0, 4))))
        truth.append(own)
    expected = slow_map(np.repeat(matrix, 16, axis=0), 16 * offsets, truth)
    found = map_vadclip(matrix, offsets, truth)
    assert found.by_iou == pytest.approx(expected)


def slow_map(frames: Array, offsets: Array, truth: list[list[Event]]) -> dict[float, float]:
    """Frame by frame, with sets, NMS and the least length, as A5 of the design tells it."""
    result = {}
    for iou in IOUS:
        values = []
        for c in range(frames.shape[1]):
            predicted = []
            for video in range(len(offsets) - 1):
                column = frames[offsets[video] : offsets[video + 1], c]
                count = int(len(column) / 16)
                overall = np.sort(column)[::-1][:count].mean()
                if overall <= 0:
                    column = np.zeros_like(column)
                threshold = column.max() - 0.6 * (column.max() - column.min())
                above = [*(column > threshold), False]
                own, begin = [], None
                for t, high in enumerate(above):
                    if high and begin is None:
                        begin = t
                    elif not high and begin is not None:
                        if t - begin >= 2:
                            own.append((column[begin:t].max() + 0.7 * overall, begin, t))
                        begin = None
                kept: list[tuple[float, int, int]] = []
                for run in sorted(own, key=lambda run: -run[0]):
                    if all(overlap(run[1:], other[1:]) <= 0.6 for other in kept):
                        kept.append(run)
                predicted += [(score, video, s, e) for score, s, e in kept]
            predicted.sort(key=lambda p: (-round(p[0], 12), p[1], p[2]))
            left = [(v, s, e) for v, own in enumerate(truth) for s, e, k in own if k == c]
            total, hits, precision = len(left), 0, 0.0
            for rank, (_, video, start, end) in enumerate(predicted, 1):
                same = [
                    (overlap((start, end), g[1:]), -i) for i, g in enumerate(left) if g[0] == video
                ]
                best, i = max(same, default=(0.0, 0))
                if same and best >= iou:
                    left.pop(-i)
                    hits += 1
                    precision += hits / rank
            values.append(precision / total if total else 0.0)
        result[iou] = 100 * float(np.mean(values))
    return result


def overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    a, b = set(range(*one)), set(range(*other))
    return len(a & b) / len(a | b)


def test_nothing_is_random() -> None:
    rng = np.random.default_rng(3)
    matrix, offsets = rng.random((50, 3)), np.array([0, 20, 50])
    truth: list[list[Event]] = [[(0, 100, 1)], [(30, 60, 2)]]
    results: list[DetectionMAP] = [map_vadclip(matrix, offsets, truth) for _ in range(2)]
    assert results[0].by_iou == results[1].by_iou
