"""The base of every section, and the kinds of its fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SNIPPET_FRAMES = 16
"""Frames per snippet: every published feature extraction of this field uses 16."""


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


NonNegative = Annotated[float, Field(ge=0.0)]


Positive = Annotated[float, Field(gt=0.0)]


Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


Width = Annotated[int, Field(ge=1)]


Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A part of a study file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
