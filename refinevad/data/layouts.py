"""Which files a list names, and which a folder holds.

A layout (``refinevad.config.layouts``) reads a file's name: which video, which crop. What the
dimensions mean is decided by the arrays themselves (``npy_file.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from refinevad.config.data import FeatureSource
from refinevad.config.layouts import LAYOUTS
from refinevad.data.problems import Problems
from refinevad.errors import InputError

TWICE = "videos that a list names twice; keep one line of each"
TWO_FILES = "videos with two files of one name under the folder; give the modality lists instead"
TWO_LABELS = "videos whose lines give different labels; correct the list"


@dataclass
class VideoEntry:
    """A video's files in one modality: crop number -> path; the label as the list spells it."""

    files: dict[int, Path]
    label: str | None


def read_list(path: Path) -> list[tuple[str, str | None]]:
    """Lines of a list: ``path,label`` with or without a header, or a path alone.

    Raises:
        InputError: The list is missing, unreadable, empty, or a line has no ``.npy`` path.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"there is no list {path}; give the list of feature files") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the list {path}: {error}") from None
    entries: list[tuple[str, str | None]] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or (number == 1 and text.replace(" ", "").lower() == "path,label"):
            continue
        # The label is after the last comma, so that a comma inside a name is harmless.
        file, comma, label = text.rpartition(",")
        if not comma or text.endswith(".npy"):
            file, label = text, ""
        if not file.endswith(".npy"):
            raise InputError(f"{path}, line {number}: {file!r} is no .npy file")
        entries.append((file, label.strip() or None))
    if not entries:
        raise InputError(f"the list {path} names no file")
    return entries


def locate(entry: str, root: Path) -> Path:
    """Where a list's file lies below ``root``; where it should lie, if it is nowhere.

    Lists carry their authors' absolute paths, so: as it stands below root, then its last three
    (CLIP-TSA: split, class, file), two and one components, then as an absolute path.
    """
    path = PurePosixPath(entry.replace("\\", "/"))
    parts = [part for part in path.parts if part != "/"]
    candidates = [root.joinpath(*parts[-k:]) for k in (3, 2, 1)]
    if path.is_absolute():
        candidates.append(Path(path))
    else:
        candidates.insert(0, root / path)
    usual = root.joinpath(*parts[-2:])
    return next((file for file in candidates if file.is_file()), usual)


def listed_videos(
    source: FeatureSource, list_path: Path, problems: Problems
) -> dict[str, VideoEntry]:
    """Videos of a list, in its order, with their crop files."""
    layout = LAYOUTS[source.layout]
    videos: dict[str, VideoEntry] = {}
    for entry, label in read_list(list_path):
        video, crop = layout.parse(PurePosixPath(entry.replace("\\", "/")).name)
        listed = videos.setdefault(video, VideoEntry({}, label))
        if listed.label != label:
            problems.add(TWO_LABELS, f"{video}: {listed.label!r} and {label!r} in {list_path}")
        if crop in listed.files:
            problems.add(TWICE, f"{video} in {list_path}")
            continue
        listed.files[crop] = locate(entry, source.root)
    return videos


def found_videos(
    source: FeatureSource, wanted: Iterable[str], problems: Problems
) -> dict[str, VideoEntry]:
    """Videos of a folder without a list: every file below ``root`` whose name says it is wanted."""
    layout = LAYOUTS[source.layout]
    videos = {video: VideoEntry({}, None) for video in wanted}
    for path in sorted(source.root.rglob("*.npy")):
        video, crop = layout.parse(path.name)
        if video in videos:
            known = videos[video].files.setdefault(crop, path)
            if known != path:
                problems.add(TWO_FILES, f"{video}: {known} and {path}")
    return {video: listed for video, listed in videos.items() if listed.files}
