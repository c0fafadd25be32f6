from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
import torch

from refinevad.data import BalancedBatches, validation_split
from refinevad.data.batches import MixedBatches, steps_of_an_epoch
from refinevad.errors import InputError


def labels_of(abnormal: int, normal: int, categories: int = 1) -> npt.NDArray[np.bool_]:
    """Abnormal videos first, their categories in turn."""
    table = np.zeros((abnormal + normal, categories), dtype=np.bool_)
    table[np.arange(abnormal), np.arange(abnormal) % categories] = True
    return table


def batches(labels: npt.NDArray[np.bool_], size: int, seed: int = 0) -> BalancedBatches:
    return BalancedBatches(labels, size, torch.Generator().manual_seed(seed), crops=10)


def test_the_first_half_is_normal_and_the_second_abnormal() -> None:
    labels = labels_of(30, 50)
    for videos, crops in batches(labels, 8).epoch():
        assert not labels[videos[:4]].any()
        assert labels[videos[4:]].any(axis=1).all()
        assert videos.shape == crops.shape == (8,)
        assert ((crops >= 0) & (crops < 10)).all()


def test_an_epoch_sees_the_smaller_class_once() -> None:
    assert batches(labels_of(810, 800), 64).steps_per_epoch == 25
    assert batches(labels_of(1905, 2049), 64).steps_per_epoch == 59
    assert batches(labels_of(3, 50), 64).steps_per_epoch == 1
    assert len(list(batches(labels_of(810, 800), 64).epoch())) == 25


def test_no_video_comes_again_before_its_class_is_exhausted() -> None:
    stream = batches(labels_of(10, 27), 8)
    seen = [int(v) for _ in range(12) for videos, _ in stream.epoch() for v in videos]
    for kind, size in ((range(10), 10), (range(10, 37), 27)):
        order = [v for v in seen if v in kind]
        assert len(order) > 2 * size
        passes = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        assert all(len(set(one)) == size for one in passes)
        assert passes[0] != passes[1]


def test_a_class_smaller_than_half_a_batch_repeats_evenly() -> None:
    (videos, _), *_ = batches(labels_of(3, 50), 16).epoch()
    counts = Counter(videos[8:].tolist())
    assert set(counts) == {0, 1, 2}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_seed_decides_everything() -> None:
    labels = labels_of(20, 20)

    def drawn(seed: int) -> list[list[int]]:
        stream = batches(labels, 8, seed)
        return [torch.cat(pair).tolist() for _ in range(2) for pair in stream.epoch()]

    torch.manual_seed(1)
    first = drawn(3)
    torch.manual_seed(2)
    assert drawn(3) == first
    assert drawn(4) != first


def test_crops_are_all_used() -> None:
    crops = torch.cat([c for _, c in batches(labels_of(100, 100), 20).epoch()])
    assert set(crops.tolist()) == set(range(10))


@pytest.mark.parametrize(("abnormal", "normal"), [(0, 5), (5, 0)])
def test_a_missing_class_is_refused(abnormal: int, normal: int) -> None:
    with pytest.raises(InputError, match=r"no (ab)?normal video"):
        batches(labels_of(abnormal, normal), 4)


def test_the_split_is_stratified_and_complete() -> None:
    labels = labels_of(810, 800, 13)
    train, held = validation_split(labels, 0.15, seed=7)
    assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(1610))
    assert labels[held].any(axis=1).sum() == round(0.15 * 810)
    assert (~labels[held].any(axis=1)).sum() == 120
    expected = 0.15 * labels.sum(axis=0)
    assert (np.abs(labels[held].sum(axis=0) - expected) <= 1).all()


def test_the_split_depends_on_its_seed_alone() -> None:
    labels = labels_of(40, 40, 5)
    first = validation_split(labels, 0.2, seed=1)[1]
    np.random.default_rng(0).random(9)
    assert np.array_equal(validation_split(labels, 0.2, seed=1)[1], first)
    assert not np.array_equal(validation_split(labels, 0.2, seed=2)[1], first)


@pytest.mark.parametrize("seed", range(20))
def test_every_category_keeps_a_training_video(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 6), dtype=np.bool_)
    labels[np.arange(30), rng.integers(0, 6, 30)] = True
    labels[:8, rng.integers(0, 6, 8)] = True  # several labels
    labels[30] = [True, False, False, False, False, True]
    train, held = validation_split(labels, 0.45, seed)
    assert labels[train].any(axis=0).tolist() == labels.any(axis=0).tolist()
    assert labels[held].any(axis=1).any()
    assert not labels[held].any(axis=1).all()


def test_the_only_video_of_a_category_stays_in_training() -> None:
    labels = labels_of(12, 12, 2)
    labels[0] = False
    labels = np.column_stack([labels, np.arange(24) == 0])
    for seed in range(10):
        assert 0 in validation_split(labels, 0.4, seed)[0]


def test_too_few_videos_to_split_are_refused() -> None:
    with pytest.raises(InputError, match="1 abnormal training videos"):
        validation_split(labels_of(1, 10), 0.15, 0)


def test_mixed_batches_are_permutations_of_all_videos() -> None:
    labels = labels_of(10, 17)
    mixed = MixedBatches(labels, 4, torch.Generator().manual_seed(1), crops=10)
    assert mixed.steps_per_epoch == steps_of_an_epoch(labels, 4, "mixed") == 27 // 4
    drawn = list(mixed.epoch())
    assert len(drawn) == 6
    seen = [int(v) for videos, _ in drawn for v in videos]
    seen += [int(v) for videos, _ in mixed.epoch() for v in videos]
    assert sorted(seen[:27]) == list(range(27))
    assert all(crops.shape == (4,) and crops.max() < 10 for _, crops in drawn)
    again = MixedBatches(labels, 4, torch.Generator().manual_seed(1), crops=10)
    assert [v.tolist() for v, _ in again.epoch()] == [v.tolist() for v, _ in drawn]
    few = MixedBatches(labels_of(1, 1), 8, torch.Generator(), crops=1)
    assert few.steps_per_epoch == 1
    assert sorted(next(few.epoch())[0].tolist()) == [0] * 4 + [1] * 4
