"""Study files: YAML with line numbers, environment variables, and errors that say where.

A study file is one YAML mapping of sections. ``refinevad`` reads ``data``, ``model`` and ``train``;
the platform reads the rest through the same functions, so both report a mistake the same way::

    error: xd.yaml:21: space.d_porj: unknown key; did you mean `d_proj`?
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from refinevad.config.messages import Location, describe, dotted, nearest_key
from refinevad.errors import InputError

SectionT = TypeVar("SectionT", bound=BaseModel)

MOST_CHARACTERS = 100_000
"""Nodes of a study file with its YAML aliases expanded: a few lines can expand to billions."""
DEEPEST = 50
"""Largest nesting depth of a study file; five are needed."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}")
_BARE = re.compile(r"^\$([A-Za-z_][A-Za-z0-9_]*)(?=/|$)")
"""``$HOME/data``: at the beginning of a value, since an expression may end in ``$``."""
# `${NAME}` inside a flow mapping (`{root: ${NAME}}`) is not YAML: brackets of Unicode's private
# area, which YAML takes for letters, stand for it while the file is parsed.
_MARKED = re.compile("\ue000([A-Za-z0-9_]+)(?:\ue002([^\ue001]*))?\ue001")


@dataclass
class Document:
    """A parsed YAML mapping that remembers where each key stands."""

    source: str
    data: dict[str, Any]
    origins: dict[Location, str] = field(default_factory=dict)

    def where(self, location: Sequence[str | int]) -> str:
        """Position of a key (``file:line``, or the flag), else of its nearest existing parent."""
        path = tuple(location)
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, self.source)

    def error(self, location: Sequence[str | int], message: str) -> InputError:
        """An error about one key."""
        key = dotted(location)
        return InputError(f"{self.where(location)}: {key + ': ' if key else ''}{message}")

    def move(self, old: Location, new: Location) -> None:
        """Moves a value to another key, where the file has it; it keeps its line.

        Raises:
            InputError: The other key has a value too.
        """
        node = self.data.get(str(old[0]))
        if not isinstance(node, dict) or old[1] not in node:
            return
        if self.data.get(str(new[0])) is None:
            self.data[str(new[0])] = {}
        target = self.data[str(new[0])]
        if not isinstance(target, dict):
            return
        if new[1] in target:
            raise self.error(old, f"given as {dotted(new)} too; remove one")
        target[new[1]] = node.pop(old[1])
        if old in self.origins:
            self.origins[new] = self.origins[old]

    def override(self, location: Sequence[str], value: Any, origin: str) -> None:
        """Sets a key, as a command-line flag does; errors about it then name ``origin``."""
        node: Any = self.data
        for part in location[:-1]:
            if node.get(part) is None:  # `model:` with nothing below it, too
                node[part] = {}
            node = node[part]
            if not isinstance(node, dict):
                raise InputError(f"{origin}: {part} is not a section of {self.source}")
        node[location[-1]] = value
        place = tuple(location)
        self.origins = {at: line for at, line in self.origins.items() if at[: len(place)] != place}
        self.origins[place] = origin


class _Loader(yaml.SafeLoader):
    """SafeLoader without the traps of YAML 1.1: ``1e-5`` is a number, ``off`` is a word, ``010`` is
    ten, and ``1:30`` is a word.

    It makes plain values only: a tag such as ``!!python/object`` is an error.
    """

    def single_node(self) -> yaml.Node | None:
        """The document before any value is made, if it is no larger than a study file can be."""
        too_large = yaml.YAMLError("too large or too deeply nested for a study file")
        try:
            root = self.get_single_node()
        except RecursionError:
            raise too_large from None
        size, waiting = 0, [(root, 0)] if root else []
        while waiting:
            node, depth = waiting.pop()
            size += 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            waiting += [(child, depth + 1) for child in _children(node)]
            if size + len(waiting) > MOST_CHARACTERS or depth > DEEPEST:
                raise too_large
        return root

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number; a leading 0 does not make it octal."""
        text = str(self.construct_scalar(node)).replace("_", "")
        sign = -1 if text.startswith("-") else 1
        digits = text.lstrip("+-")
        return sign * int(digits, 16 if digits[:2] == "0x" else 2 if digits[:2] == "0b" else 10)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int):
                str(value)
        except ValueError as error:  # a month 13, a whole number of 5,000 digits
            raise ConstructorError(None, None, str(error), node.start_mark) from None
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
# The inherited resolvers, less those that take yes, no, on and off for booleans, and numbers with a
# colon for numbers of base 60.
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.rpartition(":")[2] not in ("bool", "int", "float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*\."
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse_value(text: str) -> Any:
    """Parses one YAML value, as in ``--set lr=1e-3``."""
    loader = _Loader(text)
    try:
        node = loader.single_node()
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        shown = text if len(text) <= 100 else f"{text[:100]}…"
        raise InputError(f"cannot read {shown!r} as a YAML value") from error


def read_document(path: Path) -> Document:
    """Reads a YAML mapping, expands ``${VARIABLES}``, refuses duplicate keys."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_files_beside(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a text file ({error})") from None
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"{path}: larger than {MOST_CHARACTERS} characters: not a study file")
    try:
        loader = _Loader(_VARIABLE.sub(_marked, text))
        node = loader.single_node()
        document = Document(str(path), {})
        if node is not None:
            _note_lines(node, (), document)
            value = loader.construct_document(node)
            if not isinstance(value, dict):
                raise InputError(f"{path}:1: expected sections such as `data:`, found {value!r}")
            document.data = value
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    document.data = _expand(document.data, (), document)
    return document


