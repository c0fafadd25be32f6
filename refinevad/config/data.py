"""Every knob of data, model and training: its default, its unit and its reason.

The sections are read from a study file (``data:``, ``model:``, ``train:``), where every field
of ``model`` and ``train`` may also be searched. Letters in brackets point to the rows of
``docs/paper.md``, which says what the paper leaves open and what we decided.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refinevad.config.datasets import DATASETS, SYNTHETIC, Dataset
from refinevad.config.layouts import LAYOUTS
from refinevad.config.section import KeyOf, Section, Seed


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
    annotations: Path | None = None
    """Temporal annotations of the test videos (UCF or XD text format): the ground truth."""
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
        elif not sources:
            raise ValueError("no features: give `visual`, `text`, or `synthetic`")
        elif all(s.train_list is None or s.test_list is None for s in sources):
            raise ValueError("no list: one modality must have `train_list` and `test_list`")
        elif self.annotations is None:
            raise ValueError("no ground truth: give `annotations`, the temporal annotation file")
        return self

    @property
    def dataset(self) -> Dataset | None:
        """What is known of the data set that is named here; None: one of the user's own."""
        if self.synthetic is not None:
            return SYNTHETIC[self.synthetic]
        return DATASETS.get(self.taxonomy) if isinstance(self.taxonomy, str) else None
