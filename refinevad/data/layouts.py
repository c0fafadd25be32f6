"""Which videos a list names, and which a folder holds.

A layout (``refinevad.config.layouts``) reads a file's name: which video, which crop. What the
dimensions mean is decided by the arrays themselves (``npy_file.py``).

A video is called by its file's name alone. Where two files of one list, or of both lists, have one
name and lie in different folders (``cam1/0001.npy``, ``cam2/0001.npy``), they are two videos, and
the end of the path is the name of each.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from refinevad.config.data import FeatureSource
from refinevad.config.layouts import LAYOUTS
from refinevad.data.feature_names import FEATURE_ENDING
from refinevad.data.lists import Line, locate, read_list
from refinevad.data.problems import Problems

TWICE = "videos that a list names twice; keep one line of each"
TWO_FILES = "videos with two files of one name under the folder; give the modality lists instead"
TWO_LABELS = "videos whose lines give different labels; correct the list"
TWO_GROUPS = "videos whose lines give different groups; correct the list"


@dataclass
class VideoEntry:
    """A video's files in one modality: crop number -> path; label and group as the list spells
    them; the path as listed."""

    files: dict[int, Path]
    label: str | None
    group: str | None = None
    listed: str = ""


Listing = dict[str, dict[str, VideoEntry]]
"""video -> modality -> files"""


@dataclass(frozen=True)
class _Entry:
    line: Line
    video: str
    crop: int
    folders: tuple[str, ...]

    def name(self, depth: int) -> str:
        return "/".join([*self.folders[-depth:], self.video]) if depth else self.video


def listed_videos(
    source: FeatureSource, lists: Mapping[str, Path], problems: Problems
) -> dict[str, dict[str, VideoEntry]]:
    """Videos of the lists of a modality, in their order, with their crop files.

    Args:
        source: The modality.
        lists: Split -> its list. Names are told apart over all of them.
        problems: Where what does not agree is noted.

    Returns:
        Split -> video -> entry.
    """
    entries = {split: [_entry(source, line) for line in read_list(p)] for split, p in lists.items()}
    depths = _depths([entry for own in entries.values() for entry in own])
    found: dict[str, dict[str, VideoEntry]] = {}
    for split, own in entries.items():
        videos = found.setdefault(split, {})
        for entry in own:
            line, video = entry.line, entry.name(depths.get(entry.video, 0))
            listed = videos.setdefault(video, VideoEntry({}, line.label, line.group, line.file))
            if listed.label != line.label:
                problems.add(
                    TWO_LABELS, f"{video}: {listed.label!r} and {line.label!r} in {lists[split]}"
                )
            if listed.group != line.group:
                problems.add(
                    TWO_GROUPS, f"{video}: {listed.group!r} and {line.group!r} in {lists[split]}"
                )
            if entry.crop in listed.files:
                problems.add(TWICE, f"{video} in {lists[split]}")
                continue
            listed.files[entry.crop] = locate(line.file, source.root)
    return found


def _entry(source: FeatureSource, line: Line) -> _Entry:
    path = PurePosixPath(line.file.replace("\\", "/"))
    video, crop = LAYOUTS[source.layout].parse(path.name)
    folders = tuple(part for part in path.parent.parts if part not in ("/", ".", ".."))
    return _Entry(line, video, crop, folders)


def _depths(entries: list[_Entry]) -> dict[str, int]:
    """Video -> folders in front of its name, where one name is that of several videos."""
    folders: dict[str, dict[int, set[tuple[str, ...]]]] = defaultdict(lambda: defaultdict(set))
    for entry in entries:
        folders[entry.video][entry.crop].add(entry.folders)
    shared = {
        video: {place for own in by_crop.values() for place in own}
        for video, by_crop in folders.items()
        if any(len(own) > 1 for own in by_crop.values())
    }
    depth = 1
    while shared:
        apart = all(len({place[-depth:] for place in own}) == len(own) for own in shared.values())
        if apart or depth >= max(len(place) for own in shared.values() for place in own):
            return dict.fromkeys(shared, depth)
        depth += 1
    return {}


def found_videos(
    source: FeatureSource, wanted: Iterable[str], problems: Problems
) -> dict[str, VideoEntry]:
    """Videos of a folder without a list: every file below ``root`` whose name says it is wanted."""
    layout = LAYOUTS[source.layout]
    videos = {video: VideoEntry({}, None) for video in wanted}
    depths = {video.count("/") for video in videos}
    for path in sorted(_feature_files(source.root)):
        stem, crop = layout.parse(path.name)
        for depth in depths:
            folders = path.relative_to(source.root).parts[:-1]
            video = "/".join([*folders[len(folders) - depth :], stem]) if depth else stem
            if video in videos:
                known = videos[video].files.setdefault(crop, path)
                if known != path:
                    problems.add(TWO_FILES, f"{video}: {known} and {path}")
    return {video: listed for video, listed in videos.items() if listed.files}


def _feature_files(root: Path) -> Iterator[Path]:
    """Feature files below a folder, through links, each folder once."""
    seen: set[tuple[int, int]] = set()
    for folder, inside, files in os.walk(root, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            inside.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        for file in files:
            if file.lower().endswith(FEATURE_ENDING):
                yield Path(folder) / file
