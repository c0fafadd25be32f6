"""Lists of feature files: the lines of a list, and where on disk each file lies."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from refinevad.data.feature_names import FEATURE_ENDING, feature_path
from refinevad.errors import InputError

_PATH = ("path", "file", "filename", "file_path", "video", "video_path", "name", "feature")
_LABEL = ("label", "class", "category", "type")
_GROUP = ("group", "source", "camera", "scene")
"""Names of columns, casefolded."""


@dataclass(frozen=True)
class Line:
    """One line of a list, as it spells things."""

    file: str
    label: str | None = None
    group: str | None = None


def read_list(path: Path) -> list[Line]:
    """Lines of a list: ``path,label`` or ``path,label,group``, or a path alone.

    A header may name the columns, which may then stand in any order, beside others. Without a
    header the label is what follows the last comma, so that a comma inside a name is harmless.
    A first column of running numbers is left out.

    Raises:
        InputError: The list is missing, unreadable or empty, a line has another number of fields
            than the header, or names a file of another format than ``.npy``.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"there is no list {path}; give the list of feature files") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the list {path}: {error}") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    columns = _header(numbered[0][1]) if numbered else None
    if columns is not None:
        numbered = numbered[1:]
    indexed = len(numbered) > 1 and all(
        re.match(r"\d+\s*,\s*\S+\s*,", text) for _, text in numbered
    )
    entries = []
    for number, text in numbered:
        if columns is None and indexed:
            text = text.partition(",")[2]
        try:
            line = _line(text, columns)
            entries.append(Line(feature_path(line.file), line.label, line.group))
        except (InputError, ValueError, csv.Error) as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    if not entries:
        raise InputError(f"the list {path} names no file")
    return entries


def _header(text: str) -> dict[str, int] | None:
    """Columns of a header line; None where the line is an entry."""
    words = [word.strip().casefold() for word in next(csv.reader([text]), [])]
    if not any(word in _PATH for word in words) or any(FEATURE_ENDING in word for word in words):
        return None
    found = {"": len(words)}
    for name, known in (("path", _PATH), ("label", _LABEL), ("group", _GROUP)):
        place = next((words.index(word) for word in known if word in words), None)
        if place is not None:
            found[name] = place
    return found


def _line(text: str, columns: dict[str, int] | None) -> Line:
    if (columns is not None and columns.keys() - {""} != {"path", "label"}) or '"' in text:
        return _by_columns(text, columns or {"": 2, "path": 0, "label": 1})
    if columns is not None and columns[""] > 2:
        return _by_columns(text, columns)
    # The label is after the last comma, so that a comma inside a name is harmless.
    if columns is not None and columns["label"] < columns["path"]:
        label, _, file = text.partition(",")
        return Line(file.strip(), label.strip() or None)
    file, comma, label = text.rpartition(",")
    if not comma or text.lower().endswith(FEATURE_ENDING):
        file, label = text, ""
    return Line(file.strip(), label.strip() or None)


def _by_columns(text: str, columns: dict[str, int]) -> Line:
    (words,) = csv.reader([text], skipinitialspace=True)
    if len(words) > columns[""]:
        raise ValueError(
            f"{len(words)} fields, but the header has {columns['']}; "
            'put names with commas into quotation marks ("…")'
        )
    words = [word.strip() for word in words] + [""] * columns[""]
    label, group = (words[columns[n]] if n in columns else "" for n in ("label", "group"))
    return Line(words[columns["path"]], label or None, group or None)


def locate(entry: str, root: Path) -> Path:
    """Where a list's file lies below ``root``; where it should lie, if it is nowhere.

    Lists carry their authors' absolute paths, so: as it stands below root, then its last three
    (CLIP-TSA: split, class, file), two and one components, then as an absolute path.
    """
    path = PurePosixPath(entry.replace("\\", "/"))
    parts = [part for part in path.parts if part != "/"]
    candidates = [root.joinpath(*parts[-k:]) for k in (3, 2, 1)]
    if path.is_absolute():
        candidates.append(Path(path))
    else:
        candidates.insert(0, root / path)
    usual = root.joinpath(*parts[-2:])
    return next((file for file in candidates if file.is_file()), usual)
