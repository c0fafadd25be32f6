"""Package versions: with other versions than the study's, the last bits may differ."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from study.ledger.provenance import versions
from study.ledger.records import StudyMeta


def other_versions(meta: StudyMeta, later: Sequence[tuple[int, dict[str, str]]]) -> list[str]:
    """Notes on changed package versions, which may explain differences.

    Args:
        meta: The study, with the versions of its first session.
        later: Versions of later sessions: number of the first trial they proposed, versions.
    """
    sessions = [(0, meta.versions), *later]
    notes = []
    for (_, before), (number, after) in itertools.pairwise(sessions):
        changed = _changed(before, after)
        notes.append(f"package versions changed at trial {number}: {changed}")
    if changed := _changed(sessions[-1][1], versions()):
        notes.append(f"this machine has other package versions than the study: {changed}")
    if notes:
        notes.append("Results are bit-reproducible only with identical package versions")
    return notes


def _changed(before: dict[str, str], after: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {version} -> {after.get(name, 'none')}"
        for name, version in before.items()
        if after.get(name) != version
    )
