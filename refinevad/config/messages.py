"""Wrong values of a study file in words: pydantic's errors, as one line per key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from refinevad.errors import nearest

Location = tuple[str | int, ...]


def nearest_key(name: object, known: Iterable[object]) -> str:
    """As `nearest`, for a key of the study file: the help lists them where there are many."""
    return nearest(name, known, listed="`python -m refinevad.train --help` lists the keys")


def dotted(location: Sequence[str | int]) -> str:
    """``space.lr``: a key as it is written in messages."""
    return ".".join(str(part) for part in location)


def describe(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    sections: Mapping[str, type[BaseModel]],
    where: Callable[[Location], str],
) -> list[str]:
    """One line per wrong key, in the order of pydantic's report.

    Args:
        error: What pydantic found.
        model: The class that ``data`` should have been.
        data: Values by section.
        sections: Section -> its class, where that depends on what is in it.
        where: Position of a key, such as ``file.yaml:12``.
    """
    lines: dict[Location, list[str]] = {}
    for detail in error.errors(include_url=False):
        location = _existing(data, detail["loc"], keep_next=detail["type"] == "missing")
        lines.setdefault(location, []).append(_problem(model, sections, location, detail))
    described = []
    for location, problems in lines.items():
        if any(len(other) > len(location) == _common(other, location) for other in lines):
            continue  # one of several kinds that the value could be; another got further
        key = dotted(location)
        text = _either(list(dict.fromkeys(problems)))
        described.append(f"{where(location)}: {key + ': ' if key else ''}{text}")
    return described


def _either(problems: Sequence[str]) -> str:
    """One of several: ``found [1], expected a whole number, a number or text``."""
    found, expected, first = problems[0].partition(", expected ")
    if all(problem.startswith(found + expected) for problem in problems):
        wanted = [first, *(problem.removeprefix(found + expected) for problem in problems[1:])]
        listed = ", ".join(wanted[:-1])
        return f"{found}{expected}{listed}{' or ' if listed else ''}{wanted[-1]}"
    return " or ".join(problems)


def _common(one: Location, other: Location) -> int:
    """Number of leading parts that are equal."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(other))


def _existing(data: Any, location: Sequence[str | int], *, keep_next: bool) -> Location:
    """The part of pydantic's location that is keys of the file (it adds names of union arms)."""
    path: list[str | int] = []
    node = data
    for part in location:
        in_list = isinstance(node, list | tuple) and isinstance(part, int) and part < len(node)
        if in_list or (isinstance(node, dict) and part in node):
            node = node[part]
        elif keep_next and isinstance(node, dict):
            return (*path, part)
        else:
            continue
        path.append(part)
    return tuple(path)


def _problem(
    model: type[BaseModel],
    sections: Mapping[str, type[BaseModel]],
    location: Location,
    detail: Any,
) -> str:
    kind, found = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"unknown key{nearest_key(location[-1], _fields_at(model, sections, location[:-1]))}"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "string_type" and found is None:
        return "is empty, expected text"
    shown = list(found) if isinstance(found, tuple) else found
    wanted = expectation(detail)
    return f"found {shown!r}{', ' if wanted.startswith(('expected', 'allowed')) else ': '}{wanted}"


def expectation(detail: Any) -> str:
    """What a value that pydantic refuses should be, such as ``expected a whole number``."""
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "literal_error":
        return f"allowed: {context['expected']}"
    if kind in ("tuple_type", "list_type"):
        return f"expected a list, such as [{'…' if found is None else found}]"
    if kind in ("too_long", "too_short"):
        number = context["min_length" if kind == "too_short" else "max_length"]
        least = "at least" if kind == "too_short" else "at most"
        return f"expected {least} {number} value{'' if number == 1 else 's'}"
    if kind == "string_type" and isinstance(found, bool | int | float):
        return f'expected text; put it in quotes: "{found}"'
    message = str(detail["msg"])
    return _WANTED.get(kind) or message[:1].lower() + message[1:]


_WANTED = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "expected a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "expected a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "expected true or false"),
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type"),
        "expected a section of `key: value` lines",
    ),
    "string_type": "expected text",
}
"""Kind of pydantic's error -> what the value should be."""


def _fields_at(
    model: type[BaseModel], sections: Mapping[str, type[BaseModel]], location: Location
) -> list[str]:
    """Field names of the section at ``location``; none where it is not a section."""
    if len(location) == 1 and location[0] in sections:
        return list(sections[str(location[0])].model_fields)
    annotation: Any = model
    for part in location:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
            continue
        section = _section_of(annotation)
        if section is None or part not in section.model_fields:
            return []
        annotation = section.model_fields[str(part)].annotation
    section = _section_of(annotation)
    return list(section.model_fields) if section else []


def _section_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
