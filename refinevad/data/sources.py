"""A data section of a study file, resolved: which videos, which files, which labels and events.

Nothing is packed here and no feature value is read. But every file's header is read, to check that
lists, files, labels and annotations agree. An error names every disagreement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from refinevad.config.data import DataConfig, FeatureSource
from refinevad.config.datasets import Taxonomy, label_of, taxonomy
from refinevad.config.section import SNIPPET_FRAMES
from refinevad.data.annotations import Event, read_annotations, truth
from refinevad.data.layouts import VideoEntry, found_videos, listed_videos
from refinevad.data.problems import Problems
from refinevad.data.video_files import VideoFeatures, inspect_parts
from refinevad.errors import InputError

NO_LABEL = "files whose label is neither in the list nor in the name; use a `path,label` list"
UNKNOWN_CLASS = "videos of an unknown class; correct the label or data.taxonomy"
IN_BOTH = "training videos that are in the test list too; remove them from one list"
CROPS_DIFFER = "videos whose number of crops differs from the rest; complete or remove them"
WIDTHS_DIFFER = "files whose width differs from the rest; do not mix extractions"
ROWS_OF_MODALITIES = (
    "videos whose modalities differ by more than one snippet; features of different extractions?"
)
UNKNOWN_VIDEO = "annotated videos that are not in the test list; correct the names or the list"
NOT_ANNOTATED = "test videos without annotation; add a line for each (docs/data.md)"
NO_POSITIVE = (
    "abnormal test videos without a positive frame; annotation and features do not belong together"
)
NORMAL_WITH_EVENT = "test videos listed as normal, but annotated with an event"


@dataclass(frozen=True)
class Video:
    """A video whose files agree. ``rows`` is n, the snippets all modalities have."""

    name: str
    categories: tuple[int, ...]
    parts: dict[str, VideoFeatures]
    rows: int
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class ResolvedData:
    """Everything that a store is packed from."""

    taxonomy: Taxonomy
    widths: dict[str, int]
    train: list[Video]
    test: list[Video]
    notes: list[str]

    def labels(self, videos: list[Video]) -> npt.NDArray[np.bool_]:
        """(N, C) bool."""
        table = np.zeros((len(videos), len(self.taxonomy.categories)), dtype=np.bool_)
        for row, video in zip(table, videos, strict=True):
            row[list(video.categories)] = True
        return table


def modalities(config: DataConfig) -> dict[str, FeatureSource]:
    """The configured modalities, in the order in which their features are concatenated.

    A relative list is looked up below its root first, then from the working directory.
    """
    both = {"visual": config.visual, "text": config.text}
    return {
        name: source.model_copy(
            update={
                key: _below(source.root, getattr(source, key))
                for key in ("train_list", "test_list")
            }
        )
        for name, source in both.items()
        if source is not None
    }


def _below(root: Path, path: Path | None) -> Path | None:
    return root / path if path is not None and (root / path).is_file() else path


def check_folders(config: DataConfig) -> None:
    """Raises an InputError that names every missing folder, list or annotation file."""
    missing = []
    for name, source in modalities(config).items():
        if not source.root.is_dir():
            missing.append(f"data.{name}.root: no folder {source.root}")
        for key in ("train_list", "test_list"):
            path = getattr(source, key)
            if path is not None and not path.is_file():
                below = "" if path.is_absolute() else f", here or below {source.root}"
                missing.append(f"data.{name}.{key}: no file {path}{below}")
    if config.annotations is not None and not config.annotations.is_file():
        missing.append(f"data.annotations: no file {config.annotations}")
    if missing:
        raise InputError(
            "the data set is not where the configuration says. Put the files there, or correct the "
            "path or its environment variable (docs/data.md explains where to get the features and "
            "how to arrange them):\n" + "\n".join(f"  {line}" for line in missing)
        )


def read_sources(config: DataConfig, problems: Problems) -> ResolvedData:
    """Resolves a configuration's videos. Videos with a problem are noted there and left out.

    Raises:
        InputError: A folder, list or annotation is missing or malformed.
    """
    check_folders(config)
    sources = modalities(config)
    listings = {split: _join(sources, f"{split}_list", problems) for split in ("train", "test")}
    for name in sorted(listings["train"].keys() & listings["test"].keys()):
        problems.add(IN_BOTH, name)
    labels = {split: _labels(listing, problems) for split, listing in listings.items()}
    classes = taxonomy(config.taxonomy, labels["train"].values())
    notes: list[str] = []
    train, test = (
        _videos(listings[split], labels[split], classes, sources, split, notes, problems)
        for split in ("train", "test")
    )
    widths = _same_widths([*train, *test], list(sources), problems)
    assert config.annotations is not None  # DataConfig demands it beside sources
    test = _annotate(test, set(labels["test"]), config.annotations, notes, problems)
    return ResolvedData(classes, widths, train, test, notes)


Listing = dict[str, dict[str, VideoEntry]]
"""video -> modality -> files"""


def _join(sources: Mapping[str, FeatureSource], key: str, problems: Problems) -> Listing:
    """Videos of one split in list order, each with all modalities."""
    listed: dict[str, dict[str, VideoEntry]] = {}
    for modality, source in sources.items():
        path = getattr(source, key)
        if path is not None:
            listed[modality] = listed_videos(source, path, problems)
    if not listed:
        raise InputError(f"no modality has a {key}; give data.visual.{key} or data.text.{key}")
    names = dict.fromkeys(name for videos in listed.values() for name in videos)
    for modality, source in sources.items():
        if modality not in listed:
            listed[modality] = found_videos(source, names, problems)
    joined: Listing = {}
    for name in names:
        lacking = [modality for modality in sources if name not in listed[modality]]
        for modality in lacking:
            root = sources[modality].root
            problems.add(f"videos without {modality} features below {root}; add them", name)
        if not lacking:
            joined[name] = {modality: listed[modality][name] for modality in sources}
    return joined


def _labels(listing: Listing, problems: Problems) -> dict[str, str]:
    labels = {}
    for name, by_modality in listing.items():
        given = {listed.label for listed in by_modality.values() if listed.label is not None}
        label = min(given) if given else label_of(name)
        if label is None:
            problems.add(NO_LABEL, name)
        elif len(given) > 1:
            problems.add("videos whose modalities' lists give different labels", name)
        else:
            labels[name] = label
    return labels


def _videos(
    listing: Listing,
    labels: dict[str, str],
    classes: Taxonomy,
    sources: Mapping[str, FeatureSource],
    split: str,
    notes: list[str],
    problems: Problems,
) -> list[Video]:
    """Inspects a split's files and keeps the videos that agree."""
    parts: dict[str, dict[str, VideoFeatures]] = {}
    for modality, source in sources.items():
        files = {name: listing[name][modality] for name in labels}
        parts[modality] = inspect_parts(files, source, problems)
    usual = {
        modality: Counter(part.crops for part in found.values()).most_common(1)[0][0]
        for modality, found in parts.items()
        if found
    }
    many = {crops for crops in usual.values() if crops > 1}
    if len(many) > 1:
        raise InputError(
            f"the {split} videos have {' and '.join(f'{n} {m} crops' for m, n in usual.items())}; "
            f"give one modality a single crop, or both the same number"
        )
    videos, trimmed = [], 0
    for name, label in labels.items():
        try:
            categories = classes.parse(label)
        except InputError as error:
            problems.add(UNKNOWN_CLASS, f"{name}: {error}")
            continue
        found = {m: parts[m][name] for m in sources if name in parts[m]}
        if len(found) < len(sources):
            continue
        for modality, part in found.items():
            if part.crops != usual[modality]:
                problems.add(
                    CROPS_DIFFER, f"{name}: {part.crops} {modality} crops, not {usual[modality]}"
                )
        rows = {modality: part.rows for modality, part in found.items()}
        shortest, longest = min(rows.values()), max(rows.values())
        if longest - shortest > 1:
            lengths = ", ".join(f"{n} {modality}" for modality, n in rows.items())
            problems.add(ROWS_OF_MODALITIES, f"{name}: {lengths}")
            continue
        trimmed += longest != shortest
        videos.append(Video(name, categories, found, shortest))
    if trimmed:
        notes.append(
            f"{trimmed} {split} videos have one snippet more in one modality: last one trimmed"
        )
    return videos


