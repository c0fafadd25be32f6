"""One modality of one video: its files, inspected, with their crop axes settled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from refinevad.config.data import FeatureSource
from refinevad.config.layouts import LAYOUTS
from refinevad.data import npy_file
from refinevad.data.layouts import VideoEntry
from refinevad.data.npy_file import BadFile, FeatureFile
from refinevad.data.problems import Problems

NO_CROPS_3D = "3-D files in a layout of (n, width) files; use layout i3d for crop arrays"
ROWS_OF_CROPS = "videos whose crops differ in length; extract them again"


@dataclass(frozen=True)
class VideoFeatures:
    """One modality of one video: one file per crop, or one file for all crops."""

    files: tuple[FeatureFile, ...]

    @property
    def rows(self) -> int:
        return self.files[0].rows

    @property
    def crops(self) -> int:
        return len(self.files) if len(self.files) > 1 else self.files[0].crops

    @property
    def width(self) -> int:
        return self.files[0].width


def inspect_parts(
    listed: dict[str, VideoEntry], source: FeatureSource, problems: Problems
) -> dict[str, VideoFeatures]:
    """Inspects one modality of a split: video -> its files, crop axes settled."""
    inspected: dict[str, list[FeatureFile]] = {}
    for name, video in listed.items():
        try:
            inspected[name] = [npy_file.inspect(video.files[k]) for k in sorted(video.files)]
        except BadFile as bad:
            problems.add(bad.problem, bad.offender)
            # The other crops may be bad too: name them all.
            for other in _others(video, bad):
                problems.add(other.problem, other.offender)
    axes = iter(npy_file.crop_axes([f.shape for files in inspected.values() for f in files]))
    parts = {}
    for name, files in inspected.items():
        settled = []
        for file in files:
            axis = next(axes)
            if isinstance(axis, str):
                problems.add(axis, f"{file.path}: {file.shape}")
            elif axis is not None and (not LAYOUTS[source.layout].crop_arrays or len(files) > 1):
                problems.add(NO_CROPS_3D, f"{file.path}: {file.shape}")
            else:
                settled.append(replace(file, crop_axis=axis))
        if len({file.rows for file in settled}) > 1:
            problems.add(ROWS_OF_CROPS, name)
        elif len(settled) == len(files):
            parts[name] = VideoFeatures(tuple(settled))
    return parts


def _others(video: VideoEntry, known: BadFile) -> Iterator[BadFile]:
    for path in video.files.values():
        try:
            npy_file.inspect(path)
        except BadFile as bad:
            if bad.offender != known.offender:
                yield bad
