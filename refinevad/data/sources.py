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
from refinevad.config.datasets import Taxonomy, is_normal, label_of, taxonomy
from refinevad.data.alignment import Ending, check_scale
from refinevad.data.annotations import Event, read_annotations, truth
from refinevad.data.category_embeddings import Embeddings, read_category_embeddings
from refinevad.data.groups import groups_of
from refinevad.data.layouts import Listing, VideoEntry, found_videos, listed_videos
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
SAME_FILE = "files that are those of two videos; correct the lists"


@dataclass(frozen=True)
class Video:
    """A video whose files agree. ``rows`` is n, the snippets all modalities have."""

    name: str
    categories: tuple[int, ...]
    parts: dict[str, VideoFeatures]
    rows: int
    events: tuple[Event, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class ResolvedData:
    """Everything that a store is packed from."""

    taxonomy: Taxonomy
    widths: dict[str, int]
    train: list[Video]
    test: list[Video]
    notes: list[str]
    category_embeddings: Embeddings | None = None
    """(C + 1, ·), normal first."""

    def labels(self, videos: list[Video]) -> npt.NDArray[np.bool_]:
        """(N, C) bool."""
        table = np.zeros((len(videos), len(self.taxonomy.categories)), dtype=np.bool_)
        for row, video in zip(table, videos, strict=True):
            row[list(video.categories)] = True
        return table

    @property
    def groups(self) -> list[str]:
        """Group of each training video; empty where there are none."""
        return [video.group for video in self.train if video.group is not None]


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
    listings = _joined(sources, problems)
    for name in sorted(listings["train"].keys() & listings["test"].keys()):
        problems.add(IN_BOTH, name)
    _no_shared_file(listings, problems)
    labels = {split: _labels(listing, problems) for split, listing in listings.items()}
    spelled = list(labels["train"].values())
    if all(is_normal(label, config.normal_labels) for label in spelled):
        spelled += labels["test"].values()  # a detector may learn from normal videos alone
    classes = taxonomy(config.taxonomy, spelled, config.normal_labels)
    notes = _told_apart(listings)
    train, test = (
        _videos(listings[split], labels[split], classes, sources, split, notes, problems)
        for split in ("train", "test")
    )
    widths = _same_widths([*train, *test], list(sources), problems)
    assert config.annotations is not None  # DataConfig demands it beside sources
    test = _annotate(test, set(labels["test"]), config, notes, problems)
    names = [video.name for video in train]
    groups = groups_of(names, listings["train"], config, notes, problems)
    train = [replace(video, group=groups.get(video.name)) for video in train]
    embeddings = None
    if config.category_embeddings is not None:
        embeddings = read_category_embeddings(config.category_embeddings, classes)
    return ResolvedData(classes, widths, train, test, notes, embeddings)


def _joined(sources: Mapping[str, FeatureSource], problems: Problems) -> dict[str, Listing]:
    """Split -> its videos in list order, each with all modalities."""
    listed: dict[str, dict[str, dict[str, VideoEntry]]] = {"train": {}, "test": {}}
    for modality, source in sources.items():
        paths = {"train": source.train_list, "test": source.test_list}
        given = {split: path for split, path in paths.items() if path is not None}
        for split, videos in listed_videos(source, given, problems).items():
            listed[split][modality] = videos
    for split, found in listed.items():
        if not found:
            key = f"{split}_list"
            raise InputError(f"no modality has a {key}; give data.visual.{key} or data.text.{key}")
    return {split: _join(found, sources, problems) for split, found in listed.items()}


def _join(
    listed: dict[str, dict[str, VideoEntry]],
    sources: Mapping[str, FeatureSource],
    problems: Problems,
) -> Listing:
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


def _no_shared_file(listings: Mapping[str, Listing], problems: Problems) -> None:
    owner: dict[Path, str] = {}
    for listing in listings.values():
        for name, by_modality in listing.items():
            for entry in by_modality.values():
                for path in entry.files.values():
                    if owner.setdefault(path, name) != name:
                        problems.add(SAME_FILE, f"{path}: {owner[path]} and {name}")


def _told_apart(listings: Mapping[str, Listing]) -> list[str]:
    """A note where one file name in two folders was taken for two videos."""
    names = [name for listing in listings.values() for name in listing]
    apart = [name for name in names if "/" in name]
    if not apart:
        return []
    return [
        f"{len(apart)} videos share their file's name with another and are told apart by folder "
        f"({apart[0]}, …)"
    ]


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
    config: DataConfig,
    notes: list[str],
    problems: Problems,
) -> list[Video]:
    """Gives every test video its events, and checks them against label and length.

    One mismatch is not an error: features stop at the last whole snippet, and a short event may lie
    in the frames after it. Such a video is kept without a positive frame, with a note.
    """
    path, frames = config.annotations, config.snippet_frames
    assert path is not None  # DataConfig demands it beside sources
    found = read_annotations(
        path, config.annotation_times, known=listed, normal_labels=config.normal_labels
    )
    events_of, unknown = _by_video(found.events, listed)
    for name in unknown:
        problems.add(f"{path}: {UNKNOWN_VIDEO}", name)
    ends = [
        Ending(video.name, video.rows, max(end for _, end in own))
        for video in videos
        if (own := events_of.get(video.name))
    ]
    late = check_scale(ends, config, notes, problems)
    annotated = []
    for video in videos:
        events = events_of.get(video.name)
        abnormal = bool(video.categories)
        if events is None and (abnormal or found.lists_normal):
            problems.add(f"{path}: {NOT_ANNOTATED}", video.name)
            continue
        if video.name in late:
            continue
        events = events or []
        if abnormal and not truth(events, video.rows, frames).any():
            if truth(events, video.rows + 1, frames).any():
                annotated.append(replace(video, events=tuple(events)))
                notes.append(
                    f"test video {video.name}: its event (frames {events[0][0]} to "
                    f"{events[0][1]}) lies after its last whole snippet, which ends at frame "
                    f"{video.rows * frames}; none of its frames counts as positive"
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


def _by_video(
    events: Mapping[str, list[Event]], listed: set[str]
) -> tuple[dict[str, list[Event]], list[str]]:
    """Events by the names of the lists, and annotated names that are in none.

    A name matches as it stands, or by the end of its path where that says which video is meant.
    """
    by_stem: dict[str, list[str]] = {}
    for name in listed:
        by_stem.setdefault(name.rpartition("/")[2], []).append(name)
    found: dict[str, list[Event]] = {}
    unknown = []
    for name, own in events.items():
        choices = [name] if name in listed else by_stem.get(name.rpartition("/")[2], [])
        if len(choices) > 1:
            choices = [c for c in choices if f"/{name}".endswith(f"/{c}")]
        if len(choices) == 1 and choices[0] not in found:
            found[choices[0]] = own
        else:
            unknown.append(name)
    return found, sorted(unknown)
