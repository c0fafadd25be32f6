from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinevad.data import npy_file
from refinevad.data.npy_file import BadFile, crop_axes, inspect


def saved(folder: Path, array: Any, **options: Any) -> Path:
    path = folder / "video.npy"
    np.save(path, array, **options)
    return path


def problem_of(path: Path) -> str:
    def read_all() -> None:
        file = inspect(path)
        file.read(0, file.rows)

    with pytest.raises(BadFile) as caught:
        read_all()
    assert str(path) in caught.value.offender
    return caught.value.problem


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros(7, np.float32), npy_file.WRONG_NDIM),
        (np.zeros((2, 2, 2, 2), np.float32), npy_file.WRONG_NDIM),
        (np.zeros((0, 4), np.float32), npy_file.EMPTY),
        (np.zeros((3, 4), np.complex64), npy_file.NOT_NUMBERS),
        (np.array([["a", "b"]]), npy_file.NOT_NUMBERS),
        (np.array([[1.0, np.nan]]), npy_file.NOT_FINITE),
        (np.array([[1.0, -np.inf]], np.float16), npy_file.NOT_FINITE),
        (np.array([[1.0, 70000.0]], np.float32), npy_file.OVERFLOW),
        (np.array([[1.0, -70000.0]], np.float32), npy_file.OVERFLOW),
    ],
)
def test_each_kind_of_bad_array_has_its_own_message(
    tmp_path: Path, array: Any, problem: str
) -> None:
    assert problem_of(saved(tmp_path, array)) == problem


def test_object_arrays_and_pickles_are_never_loaded(tmp_path: Path) -> None:
    array = np.array([{"a": 1}], dtype=object)
    assert problem_of(saved(tmp_path, array, allow_pickle=True)) == npy_file.PICKLED
    path = tmp_path / "video.npy"
    path.write_bytes(pickle.dumps(np.zeros((2, 2))))
    assert problem_of(path) == npy_file.PICKLED


def test_a_file_cut_anywhere_is_called_truncated(tmp_path: Path) -> None:
    path = saved(tmp_path, np.ones((3, 4), np.float32))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert problem_of(path) == npy_file.TRUNCATED, size


def test_other_files_and_missing_ones_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "video.npy"
    assert problem_of(path) == npy_file.MISSING
    path.write_bytes(b"PK\x03\x04 this is a zip archive")
    assert problem_of(path) == npy_file.NOT_NPY


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_blocks_are_the_rows_of_the_array(tmp_path: Path, axis: int | None, order: Any) -> None:
    rows = np.random.default_rng(0).standard_normal((12, 5, 3)).astype(np.float16)
    array = rows[:, 0] if axis is None else np.moveaxis(rows, 1, axis)
    path = saved(tmp_path, np.asarray(array, order=order))
    file = replace(inspect(path), crop_axis=axis)
    expected = rows[:, :1] if axis is None else rows
    assert (file.rows, file.crops, file.width) == (12, expected.shape[1], 3)
    np.testing.assert_array_equal(file.read(0, 12), expected)
    np.testing.assert_array_equal(file.read(4, 7), expected[4:7])


def test_the_crop_axis_is_the_one_of_size_5_or_10() -> None:
    assert crop_axes([(32, 512), (99, 10, 512), (10, 99, 512), (5, 99, 512)]) == [None, 1, 0, 0]
    assert crop_axes([(99, 7, 512)]) == [npy_file.NO_CROP_AXIS]


def test_the_other_files_settle_a_video_of_ten_snippets() -> None:
    assert crop_axes([(10, 10, 8), (99, 10, 8)])[0] == 1
    assert crop_axes([(10, 10, 8), (10, 99, 8)])[0] == 0
    assert crop_axes([(5, 10, 8), (99, 10, 8)])[0] == 1
    assert crop_axes([(5, 10, 8), (5, 99, 8)])[0] == 0


def test_a_crop_axis_that_nothing_settles_is_asked_for() -> None:
    assert crop_axes([(10, 10, 8)]) == [npy_file.AMBIGUOUS]
