"""Sources to a packed store: read once, in blocks, written beside and renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from refinevad.data.annotations import truth
from refinevad.data.npy_file import BadFile
from refinevad.data.problems import Problems
from refinevad.data.segments import borders, pool_rows
from refinevad.data.sources import ResolvedData, Video
from refinevad.data.store import ARRAYS, VERSION, ArrayFile, Header, fingerprint
from refinevad.files import write_durably

BLOCK_BYTES = 32 << 20
"""Feature values held at once, as float32: the longest video's ten crops alone are 550 MB."""

T = TypeVar("T")


class ArrayWriter:
    """Writes one .npy file front to back, and hashes what it writes.

    A memory map would do, but its dirty pages count as this process's memory.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._path = path
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._left = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        self._digest = hashlib.sha256()
        self._stream = path.open("wb")
        npy.write_array_header_1_0(
            self._stream, {"shape": shape, "fortran_order": False, "descr": self._dtype.str}
        )

    def append(self, values: npt.NDArray[Any]) -> None:
        """Adds the next values; their type must be the file's already or cast safely."""
        data = np.ascontiguousarray(values, dtype=self._dtype)
        self._left -= data.nbytes
        self._digest.update(data.data)
        self._stream.write(data.data)

    def close(self) -> ArrayFile:
        """Makes the file durable and says what is in it."""
        assert self._left == 0, f"{self._path.name}: {self._left} bytes short"
        size = self._stream.tell()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        return ArrayFile(
            shape=self._shape, dtype=self._dtype.str, size=size, sha256=self._digest.hexdigest()
        )

    def abandon(self) -> None:
        """Closes an unfinished file."""
        self._stream.close()


def pack(
    sources: ResolvedData,
    folder: Path,
    *,
    segments: int,
    frames: int,
    name: str,
    synthetic: str | None,
    data: dict[str, Any],
    problems: Problems,
    progress: bool,
) -> None:
    """Writes a store into ``folder``, which must be empty; the caller renames it.

    Values are read, checked and written block by block. When something is wrong already
    (``problems``), the rest is still read, so that one message names every bad file.

    Raises:
        InputError: Anything is wrong with the sources: all of it.
    """
    train, test = sources.train, sources.test
    total = sum(video.rows for video in test)
    width = sum(sources.widths.values())
    crops = {"train": _crops(train), "test": _crops(test)}
    offsets = np.cumsum([0, *(video.rows for video in test)], dtype=np.int64)
    pooled = segments, width
    writers = {
        array: ArrayWriter(folder / f"{array}.npy", shape, dtype)
        for array, shape, dtype in (
            ("train_features", (len(train), crops["train"], *pooled), np.float16),
            ("test_features", (total, crops["test"], width), np.float16),
            ("test_segments", (len(test), crops["test"], *pooled), np.float16),
            ("train_labels", (len(train), len(sources.taxonomy.categories)), np.bool_),
            ("test_labels", (len(test), len(sources.taxonomy.categories)), np.bool_),
            ("test_offsets", (len(test) + 1,), np.int64),
            ("test_truth", (total,), np.uint8),
        )
    }
    try:
        work = [(video, False) for video in train] + [(video, True) for video in test]
        for video, is_test in track(work, f"packing {name}", progress):
            try:
                if problems:
                    _check(video)
                elif is_test:
                    features = _pooled(video, crops["test"], segments, writers["test_features"])
                    writers["test_segments"].append(features)
                else:
                    features = _pooled(video, crops["train"], segments, None)
                    writers["train_features"].append(features)
            except BadFile as bad:
                problems.add(bad.problem, bad.offender)
        problems.raise_any()
        writers["train_labels"].append(sources.labels(train))
        writers["test_labels"].append(sources.labels(test))
        writers["test_offsets"].append(offsets)
        for video in test:
            writers["test_truth"].append(truth(list(video.events), video.rows, frames))
        arrays = {array: writers[array].close() for array in ARRAYS}
    finally:
        for writer in writers.values():
            writer.abandon()
    videos = {
        "train": [video.name for video in train],
        "test": [video.name for video in test],
        "events": [[list(event) for event in video.events] for video in test],
    }
    if sources.groups:
        videos["groups"] = sources.groups
    if sources.category_embeddings is not None:
        videos["category_embeddings"] = sources.category_embeddings.tolist()
    categories = sources.taxonomy.categories
    positive = sum(int(truth(list(video.events), video.rows, frames).sum()) for video in test)
    header = Header(
        version=VERSION,
        name=name,
        synthetic=synthetic,
        categories=categories,
        widths=sources.widths,
        segments=segments,
        snippet_frames=frames,
        counts={
            "train": len(train),
            "train_abnormal": sum(bool(video.categories) for video in train),
            "test": len(test),
            "test_abnormal": sum(bool(video.categories) for video in test),
            "test_frames": total * frames,
            "test_positive_frames": positive,
            "test_events": sum(len(video.events) for video in test),
        },
        crops=crops,
        notes=tuple(sources.notes),
        fingerprint=fingerprint(
            categories,
            sources.widths,
            segments,
            videos,
            {array: file.sha256 for array, file in arrays.items()},
            frames,
        ),
        arrays=arrays,
        data=data,
    )
    write_durably(folder / "videos.json", json.dumps(videos))
    write_durably(folder / "header.json", header.model_dump_json(indent=1))


