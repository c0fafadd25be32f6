"""Versions: with others than the study's, other bits may be right."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from study.ledger.provenance import versions
from study.ledger.records import StudyMeta


def other_versions(meta: StudyMeta, later: Sequence[tuple[int, dict[str, str]]]) -> list[str]:
    """What a reader of differences must know of the versions.

    Args:
        meta: The study; its versions are those of its first session.
        later: Versions of later sessions: number of the first trial they asked, versions.
    """
    sessions = [(0, meta.versions), *later]
    notes = []
    for (_, before), (number, after) in itertools.pairwise(sessions):
        changed = _changed(before, after)
        notes.append(f"from trial {number} on the study had other versions: {changed}")
    if changed := _changed(sessions[-1][1], versions()):
        notes.append(f"the study had other versions than this machine: {changed}")
    if notes:
        notes.append("the same bits are promised for the same versions only")
    return notes


def _changed(before: dict[str, str], after: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {version} -> {after.get(name, 'none')}"
        for name, version in before.items()
        if after.get(name) != version
    )