def _same_widths(videos: list[Video], sources: list[str], problems: Problems) -> dict[str, int]:
    """Width of each modality: the usual one; files of another are named."""
    widths = {}
    for modality in sources:
        files = [file for video in videos for file in video.parts[modality].files]
        counts = Counter(file.width for file in files)
        if not counts:
            continue
        widths[modality] = counts.most_common(1)[0][0]
        for file in files:
            if file.width != widths[modality]:
                problems.add(WIDTHS_DIFFER, f"{file.path}: {file.width}, not {widths[modality]}")
    return widths


def _annotate(
    videos: list[Video],
    listed: set[str],
    path: Path,
    notes: list[str],
    problems: Problems,
) -> list[Video]:
    """Gives every test video its events, and checks them against label and length.

    One mismatch is not an error: features stop at the last whole snippet, and a short event may lie
    in the frames after it. Such a video is kept without a positive frame, with a note.
    """
    annotations = read_annotations(path)
    for name in sorted(annotations.events.keys() - listed):
        problems.add(f"{path}: {UNKNOWN_VIDEO}", name)
    annotated = []
    for video in videos:
        events = annotations.events.get(video.name)
        abnormal = bool(video.categories)
        if events is None and (abnormal or annotations.lists_normal):
            problems.add(f"{path}: {NOT_ANNOTATED}", video.name)
            continue
        events = events or []
        if abnormal and not truth(events, video.rows).any():
            if truth(events, video.rows + 1).any():
                annotated.append(replace(video, events=tuple(events)))
                notes.append(
                    f"test video {video.name}: its event (frames {events[0][0]} to "
                    f"{events[0][1]}) lies after its last whole snippet, which ends at frame "
                    f"{video.rows * SNIPPET_FRAMES}; none of its frames counts as positive"
                )
                continue
            problems.add(
                f"{path}: {NO_POSITIVE}", f"{video.name}: {video.rows} snippets, events {events}"
            )
        elif events and not abnormal:
            problems.add(f"{path}: {NORMAL_WITH_EVENT}", f"{video.name}: {events}")
        else:
            annotated.append(replace(video, events=tuple(events)))
    return annotated
