"""The result of a check: a summary of the comparison, and every difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Difference:
    """One value that differs from the expected one."""

    what: str
    """Name of the value: ``trial 3, lr``."""
    found: Any
    """The value found."""
    expected: Any
    """The value expected."""
    where: str = "the ledger"

    def __str__(self) -> str:
        found, expected = _shown(self.found), _shown(self.expected)
        return f"{self.what}: {self.where} says {found}, it should say {expected}"


@dataclass
class Check:
    """The result of one kind of comparison."""

    name: str
    summary: str = ""
    """The comparison in one line."""
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Facts needed to judge the differences, or their absence."""

    def compare(self, what: str, found: Any, expected: Any) -> bool:
        """Compares two values to the last bit and notes a difference; returns True if equal."""
        if same(found, expected):
            return True
        self.differences.append(Difference(what, found, expected))
        return False

    def compare_all(self, what: str, found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
        """Compares two mappings key by key."""
        for key in _keys(found, expected):
            self.compare(f"{what}{key}", found.get(key), expected.get(key))


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same to the last bit; 1, 1.0 and True are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return bool(a.hex() == b.hex())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    return bool(a == b)


def _keys(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> Iterator[Any]:
    yield from found
    yield from (key for key in expected if key not in found)


def _shown(value: Any) -> str:
    """Floats with all their digits, words without quotes."""
    return "nothing" if value is None else value if isinstance(value, str) else repr(value)
