"""Temporal annotations: text files to events, events to ground truth per snippet.

Published formats, one grammar (a name, then labels and pairs of numbers):

- UCF-Crime, MSAD: ``name  Class  s1  e1  s2  e2``, -1 where there is none; normal videos too;
- XD-Violence ``annotations.txt``: ``name s e s e …``, abnormal videos only;
- XD-Violence ``annotations_multiclasses.txt``: ``name L s e L s e …``.

Words are separated by blanks, tabs or commas. And a table of our own: ``video,start,end,label``,
one event a line, with that header or without.

Names match by stem or by the end of their path, without the ending of a video or feature file (14
of XD's 500 end in ``.mp4``; an exact match would lose 8,520 positive frames).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from refinevad.config.data import AnnotationTimes
from refinevad.config.datasets import is_normal
from refinevad.config.layouts import without_ending
from refinevad.config.section import SNIPPET_FRAMES
from refinevad.errors import InputError

Event = tuple[int, int]
"""First frame and the frame after the last, at the frame rate of the features."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_HEADS = ("video", "name", "video_name", "file", "filename", "path", "videos")
"""Columns of names in a header line, casefolded."""
_LABELS = ("label", "class", "category")


@dataclass(frozen=True)
class Annotations:
    """Events of each annotated video; a video annotated as normal has an empty list."""

    events: dict[str, list[Event]]

    @property
    def lists_normal(self) -> bool:
        """Whether the file lists normal videos too (UCF), or only abnormal ones (XD)."""
        return any(not events for events in self.events.values())


def read_annotations(
    path: Path,
    times: AnnotationTimes | None = None,
    *,
    known: Collection[str] = (),
    normal_labels: Collection[str] | None = None,
) -> Annotations:
    """Reads an annotation file in any of the formats.

    Args:
        path: The file.
        times: What its numbers are; None: frames from 0, the end is the frame after the last.
        known: Names of the videos. A line is first looked up among them, which is needed where
            names hold blanks.
        normal_labels: Labels of normal videos; None: the usual spellings.

    Raises:
        InputError: The file is missing, or one of its lines is not valid: a word in place of a
            number, a start without an end, an end before its start, the same event twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(
            f"there is no annotation file {path}; data.annotations must name the data set's "
            f"temporal annotations (docs/data.md)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the annotation file {path}: {error}") from None
    times = times or AnnotationTimes()
    named = sorted({name.casefold(): name for name in known if " " in name}.items(), reverse=True)
    events: dict[str, list[Event]] = {}
    columns: list[str] | None = None
    first = True
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if first and line.lstrip()[0] in "{[":
            raise InputError(
                f"{path} looks like JSON; write one line for each event: video,start,end,label"
            )
        try:
            words = _words(line, named)
            if first and _is_header(words):
                columns = [word.casefold() for word in words]
                columns = columns if {"start", "end"} <= set(columns) else None
                continue
            name, found = _line(words, columns, times, normal_labels)
            _add(events, name, found)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        finally:
            first = False
    if not events:
        raise InputError(f"the annotation file {path} is empty")
    return Annotations(events)


def _words(line: str, named: Iterable[tuple[str, str]]) -> list[str]:
    """The line's words: the name, which may hold blanks, then labels and numbers."""
    text = line.strip()
    for folded, name in named:
        rest = text[len(name) :]
        rest = re.sub(r"^\.[A-Za-z0-9]{2,4}(?=[\s,]|$)", "", rest)
        if text.casefold().startswith(folded) and (not rest or rest[0] in " \t,"):
            return [name, *_split(rest.lstrip(" \t,"))]
    return _split(text)


def _split(text: str) -> list[str]:
    first, *rest = re.split(r"[\s,]+", text, maxsplit=1)
    if rest and re.search(r"[\[(]\s*(-?\d|[\])])", rest[0]):  # `name Fire [160, 320]`
        return [first, *(word for word in re.split(r"[\s,;\[\](){}]+", rest[0]) if word)]
    if "\t" in text:
        words = text.split("\t")
    elif "," in text:
        (words,) = csv.reader([text], skipinitialspace=True)
    else:
        words = text.split()
    return [word.strip() for word in words]