def validate(
    document: Document,
    model: type[SectionT],
    data: Any,
    sections: Mapping[str, type[BaseModel]] | None = None,
) -> SectionT:
    """``data`` of the document as ``model``; every mistake in one message.

    ``sections`` names the fields of those sections whose kind depends on what is in them.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = describe(error, model, data, sections or {}, document.where)
        more = "".join(f"\n  {line}" for line in lines[1:])
        raise InputError(lines[0] + more) from None


def apply_overrides(
    document: Document,
    overrides: Iterable[str],
    sections: Mapping[str, type[BaseModel]],
    whole: Sequence[str] = (),
    moved: Mapping[str, str] | None = None,
) -> None:
    """``KEY=VALUE`` strings; a key without a dot is looked up in all sections' fields.

    ``whole`` names top-level keys that are no plain section, and may be set as one value; ``moved``
    says where keys with a dot stand today.
    """
    for text in overrides:
        origin = f"--set {text}"
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"{origin}: expected KEY=VALUE, such as epochs=10")
        location = (moved or {}).get(key, key).split(".")
        if len(location) == 1 and key not in whole:
            homes = [name for name, model in sections.items() if key in model.model_fields]
            if len(homes) != 1:
                known = [f for model in sections.values() for f in model.model_fields]
                hint = nearest_key(key, known) if not homes else f"; say {homes[0]}.{key}"
                raise InputError(f"{origin}: unknown key {key!r}{hint}")
            location = [homes[0], key]
        elif location[0] not in (*sections, *whole):
            raise InputError(
                f"{origin}: unknown section{nearest_key(location[0], (*sections, *whole))}"
            )
        document.override(location, parse_value(value), origin)


def _files_beside(path: Path) -> str:
    """The file that was meant: of this name in `search_spaces`, or of a close name beside it."""
    elsewhere = Path("search_spaces") / path.with_suffix(".yaml").name
    if elsewhere.is_file():
        return f"; did you mean `{elsewhere}`?"
    folder = path.parent
    if not folder.is_dir():
        return f"; there is no folder {folder}"
    names = [p.name for p in sorted(folder.glob("[!.]*.y*ml"))]
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    if close:
        return f"; did you mean `{folder / close[0]}`?"
    return f"; study files here: {', '.join(names[:15])}" if names else ""


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _note_lines(node: yaml.Node, at: Location, document: Document) -> None:
    document.origins.setdefault(at, f"{document.source}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise InputError(f"{document.source}:{line}: a key must be a word")
            place = (*at, key.value)
            if place in document.origins:
                line = key.start_mark.line + 1
                raise InputError(f"{document.source}:{line}: {dotted(place)}: given twice")
            document.origins[place] = f"{document.source}:{key.start_mark.line + 1}"
            _note_lines(value, place, document)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*at, index), document)


def _expand(value: Any, at: Location, document: Document) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, (*at, key), document) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, (*at, index), document) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match[1], match[2] if match.re is _MARKED else None
        if not os.environ.get(name):
            if default is not None:
                return default
            raise document.error(
                at,
                f"environment variable {name} is not set; set it to the folder that the comments"
                f" in {document.source} describe, or write the path into the file",
            )
        return os.environ[name]

    value = _MARKED.sub(replace, _BARE.sub(replace, value))
    if not value.startswith("~/"):
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError:
        raise document.error(
            at, f"the home folder of this user is not known; write {value!r} out"
        ) from None


def _marked(match: re.Match[str]) -> str:
    default = "" if match[2] is None else f"\ue002{match[2]}"
    return f"\ue000{match[1]}{default}\ue001"
