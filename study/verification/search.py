"""The search check: re-proposes every trial's parameters, training seed and stopping curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from study.config.study_file import StudyFile
from study.ledger.records import TrialRecord
from study.search.base import Search
from study.search.proposal import Proposal, ordered_search, propose, pruning_of
from study.verification.check import Check, Difference


def check_search(
    file: StudyFile, records: Sequence[TrialRecord], progress: Callable[[int], None]
) -> Check:
    """Re-proposes every trial from the file, the seed and the recorded results.

    After a trial that differs, the search continues from the ledger's parameters, so that one
    changed trial does not make all later ones differ.

    Args:
        file: The study file, as recorded.
        records: Every trial proposed, by number.
        progress: Called with the number of trials that are done.
    """
    check = Check("search")
    search, pruning = ordered_search(file), pruning_of(file)
    curves = 0
    for record in records[: file.search.inherited]:
        if record.inherited is None:
            check.differences.append(
                Difference(f"trial {record.number}", "it ran here", "it was taken over")
            )
        search.restore(record.params)
        if record.ended:
            search.record(record.number, record.objective, record.cost)
    for record in records[file.search.inherited :]:
        check.compare(f"trial {record.number}, taken over from", record.inherited, None)
        if not search.ready:
            needed = record.number - file.search.window
            first = next(r.number for r in records[: needed + 1] if not r.ended)
            check.differences.append(
                Difference(
                    f"trial {record.number}",
                    "it was proposed",
                    f"not before trial {first} had a result (later trials were not re-proposed)",
                )
            )
            break
        asked = propose(file, search, pruning, records)
        if not _compare(check, record, asked):
            search = _from_ledger(file, records[: record.number + 1]) or search
        if record.ended:
            search.record(record.number, record.objective, record.cost)
        curves += record.stopping_curve is not None
        progress(record.number + 1)
    own = max(0, len(records) - file.search.inherited)
    check.summary = (
        (f"{len(records) - own} trials taken over; " if file.search.inherited else "")
        + f"{own} trials re-proposed, {len(file.distributions())} parameters each: "
        f"parameters, seeds and {curves} stopping curves "
        + ("compared" if check.differences else "match")
    )
    return check


def _compare(check: Check, record: TrialRecord, asked: Proposal) -> bool:
    """Notes differences; returns True if the parameters are the same."""
    name = f"trial {record.number}"
    before = len(check.differences)
    check.compare_all(f"{name}, ", record.params, asked.params)
    same_parameters = len(check.differences) == before
    check.compare(f"{name}, seed", record.seed, asked.seed)
    found, expected = record.stopping_curve, asked.stopping_curve
    if isinstance(found, list) and expected is not None and len(found) == len(expected):
        for epoch, pair in enumerate(zip(found, expected, strict=True), 1):
            check.compare(f"{name}, stopping curve at epoch {epoch}", *pair)
    else:
        check.compare(f"{name}, stopping curve", found, expected)
    return same_parameters


def _from_ledger(file: StudyFile, records: Sequence[TrialRecord]) -> Search | None:
    """The search after these trials were proposed; None if one is outside the space."""
    search = ordered_search(file)
    try:
        for record in records:
            search.restore(record.params)
    except ValueError:
        return None  # outside the space
    for record in records[:-1]:
        if record.ended:
            search.record(record.number, record.objective, record.cost)
    return search
