"""The packed store, which training and evaluation read instead of thousands of feature files.

A store is a folder of plain files, opened as memory maps, never unpickled, and free to be moved:

- ``header.json``: what is inside (:class:`Header`); ``videos.json``: names and events;
- ``train_features.npy`` (N, crops, segments, D) float16, ``train_labels.npy`` (N, C) bool;
- ``test_features.npy`` (snippets, crops, D) float16, ragged: video m has rows
  offsets[m] : offsets[m + 1] of ``test_offsets.npy`` (M + 1,) int64;
- ``test_segments.npy`` (M, crops, segments, D) float16, ``test_labels.npy`` (M, C) bool,
  ``test_truth.npy`` (snippets,) uint8: positive frames of each snippet;
- ``manifest.json``: size and time of every source file, to see when the store is out of date.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refinevad.config.section import MOST_SNIPPET_FRAMES, SNIPPET_FRAMES, Width
from refinevad.data.annotations import Event
from refinevad.errors import InputError

VERSION = 1
"""Version of the format; a store of another version is packed again."""

ARRAYS = (
    "train_features",
    "train_labels",
    "test_features",
    "test_segments",
    "test_offsets",
    "test_labels",
    "test_truth",
)


Stamp = tuple[tuple[str, int, int], ...]
"""Name, bytes and mtime in ns of every file that is read of a store."""


class DamagedStore(InputError):
    """A packed store is not what was packed: damaged, or changed under its reader."""


class ArrayFile(BaseModel):
    """The expected shape, type and size of one array of a store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: str
    size: int
    """Bytes of the file."""
    sha256: str
    """sha256 of the array's bytes, without the .npy header."""


class Header(BaseModel):
    """``header.json``: everything about a store that is not an array."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    name: str
    synthetic: str | None
    """Kind of the synthetic data, which outputs must state; None for real data."""
    categories: tuple[str, ...]
    widths: dict[str, Width]
    """Modality -> width, in the order of concatenation."""
    segments: Width
    snippet_frames: Annotated[int, Field(ge=1, le=MOST_SNIPPET_FRAMES)] = SNIPPET_FRAMES
    """Frames of a snippet, one row of a feature file."""
    counts: dict[str, int]
    """Videos (train, train_abnormal, test, test_abnormal), frames and events of the test set."""
    crops: dict[str, int]
    """Crops per split: {"train": 10, "test": 1}."""
    notes: tuple[str, ...]
    """Changes to the sources beyond packing them (trimmed snippets)."""
    fingerprint: str
    """sha256 of the content: equal for equal data, wherever and whenever it was packed."""
    arrays: dict[str, ArrayFile]
    data: dict[str, Any]
    """The data section it was packed from."""


def fingerprint(
    categories: tuple[str, ...],
    widths: dict[str, int],
    segments: int,
    videos: dict[str, Any],
    digests: dict[str, str],
    snippet_frames: int = SNIPPET_FRAMES,
) -> str:
    """sha256 over names, labels, events, shapes and array contents; no path, no time."""
    content = {
        "version": VERSION,
        "categories": categories,
        "widths": list(widths.items()),
        "segments": segments,
        "videos": videos,
        "digests": digests,
    }
    if snippet_frames != SNIPPET_FRAMES:  # earlier versions had no other
        content["snippet_frames"] = snippet_frames
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Split:
    """Training videos, pooled to segments."""

    names: list[str]
    labels: npt.NDArray[np.bool_]
    """(N, C); all False for a normal video."""
    features: npt.NDArray[np.float16]
    """(N, crops, segments, D), memory-mapped."""
    groups: tuple[str, ...] = ()
    """(N,) groups that a validation split keeps together; empty: none."""


@dataclass(frozen=True)
class TestSplit:
    """Test videos, snippet by snippet and pooled, with their ground truth."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    names: list[str]
    labels: npt.NDArray[np.bool_]
    """(M, C)"""
    offsets: npt.NDArray[np.int64]
    """(M + 1,): video m has the snippets offsets[m] : offsets[m + 1]."""
    features: npt.NDArray[np.float16]
    """(total_snippets, crops, D), memory-mapped."""
    segments: npt.NDArray[np.float16]
    """(M, crops, segments, D), memory-mapped."""
    truth: npt.NDArray[np.uint8]
    """(total_snippets,) positive frames per snippet, 0 to ``snippet_frames``."""
    events: list[list[Event]]
    """Annotated events of each video, in frames, as annotated (they may run past the end)."""
    snippet_frames: int = SNIPPET_FRAMES
    """Frames of a snippet."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(M,) snippets per video."""
        return np.diff(self.offsets)