def _is_header(words: list[str]) -> bool:
    named = any(word.casefold() in _HEADS for word in words)
    return named and len(words) > 1 and not any(_NUMBER.fullmatch(word) for word in words)


def _line(
    words: list[str],
    columns: list[str] | None,
    times: AnnotationTimes,
    normal_labels: Collection[str] | None,
) -> tuple[str, list[Event]]:
    """The name and the events of one line."""
    if columns is not None:
        words = _by_columns(words, columns)
    elif (
        len(words) == 4
        and all(_NUMBER.fullmatch(word) for word in words[1:3])
        and not _NUMBER.fullmatch(words[3])
    ):
        words = words[:3]  # video,start,end,label
    words = [word for word in words if word]
    name = without_ending(words[0].replace("\\", "/"))
    return name, _events(words[1:], times, normal_labels)


def _by_columns(words: list[str], columns: list[str]) -> list[str]:
    """Name, label and numbers of a line under a header."""
    if len(words) > len(columns):
        raise ValueError(f"{len(words)} fields, but the header has {len(columns)}")
    row = dict(zip(columns, words, strict=False))
    name = next((row[head] for head in _HEADS if row.get(head)), "")
    if not name:
        raise ValueError("no name of a video")
    pair = [row.get("start", ""), row.get("end", "")]
    label = next((row[key] for key in _LABELS if row.get(key)), "")
    return [name, label, *pair]


def _add(events: dict[str, list[Event]], name: str, found: list[Event]) -> None:
    if name not in events:
        events[name] = found
        return
    if not found or not events[name]:
        raise ValueError(f"{name} is annotated twice, as normal at least once; keep one line")
    for event in found:
        if event in events[name]:
            raise ValueError(f"{name} has the event {event[0]} to {event[1]} twice; keep one line")
        events[name].append(event)


def _events(
    words: list[str], times: AnnotationTimes, normal_labels: Collection[str] | None
) -> list[Event]:
    numbers, labels = _numbers(words)
    normal = bool(labels) and all(is_normal(label, normal_labels) for label in labels)
    if not numbers:
        if labels and not normal:
            raise ValueError(f"expected pairs of numbers after {labels[-1]!r}, found none")
        return []
    if len(numbers) % 2:
        raise ValueError(f"expected pairs of numbers, found {' '.join(words)!r}")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if normal:  # `Normal 0 0`
        pairs = [pair for pair in pairs if pair != (0.0, 0.0)]
    return [times.frames(*pair) for pair in pairs if pair != (-1.0, -1.0)]


def _numbers(words: list[str]) -> tuple[list[float], list[str]]:
    """The numbers, and the labels, which only stand in front of a pair.

    A word that is neither is an error: skipped, it would take an event out of the ground truth.
    """
    numbers: list[float] = []
    labels: list[str] = []
    label = None
    for word in words:
        if _NUMBER.fullmatch(word):
            numbers.append(float(word))
            label = None
        elif len(numbers) % 2 or (word[0] in "+-.0123456789" and not _is_label(word)):
            raise ValueError(f"{word!r} is not a number of a frame or second")
        else:
            label = word
            labels.append(word)
    if label is not None and numbers:
        raise ValueError(f"expected numbers after {label!r}, found the end of the line")
    return numbers, labels


def _is_label(word: str) -> bool:
    """Whether a word that begins with a digit is a class (``2wheeler``), not a slip (``16O``)."""
    return sum(c.isalpha() for c in word) >= 3


def truth(
    events: list[Event], n_snippets: int, frames: int = SNIPPET_FRAMES
) -> npt.NDArray[np.uint8]:
    """Positive frames of each snippet.

    Half-open intervals, clipped at the last snippet: events of 5 UCF-Crime and 65 XD-Violence
    videos run past the end of the features, by less than a snippet.

    Returns:
        (n_snippets,) uint8, 0 to ``frames``.
    """
    positive = np.zeros(frames * n_snippets, dtype=np.uint8)
    for start, end in events:
        positive[start:end] = 1
    counts: npt.NDArray[np.uint8] = positive.reshape(n_snippets, frames).sum(axis=1, dtype=np.uint8)
    return counts
