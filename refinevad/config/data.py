"""Every knob of data, model and training: its default, its unit and its reason.

The sections are read from a study file (``data:``, ``model:``, ``train:``), where every field
of ``model`` and ``train`` may also be searched. Letters in brackets point to the rows of
``docs/paper.md``, which says what the paper leaves open and what we decided.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refinevad.config.datasets import DATASETS, SYNTHETIC, Dataset
from refinevad.config.layouts import LAYOUTS
from refinevad.config.section import (
    MOST_SNIPPET_FRAMES,
    SNIPPET_FRAMES,
    KeyOf,
    Positive,
    Section,
    Seed,
)

AnnotationStyle = Literal["frames", "inclusive", "one_based", "seconds"]


@dataclass(frozen=True)
class AnnotationTimes:
    """What the numbers of an annotation file are."""

    style: AnnotationStyle = "frames"
    fps: float | None = None
    """Frames per second of the videos; needed for seconds and for ``annotation_fps``."""
    annotation_fps: float | None = None
    """Frames per second at which the file counts; None: as the videos."""

    def frames(self, start: float, end: float) -> tuple[int, int]:
        """First frame of an event and the frame after its last one.

        An event of no length is one frame.

        Raises:
            ValueError: The numbers are no interval, or no whole frames where they should be.
        """
        shown = f"{start:g} {end:g}"
        if self.style == "seconds":
            assert self.fps is not None  # DataConfig demands it
            first, stop = round(start * self.fps), round(end * self.fps)
        else:
            if start != int(start) or end != int(end):
                raise ValueError(
                    f"{shown} are no whole frames; times in seconds need "
                    "data.annotation_style: seconds and data.fps"
                )
            first = int(start) - (self.style == "one_based")
            stop = int(end) + (self.style == "inclusive")
            if self.annotation_fps is not None and self.fps is not None:
                scale = self.fps / self.annotation_fps
                first, stop = round(first * scale), round(stop * scale)
        stop = max(stop, first + 1) if end >= start else stop
        if not 0 <= first < stop:
            least = 1 if self.style == "one_based" else 0
            raise ValueError(f"{shown} is not an interval (expected {least} <= start <= end)")
        return first, stop


class FeatureSource(Section):
    """Folder, lists and layout of the features of one modality."""

    layout: Annotated[str, KeyOf(LAYOUTS)]
    """How files are named and which shapes arrays have (docs/data.md)."""
    root: Path
    """Folder of the features; relative paths of lists are looked up here too."""
    train_list: Path | None = None
    """List of training files. Not needed where another modality names the videos."""
    test_list: Path | None = None
    """List of test files."""


HOW_SOURCES_ARE_READ = (
    *("normal_labels", "annotation_style", "annotation_fps", "late_events", "snippet_frames"),
    *("fps", "group_pattern"),
)
"""Fields that decide what is packed, and enter a study's hash by the store's fingerprint alone."""


class DataConfig(Section):
    """Videos, features and ground truth of a data set."""

    synthetic: Annotated[str, KeyOf(SYNTHETIC)] | None = None
    """Generate a seeded synthetic benchmark instead of reading files of one's own."""
    taxonomy: Annotated[str | tuple[str, ...], KeyOf(DATASETS, "auto")] = "auto"
    """Categories: a known data set, a list of names, or `auto` (the labels of the lists)."""
    visual: FeatureSource | None = None
    """Visual features."""
    text: FeatureSource | None = None
    """Caption features of the same videos."""
    normal_labels: tuple[str, ...] | None = None
    """Labels of videos in which nothing happens. None: Normal and its usual spellings
    (docs/data.md), and A in XD-Violence's lists."""
    annotations: Path | None = None
    """Temporal annotations of the test videos (UCF or XD text format, or a table
    `video,start,end,label`): the ground truth."""
    annotation_style: AnnotationStyle = "frames"
    """What the numbers of an annotation are: frames counted from 0 with the end after the last one
    (`frames`), or on the last one (`inclusive`); frames counted from 1 with the end on the last one
    (`one_based`); `seconds`."""
    annotation_fps: Positive | None = None
    """Frames per second at which the annotation file counts, if not as the videos (`fps`)."""
    late_events: Literal["refuse", "clip"] = "refuse"
    """Events that run past the end of their video's features by more than two snippets: a sign of
    another number of frames per snippet, or another frame rate."""
    snippet_frames: Annotated[int, Field(ge=1, le=MOST_SNIPPET_FRAMES)] = SNIPPET_FRAMES
    """Frames of video per row of a feature file."""
    fps: Positive | None = None
    """Frames per second of the videos. Needed where annotations are in seconds."""
    groups: Path | None = None
    """Table `video,group` of the training videos: videos of one group (a camera, a source) are held
    out together. A column `group` in the training list does the same."""
    group_pattern: str | None = None
    """Expression whose first group, found in a video's listed path, is its group, instead of
    `groups`."""
    category_embeddings: Path | None = None
    """Text embeddings of the categories, for detectors that use them: an .npz file with `names` and
    `embeddings`, one row or several for normal and for each category (docs/data.md)."""
    segments: Annotated[int, Field(ge=2)] = 32
    """Segments per video in training and, by default, in testing (T)."""
    val_fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.15
    """Share of the training videos held out, stratified by category, when split is `val`."""
    split_seed: Seed | None = None
    """Seed of the validation split. None: the study's seed."""
    test_length: Literal["segments", "full"] = "segments"
    """Score test videos on `segments` expanded back to snippets, or snippet by snippet."""

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        sources = [s for s in (self.visual, self.text) if s is not None]
        if self.synthetic is not None:
            if sources or self.annotations is not None:
                raise ValueError("give either `synthetic` or feature sources, not both")
            for name in ("groups", "category_embeddings", *HOW_SOURCES_ARE_READ):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} is for files of your own: leave it out beside `synthetic`"
                    )
        elif not sources:
            raise ValueError("no features: give `visual`, `text`, or `synthetic`")
        elif all(s.train_list is None or s.test_list is None for s in sources):
            raise ValueError("no list: one modality must have `train_list` and `test_list`")
        elif self.annotations is None:
            raise ValueError("no ground truth: give `annotations`, the temporal annotation file")
        return self

    @model_validator(mode="after")
    def _frame_rates(self) -> Self:
        if self.annotation_style == "seconds" and self.fps is None:
            raise ValueError(
                "annotations in seconds: give `fps`, the frames per second of the videos"
            )
        if self.annotation_fps is not None and self.fps is None:
            raise ValueError("annotation_fps: give `fps` too, the frames per second of the videos")
        if self.annotation_fps is not None and self.annotation_style == "seconds":
            raise ValueError("annotation_fps is of frames; annotations in seconds have none")
        return self

    @model_validator(mode="after")
    def _one_source_of_groups(self) -> Self:
        if self.group_pattern is None:
            return self
        if self.groups is not None:
            raise ValueError("give either `groups` or `group_pattern`, not both")
        try:
            pattern = re.compile(self.group_pattern)
        except re.error as error:
            raise ValueError(f"group_pattern is no valid expression: {error}") from None
        if not pattern.groups:
            raise ValueError("group_pattern has no group: put ( ) around what names the group")
        return self

    @property
    def annotation_times(self) -> AnnotationTimes:
        """What the numbers of the annotation file are."""
        return AnnotationTimes(self.annotation_style, self.fps, self.annotation_fps)

    @property
    def dataset(self) -> Dataset | None:
        """What is known of the data set that is named here; None: one of the user's own."""
        if self.synthetic is not None:
            return SYNTHETIC[self.synthetic]
        return DATASETS.get(self.taxonomy) if isinstance(self.taxonomy, str) else None