def _crops(videos: list[Video]) -> int:
    return max((part.crops for video in videos for part in video.parts.values()), default=1)


def _pooled(
    video: Video, crops: int, segments: int, snippets: ArrayWriter | None
) -> npt.NDArray[np.float16]:
    """(crops, segments, D) of one video; its rows go to ``snippets`` on the way."""
    edges = borders(video.rows, segments)
    width = sum(part.width for part in video.parts.values())
    out = np.empty((crops, segments, width), dtype=np.float16)
    step = max(1, BLOCK_BYTES // (4 * crops * width))  # rows
    first = 0
    while first < segments:
        # Whole segments, as many as fit in a block, at least one.
        last = max(first + 1, int(np.searchsorted(edges, edges[first] + step, side="right")) - 1)
        last = min(last, segments)
        start, stop = int(edges[first]), int(max(edges[last], edges[last - 1] + 1))
        rows = _read(video, crops, start, stop)  # (rows, crops, D)
        if snippets is not None:
            snippets.append(rows[: edges[last] - start].astype(np.float16))
        means = pool_rows(rows.astype(np.float32, copy=False), edges[first : last + 1] - start)
        out[:, first:last] = np.moveaxis(means, 0, 1)
        first = last
    return out


def _check(video: Video) -> None:
    """Reads everything and keeps nothing: there are problems, and all of them are wanted."""
    for part in video.parts.values():
        for file in part.files:
            step = max(1, BLOCK_BYTES // (4 * file.crops * file.width))
            for start in range(0, file.rows, step):
                file.read(start, min(start + step, file.rows))


def _read(video: Video, crops: int, start: int, stop: int) -> npt.NDArray[Any]:
    """Rows [start, stop) of all modalities, one crop tiled: (rows, crops, D)."""
    blocks = []
    for part in video.parts.values():
        values = [file.read(start, stop) for file in part.files]
        block = np.concatenate(values, axis=1) if len(values) > 1 else values[0]
        blocks.append(np.broadcast_to(block, (stop - start, crops, part.width)))
    return np.concatenate(blocks, axis=2) if len(blocks) > 1 else blocks[0]


def track(items: list[T], what: str, progress: bool) -> Iterable[T]:
    """The items; on a terminal under a progress bar, elsewhere after one line."""
    if not progress:
        return items
    from rich.console import Console
    from rich.progress import track as bar

    console = Console(stderr=True)
    if console.is_terminal:
        return bar(items, description=what, console=console, transient=True)
    console.print(f"{what} ({len(items)} videos)", soft_wrap=True, highlight=False)
    return items
