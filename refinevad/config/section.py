"""The base of every section, and the kinds of its fields."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

SNIPPET_FRAMES = 16
"""Frames per snippet unless a data section says otherwise: published extractions use 16."""
MOST_SNIPPET_FRAMES = 255
"""Largest number of frames per snippet: ground truth counts them in a byte."""


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


NonNegative = Annotated[float, Field(ge=0.0)]


Positive = Annotated[float, Field(gt=0.0)]


Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


Width = Annotated[int, Field(ge=1)]


Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A part of a study file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    former: ClassVar[Mapping[str, Any]] = {}
    """Fields whose default has changed, or that are new, with the value that they had, or stood
    for, up to version 0.4. Studies and checkpoints of those versions keep it."""


class KeyOf:
    """A field whose word must be a key of a registry, as it stands when a file is read.

    Stands in ``Annotated[str, KeyOf(LAYOUTS)]``. Values that are no word are left alone.

    Args:
        registry: Name -> what it stands for.
        others: Words that are allowed beside the names.
    """

    def __init__(self, registry: Mapping[str, object], *others: str) -> None:
        self._registry = registry
        self._others = others

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Lets an editor offer the names."""
        found = handler(schema)
        for part in found.get("anyOf", [found]):
            if part.get("type") == "string":
                part["enum"] = self._words()
        return found

    def _words(self) -> list[str]:
        return [*self._registry, *self._others]

    def _checked(self, value: Any) -> Any:
        words = self._words()
        if not isinstance(value, str) or value in words:
            return value
        *most, last = [repr(word) for word in words]
        allowed = f"{', '.join(most)} or {last}" if most else last
        near = difflib.get_close_matches(value, words, n=1, cutoff=0.6)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ValueError(f"found {value!r}, allowed: {allowed}{hint}")
