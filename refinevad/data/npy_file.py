"""One ``.npy`` file of features: checked before it is believed, never unpickled.

A file is first *inspected* (its header and its size, no data), so that every shape of a data set
is known before the first row is read; then rows are read in blocks, and checked as they come.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

CROP_COUNTS = (1, 5, 10)
"""Sizes that make an axis of a 3-D array the crop axis, whatever the other arrays are like."""

FLOAT16_MAX = float(np.finfo(np.float16).max)

MISSING = "the list names files that do not exist; add them, or correct the list"
UNREADABLE = "files cannot be read; check their permissions"
NOT_NPY = "not .npy files; features must be arrays written by np.save"
TRUNCATED = "truncated files (shorter than their header says); copy or extract them again"
PICKLED = "pickled files: not read, because a pickle can run code; save plain arrays of numbers"
BAD_HEADER = "files whose .npy header is invalid; write them again with np.save"
NOT_NUMBERS = "files whose values are not real numbers; save float16 or float32 arrays"
WRONG_NDIM = (
    "files of a wrong shape; features are (n, width), or with a crop axis (n, crops, width)"
)
EMPTY = "files without a row or a column; extract them again"
NO_CROP_AXIS = (
    "3-D files in which it cannot be told which of the first two axes is that of the crops; save "
    "them as (n, width), one file per crop"
)
AMBIGUOUS = (
    "3-D files whose crop axis is ambiguous, also by the other files of the split; "
    "save them as (n, width), one file per crop"
)
NOT_FINITE = "files with NaN or Inf; extract them again"
OVERFLOW = "files with values beyond float16 (65504), in which features are packed; scale them down"


class BadFile(Exception):
    """A file that cannot be used: ``problem`` is one of the sentences above."""

    def __init__(self, problem: str, offender: str) -> None:
        super().__init__(offender)
        self.problem = problem
        self.offender = offender


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A feature file whose header has been read.

    ``crop_axis`` is None for (n, width); 0 or 1 for a 3-D array.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    fortran: bool
    crop_axis: int | None = None

    @property
    def rows(self) -> int:
        """n, snippets."""
        return self.shape[1 if self.crop_axis == 0 else 0]

    @property
    def crops(self) -> int:
        """Crops in this one file."""
        return 1 if self.crop_axis is None else self.shape[self.crop_axis]

    @property
    def width(self) -> int:
        """Values per row."""
        return self.shape[-1]

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows [start, stop) as (rows, crops, width), in the file's own type.

        Raises:
            BadFile: The file changed, or a value is NaN, Inf or beyond float16.
        """
        if self.fortran:
            whole = np.load(self.path, allow_pickle=False)
            values = self._with_crops(whole)[start:stop]
        elif self.crop_axis == 0:
            crops = [self._span(k * self.rows + start, stop - start) for k in range(self.crops)]
            values = np.stack(crops, axis=1)
        else:
            values = self._span(start * self.crops, (stop - start) * self.crops)
            values = values.reshape(stop - start, self.crops, self.width)
        # One pass for all three: NaN and Inf fail the comparison, and so does a float16 overflow.
        largest = np.abs(values).max() if values.size else 0.0
        if not largest <= FLOAT16_MAX:
            raise BadFile(NOT_FINITE if not np.isfinite(largest) else OVERFLOW, str(self.path))
        return values

    def _span(self, first: int, count: int) -> npt.NDArray[Any]:
        """``count`` consecutive vectors of ``width`` values, as they lie in the file."""
        size = count * self.width
        offset = self.offset + first * self.width * self.dtype.itemsize
        flat = np.fromfile(self.path, dtype=self.dtype, count=size, offset=offset)
        if flat.size < size:
            raise BadFile(TRUNCATED, str(self.path))
        return flat.reshape(count, self.width)

    def _with_crops(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array[:, None] if self.crop_axis is None else np.moveaxis(array, self.crop_axis, 1)


def inspect(path: Path) -> FeatureFile:
    """Reads a file's header and checks it against the file's size.

    Raises:
        BadFile: Missing, unreadable, not .npy, truncated, damaged, pickled, not numbers, wrong
            ndim, empty.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            try:
                version = npy.read_magic(stream)
            except ValueError:
                stream.seek(0)
                start = stream.read(2)
                pickled = start[:1] == b"\x80"  # a pickle's first byte
                problem = PICKLED if pickled else TRUNCATED if size < 10 else NOT_NPY
                raise BadFile(problem, str(path)) from None
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            try:
                shape, fortran, dtype = read(stream)
            except ValueError:
                raise BadFile(TRUNCATED, str(path)) from None
            except OSError:
                raise
            except Exception:  # NumPy reads it with Python's own parser, which may raise anything
                raise BadFile(BAD_HEADER, str(path)) from None
            offset = stream.tell()
    except FileNotFoundError:
        raise BadFile(MISSING, str(path)) from None
    except OSError as error:
        raise BadFile(UNREADABLE, f"{path}: {error.strerror}") from None
    if dtype.hasobject:
        raise BadFile(PICKLED, str(path))
    if dtype.kind not in "fiu":
        raise BadFile(NOT_NUMBERS, f"{path}: {dtype}")
    if len(shape) not in (2, 3):
        raise BadFile(WRONG_NDIM, f"{path}: {shape}")
    if any(type(n) is not int or n < 0 for n in shape):
        raise BadFile(BAD_HEADER, f"{path}: {shape}")
    if 0 in shape:
        raise BadFile(EMPTY, f"{path}: {shape}")
    if size < offset + dtype.itemsize * math.prod(shape):  # of NumPy's the product could overflow
        raise BadFile(TRUNCATED, str(path))
    return FeatureFile(path, tuple(shape), dtype, offset, fortran)


def crop_axes(shapes: Sequence[tuple[int, ...]]) -> list[int | str | None]:
    """Finds the crop axis of every array of a split.

    2-D arrays have none (None). In a 3-D array it is the axis of size 1, 5 or 10 among the first
    two. A video of 5 or 10 snippets has two such axes; what the split's other arrays agree on
    decides. Another number of crops is told by being the same in all arrays of the split, while
    the number of snippets is not.

    Returns:
        Per shape: None, 0, 1, or the problem (``NO_CROP_AXIS``, ``AMBIGUOUS``).
    """
    candidates = [
        [(axis, shape[axis]) for axis in (0, 1) if shape[axis] in CROP_COUNTS]
        if len(shape) == 3
        else []
        for shape in shapes
    ]
    clear = Counter(found[0] for found in candidates if len(found) == 1)
    sizes = [{shape[axis] for shape in shapes if len(shape) == 3} for axis in (0, 1)]
    constant = [axis for axis in (0, 1) if len(sizes[axis]) == 1]
    axes: list[int | str | None] = []
    for shape, found in zip(shapes, candidates, strict=True):
        agreeing = [pair for pair in found if pair in clear] if len(found) == 2 else found
        if len(shape) == 2:
            axes.append(None)
        elif not found:
            axes.append(constant[0] if len(constant) == 1 else NO_CROP_AXIS)
        elif len(agreeing) == 1:
            axes.append(agreeing[0][0])
        else:
            axes.append(AMBIGUOUS)
    return axes