class Store:
    """An open store. Opening reads the header and the sizes; arrays are mapped when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp = _stamp(path)
        """Sizes and times of the files when they were opened."""
        self.header = _read_header(path)
        _check_sizes(path, self.header)
        self._videos = _read_videos(path)
        _check_shapes(path, self.header, self._videos)

    @property
    def fingerprint(self) -> str:
        """sha256 of the packed content, names, labels and truth."""
        return self.header.fingerprint

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the label columns."""
        return self.header.categories

    @property
    def widths(self) -> dict[str, int]:
        """Modality -> width, in the order of concatenation; they sum to D."""
        return dict(self.header.widths)

    @property
    def synthetic(self) -> bool:
        """Whether the data are synthetic, which outputs must state."""
        return self.header.synthetic is not None

    @cached_property
    def category_embeddings(self) -> npt.NDArray[np.float32] | None:
        """(C + 1, ·) text embeddings of normal and the categories, rows of length 1; None: the
        data section names none."""
        rows = self._videos.get("category_embeddings")
        return np.array(rows, dtype=np.float32) if rows else None

    @cached_property
    def train(self) -> Split:
        """The training videos."""
        return Split(
            names=list(self._videos["train"]),
            labels=np.array(self._map("train_labels")),
            features=self._map("train_features"),
            groups=tuple(self._videos.get("groups", ())),
        )

    @cached_property
    def test(self) -> TestSplit:
        """The test videos."""
        offsets = np.array(self._map("test_offsets"))
        total = self.header.arrays["test_features"].shape[0]
        if offsets[0] != 0 or offsets[-1] != total or np.any(np.diff(offsets) < 1):
            raise DamagedStore(_damaged(self.path, "test_offsets.npy does not rise to its end"))
        return TestSplit(
            names=list(self._videos["test"]),
            labels=np.array(self._map("test_labels")),
            offsets=offsets,
            features=self._map("test_features"),
            segments=self._map("test_segments"),
            truth=np.array(self._map("test_truth")),
            events=[[(start, end) for start, end in events] for events in self._videos["events"]],
            snippet_frames=self.header.snippet_frames,
        )

    def verify(self) -> None:
        """Reads everything and compares it with the fingerprint.

        Raises:
            DamagedStore: An array's content, a name or the header was changed.
        """
        digests = {}
        for name, array in self.header.arrays.items():
            digests[name] = _digest(self._map(name))
            if digests[name] != array.sha256:
                raise DamagedStore(
                    _damaged(self.path, f"{name}.npy has changed since it was packed")
                )
        header = self.header
        found = fingerprint(
            header.categories,
            header.widths,
            header.segments,
            self._videos,
            digests,
            header.snippet_frames,
        )
        if found != header.fingerprint:
            raise DamagedStore(_damaged(self.path, "names or header do not match the fingerprint"))

    def check_unchanged(self) -> None:
        """Checks the files' sizes and times, which takes microseconds.

        Memory maps show changes of their files, and a process that reads beyond the end of a
        truncated file is killed. So call this before and after an array is used.

        Raises:
            DamagedStore: A file was written to, replaced or removed since the store was opened.
        """
        now = _stamp(self.path)
        if now != self.stamp:
            names = sorted({name for name, *_ in {*now} ^ {*self.stamp}})
            raise DamagedStore(
                f"the packed store {self.path} was changed while it was in use "
                f"({', '.join(names)}); delete the folder: the same command packs it again"
            )

    def _map(self, name: str) -> npt.NDArray[Any]:
        expected = self.header.arrays[name]
        try:
            array = npy.open_memmap(self.path / f"{name}.npy", mode="r")
        except Exception as error:  # a header is read by Python's parser, which raises anything
            raise DamagedStore(_damaged(self.path, f"{name}.npy: {error}")) from None
        if array.shape != expected.shape or array.dtype.str != expected.dtype:
            raise DamagedStore(
                _damaged(
                    self.path, f"{name}.npy is {array.shape} {array.dtype}, not {expected.shape}"
                )
            )
        mapped: npt.NDArray[Any] = array
        return mapped


