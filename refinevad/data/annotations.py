"""Temporal annotations: text files to events, events to ground truth per snippet.

Three published formats, one grammar (a name, then labels and pairs of frame numbers):

- UCF-Crime, MSAD: ``name  Class  s1  e1  s2  e2``, -1 where there is none; normal videos too;
- XD-Violence ``annotations.txt``: ``name s e s e …``, abnormal videos only;
- XD-Violence ``annotations_multiclasses.txt``: ``name L s e L s e …``.

Names match by stem: some end in ``.mp4`` (14 of XD's 500; an exact match would lose 8,520
positive frames).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from refinevad.config.section import SNIPPET_FRAMES
from refinevad.errors import InputError

Event = tuple[int, int]
"""First frame and the frame after the last, at the frame rate of the features."""
_INTEGER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class Annotations:
    """Events of each annotated video; a video annotated as normal has an empty list."""

    events: dict[str, list[Event]]

    @property
    def lists_normal(self) -> bool:
        """Whether the file lists normal videos too (UCF), or only abnormal ones (XD)."""
        return any(not events for events in self.events.values())


def read_annotations(path: Path) -> Annotations:
    """Reads an annotation file in any of the three formats.

    Raises:
        InputError: The file is missing, or one of its lines is not valid: a word in place of a
            frame number that is no whole one, a start without an end, an end not after its start.
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
    events: dict[str, list[Event]] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        name = words[0].removesuffix(".mp4")
        if name in events:
            raise InputError(f"{path}, line {number}: {name} is annotated twice; keep one line")
        try:
            events[name] = _events(words[1:])
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    if not events:
        raise InputError(f"the annotation file {path} is empty")
    return Annotations(events)


def _events(words: list[str]) -> list[Event]:
    numbers = _frame_numbers(words)
    if not numbers or len(numbers) % 2:
        raise ValueError(f"expected pairs of frame numbers, found {' '.join(words) or 'nothing'!r}")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    events = [(start, end) for start, end in pairs if (start, end) != (-1, -1)]
    for start, end in events:
        if not 0 <= start < end:
            raise ValueError(f"{start} {end} is not an interval (expected 0 <= start < end)")
    return events


def _frame_numbers(words: list[str]) -> list[int]:
    """The whole numbers; other words are labels, which only stand in front of a pair.

    A word that is neither is an error: skipped, it would take an event out of the ground truth.
    """
    numbers: list[int] = []
    label = None
    for word in words:
        if _INTEGER.fullmatch(word):
            numbers.append(int(word))
            label = None
        elif word[0] in "+-.0123456789" or len(numbers) % 2:
            raise ValueError(f"{word!r} is not a frame number (expected a whole number)")
        else:
            label = word
    if label is not None and numbers:
        raise ValueError(f"expected frame numbers after {label!r}, found the end of the line")
    return numbers


def truth(events: list[Event], n_snippets: int) -> npt.NDArray[np.uint8]:
    """Positive frames of each snippet.

    Half-open intervals, clipped at the last snippet: events of 7 UCF-Crime and 70 XD-Violence
    videos run past the end of the features.

    Returns:
        (n_snippets,) uint8, 0 to 16.
    """
    frames = np.zeros(SNIPPET_FRAMES * n_snippets, dtype=np.uint8)
    for start, end in events:
        frames[start:end] = 1
    positive: npt.NDArray[np.uint8] = frames.reshape(n_snippets, SNIPPET_FRAMES).sum(
        axis=1, dtype=np.uint8
    )
    return positive
