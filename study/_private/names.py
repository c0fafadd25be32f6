"""Names that a library may take away without a word, and whether they are still there."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Name:
    """One name below the public face of a library."""

    path: str
    """``package.module:attribute.attribute``."""
    use: str
    """What it is used for."""
    gone: str
    """What happens without it."""
    takes: tuple[str, ...] = ()
    """Of a callable: the parameters that it is called with, its first ones; others must have a
    default."""
    code: tuple[str, ...] = ()
    """Of a function: names in its code, such as attributes it sets or a global that it reads."""


def missing(names: Iterable[Name]) -> list[str]:
    """Those of the names that are not what we take them for, each with the reason and the cost."""
    found = []
    for name in names:
        if trouble := _trouble(name):
            found.append(f"{name.path} {trouble}; it is used to {name.use}; without it {name.gone}")
    return found


def _trouble(name: Name) -> str | None:
    module, _, attributes = name.path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        return f"is gone ({error})"
    if name.takes:
        try:
            signature = inspect.signature(found)
            signature.bind(*name.takes)
        except (TypeError, ValueError) as error:
            return f"cannot be called with {', '.join(name.takes)} ({error})"
        if tuple(signature.parameters)[: len(name.takes)] != name.takes:
            return f"takes {', '.join(signature.parameters)}, not {', '.join(name.takes)}"
    if name.code:
        code = getattr(inspect.unwrap(found), "__code__", None)
        absent = [used for used in name.code if code is None or used not in code.co_names]
        if absent:
            return f"has nothing to do with {', '.join(absent)}"
    return None
