"""Groups of training videos, which a validation split keeps together.

Videos of one camera or one source share more than their label. Where some of them train a detector
and others judge it, the judgement is of the camera.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from refinevad.config.data import DataConfig
from refinevad.config.layouts import without_ending
from refinevad.data.layouts import Listing, VideoEntry
from refinevad.data.problems import Problems
from refinevad.errors import InputError

NO_GROUP = "training videos without a group; give all of them one, or none"


def groups_of(
    videos: list[str],
    listing: Listing,
    config: DataConfig,
    notes: list[str],
    problems: Problems,
) -> dict[str, str]:
    """Groups of the training videos: of a table, an expression, or the list's column.

    Returns:
        Video -> group; empty where there are no groups.
    """
    groups: dict[str, str | None]
    if config.groups is not None:
        table = read_groups(config.groups)
        groups = {name: table.get(name) for name in videos}
        where = str(config.groups)
    elif config.group_pattern is not None:
        pattern = re.compile(config.group_pattern)
        matches = {name: pattern.search(_listed(listing[name])) for name in videos}
        groups = {name: match[1] if match else None for name, match in matches.items()}
        where = "data.group_pattern"
    else:
        groups = {
            name: next((e.group for e in listing[name].values() if e.group), None)
            for name in videos
        }
        where = "the training list"
        if not any(groups.values()):
            notes.extend(_suggested(videos, listing))
            return {}
    lacking = [name for name, group in groups.items() if group is None]
    for name in lacking:
        problems.add(f"{where}: {NO_GROUP}", name)
    if not lacking:
        count = len(set(groups.values()))
        notes.append(
            f"{count} groups of training videos: each is held out whole or trained on whole"
        )
    return {name: group for name, group in groups.items() if group is not None}


def read_groups(path: Path) -> dict[str, str]:
    """Groups of videos: lines ``video,group``, with a header or without.

    Raises:
        InputError: The file is missing or a line is not of that form.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read data.groups, {path}: {error}") from None
    groups = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        video, comma, group = (part.strip().strip('"') for part in line.rpartition(","))
        if not (video and comma and group):
            raise InputError(f"{path}, line {number}: expected video,group")
        if number == 1 and group.casefold() == "group":
            continue
        groups[without_ending(video)] = group
    return groups


_LAST_NUMBER = re.compile(r"[\W_]*\d+$")
_FEWEST_GROUPED = 8


def _suggested(videos: list[str], listing: Listing) -> list[str]:
    """A note where names suggest that training videos share a source."""
    sources: dict[str, set[str]] = {}
    for name in videos:
        path = PurePosixPath(without_ending(_listed(listing[name])))
        label = next((e.label for e in listing[name].values() if e.label), "") or ""
        stem = _LAST_NUMBER.sub("", path.name)
        plain = [word for word in (stem, path.parent.name) if any(c.isdigit() for c in word)]
        if plain and plain[0].casefold() not in (label.casefold(), ""):
            sources.setdefault(plain[0], set()).add(name)
    shared = {source: own for source, own in sources.items() if len(own) > 1}
    count = sum(map(len, shared.values()))
    if count < max(_FEWEST_GROUPED, len(videos) / 2) or len(shared) < 2:
        return []
    example = max(shared, key=lambda source: (len(shared[source]), source))
    return [
        f"{count} of {len(videos)} training videos seem to share {len(shared)} sources "
        f"({len(shared[example])} of {example}); if they do, held-out videos should not share them "
        "with training: give data.groups or data.group_pattern"
    ]


def _listed(by_modality: Mapping[str, VideoEntry]) -> str:
    return next((entry.listed for entry in by_modality.values() if entry.listed), "")