def open_store(path: Path) -> Store:
    """Opens a packed store.

    Raises:
        InputError: There is none, or it is of another version.
        DamagedStore: It is damaged.
    """
    return Store(path)


def _stamp(path: Path) -> Stamp:
    stamp = []
    for name in ("header.json", "videos.json", *(f"{array}.npy" for array in ARRAYS)):
        try:
            stat = (path / name).stat()
        except OSError:
            stamp.append((name, -1, -1))
        else:
            stamp.append((name, stat.st_size, stat.st_mtime_ns))
    return tuple(stamp)


def _digest(array: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    flat = array.reshape(-1).view(np.uint8)
    for start in range(0, flat.size, 1 << 24):
        digest.update(flat[start : start + (1 << 24)].data)
    return digest.hexdigest()


def _damaged(path: Path, what: str) -> str:
    return f"the packed store {path} is damaged ({what}); delete the folder: it is packed again"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedStore(_damaged(path.parent, f"{path.name}: {error}")) from None
    return content


def _read_header(path: Path) -> Header:
    if not (path / "header.json").is_file():
        raise InputError(
            f"there is no packed store in {path}; pack one with `python -m refinevad.prepare`"
        )
    content = _read_json(path / "header.json")
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise InputError(
            f"the packed store {path} has format {version}, this version reads {VERSION}; "
            f"delete the folder: it is packed again"
        )
    try:
        return Header.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DamagedStore(_damaged(path, f"header.json, {where}: {first['msg']}")) from None


class _Videos(BaseModel):
    model_config = ConfigDict(extra="forbid")

    train: list[str]
    test: list[str]
    events: list[list[Event]]
    groups: list[str] = []
    category_embeddings: list[list[float]] = []


def _read_videos(path: Path) -> dict[str, Any]:
    content = _read_json(path / "videos.json")
    try:
        _Videos.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DamagedStore(_damaged(path, f"videos.json, {where}: {first['msg']}")) from None
    return content


def _check_shapes(path: Path, header: Header, videos: dict[str, Any]) -> None:
    """Checks that the header is consistent; a store from elsewhere may claim anything."""
    train, test, classes = len(videos["train"]), len(videos["test"]), len(header.categories)
    pooled = header.segments, sum(header.widths.values())
    total = header.arrays["test_truth"].shape[0]
    crops = header.crops
    expected = {
        "train_features": (train, crops.get("train"), *pooled),
        "train_labels": (train, classes),
        "test_features": (total, crops.get("test"), pooled[1]),
        "test_segments": (test, crops.get("test"), *pooled),
        "test_offsets": (test + 1,),
        "test_labels": (test, classes),
        "test_truth": (total,),
    }
    for name, shape in expected.items():
        if header.arrays[name].shape != shape:
            found = header.arrays[name].shape
            raise DamagedStore(_damaged(path, f"{name} is said to be {found}, not {shape}"))
    if len(videos["events"]) != test:
        raise DamagedStore(_damaged(path, "videos.json does not have each test video's events"))
    if videos.get("groups") and len(videos["groups"]) != train:
        raise DamagedStore(_damaged(path, "videos.json does not have each training video's group"))
    rows = videos.get("category_embeddings")
    if rows and (len(rows) != classes + 1 or len({len(row) for row in rows}) != 1):
        raise DamagedStore(_damaged(path, "videos.json does not have each category's embedding"))


def _check_sizes(path: Path, header: Header) -> None:
    for name in ARRAYS:
        expected = header.arrays.get(name)
        file = path / f"{name}.npy"
        if expected is None:
            raise DamagedStore(_damaged(path, f"header.json does not know {name}"))
        size = file.stat().st_size if file.is_file() else -1
        if size != expected.size:
            found = "is missing" if size < 0 else f"has {size} bytes, not {expected.size}"
            raise DamagedStore(_damaged(path, f"{file.name} {found}"))
