"""The digest check: recomputes the digest and compares it with seals, ``--digest`` and table."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Sequence

from study.ledger.lines import Seal, Snapshot
from study.ledger.records import TrialRecord, digest
from study.ledger.table import trials_table
from study.verification.check import Check, Difference


def check_digest(
    snapshot: Snapshot, records: Sequence[TrialRecord], *, given: str | None, table: str | None
) -> Check:
    """Recomputes digests.

    Args:
        snapshot: The ledger's lines.
        records: Every trial proposed, by number.
        given: The digest of ``--digest``; None without the flag.
        table: Content of ``trials.csv``; None where the file is missing.
    """
    check = Check("digest")
    now = digest(records)
    for seal in snapshot.seals:
        _check_seal(check, snapshot, seal, records)
    ended = frozenset(r.number for r in records if r.ended)
    sealed = snapshot.seals[-1].ended if snapshot.seals else frozenset[int]()
    check.summary = f"{now} of {len(ended)} trials; " + _seals_said(snapshot, ended - sealed)
    if given is not None:
        _check_given(check, snapshot, given, now)
    if table is None:
        check.notes.append("there is no trials.csv beside the ledger")
    else:
        _check_table(check, table, records, ended, sealed)
        check.summary += "; trials.csv"
    return check


def _seals_said(snapshot: Snapshot, open_: frozenset[int]) -> str:
    if not snapshot.seals:
        return "not sealed by any session"
    count = len(snapshot.seals)
    last = _date(snapshot.seals[-1])
    said = f"sealed at the end of {count} session{'s' if count > 1 else ''}, last on {last}"
    return said + (f", {len(open_)} have ended since" if open_ else "")


def _date(seal: Seal) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seal.time))


def _check_seal(
    check: Check, snapshot: Snapshot, seal: Seal, records: Sequence[TrialRecord]
) -> None:
    name = f"seal of {_date(seal)} (line {seal.line})"
    then = digest(r for r in records if r.number in seal.ended)
    if not check.compare(f"{name}, digest of the trials ended before it", then, seal.digest):
        return
    before = snapshot.content[: seal.before]
    facts = {"bytes": len(before), "sha256": hashlib.sha256(before).hexdigest()}
    sealed = {"bytes": seal.bytes, "sha256": seal.sha256}
    check.compare_all(f"{name}, the content before it, ", facts, sealed)


def _check_given(check: Check, snapshot: Snapshot, given: str, now: str) -> None:
    earlier = [seal for seal in snapshot.seals if seal.digest == given]
    if given == now:
        check.summary += "; equal to --digest"
    elif earlier:
        check.summary += f"; --digest is that of {len(earlier[0].ended)} trials, sealed earlier"
    else:
        check.compare("digest", now, f"{given} (--digest)")


def _check_table(
    check: Check,
    table: str,
    records: Sequence[TrialRecord],
    ended: frozenset[int],
    sealed: frozenset[int],
) -> None:
    """``trials.csv`` is written at the end of a session, just before the seal."""
    rows = list(csv.reader(io.StringIO(table)))
    try:
        numbers = {int(row[0]) for row in rows[1:]}
    except (ValueError, IndexError):
        numbers = set()
    # Without a seal the last session may have been killed, after others had ended in order.
    for number in sorted((sealed - numbers) | (numbers - ended)):
        there, here = ("no row", "one") if number in ended else ("a row", "none")
        check.differences.append(
            Difference(f"trial {number} in trials.csv", f"{here} ended", f"{there} there")
        )
    own = trials_table([r for r in records if r.number in numbers]).to_csv(index=False)
    if own == table:
        return
    expected = {row[0]: row for row in rows[1:] if row}
    head, *found = csv.reader(io.StringIO(own))
    for row in found:
        cells = zip(head, row, expected[row[0]], strict=False)
        for column, ledger, tabled in cells:
            check.compare(f"trial {row[0]}, {column} in trials.csv", ledger, tabled)
    if not check.differences:
        check.compare("trials.csv", "other columns", rows[0] if rows else None)
