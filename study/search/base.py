"""The interface of a search."""

from __future__ import annotations

from typing import Protocol

from study.space.dimension import Params


class Search(Protocol):
    """Proposes trials 0, 1, 2, … in order."""

    @property
    def next_number(self) -> int: ...
    @property
    def ready(self) -> bool: ...
    def record(self, number: int, value: float | None) -> None: ...
    def ask(self) -> Params: ...
    def restore(self, params: Params) -> None: ...
