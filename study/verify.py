"""``python -m study.verify``: checks that a study's trials follow from its file, seed and data.

Reads the ledger, takes no lock and writes nothing into the study, so that it may run beside it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinevad import cli
from refinevad.errors import list_offenders
from study.cli import add_study_arguments, study_folder

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.data import Store
    from study.config.study_file import StudyFile
    from study.ledger.records import TrialRecord
    from study.verification.check import Check


class _Report:
    """Prints checks as they are done, and keeps their count."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.differing: list[Check] = []

    def add(self, check: Check, possible_causes: Sequence[str] = ()) -> None:
        """Prints a check; where it differs, also the causes that need no change of the study."""
        count = len(check.differences)
        mark, style = ("differs", "bold red") if count else ("ok", "green")
        self.line(mark, check.name, check.summary, style)
        if count:
            self.differing.append(check)
            self.say(list_offenders([str(difference) for difference in check.differences]))
        for note in [*check.notes, *(possible_causes if count else ())]:
            self.say(f"  note: {note}", style="yellow")

    def line(self, mark: str, name: str, text: str, style: str = "dim") -> None:
        self.console.print(f"{mark:<8}", style=style, end="")
        self.say(f"{name:<9}{text}")

    def say(self, text: str, style: str | None = None) -> None:
        text = cli.printable(text)  # a ledger may be a stranger's
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def main(argv: list[str]) -> int:
    """Returns 1 where anything differs."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from study.ledger.records import ended_by_machine
    from study.ledger.study import read, recorded_file
    from study.verification.ledger import check_ledger

    folder = study_folder(args)
    report = _Report(Console())
    while True:  # a session may end, and write both, just now
        table = _table(folder)
        snapshot, meta, records = read(folder)
        if _table(folder) == table:
            break
    file = recorded_file(meta, folder)
    ended = sum(record.ended for record in records)
    report.say(f"{meta.name} ({folder}): {ended} of {meta.trials} trials have ended")

    # From here on torch is needed.
    from study.verification.data import check_data
    from study.verification.digest import check_digest
    from study.verification.results import check_results
    from study.verification.versions import other_versions

    others = other_versions(meta, snapshot.versions)
    report.add(check_ledger(snapshot, meta, file, records))
    data, store = check_data(meta, file, args.stores)
    report.add(data)
    report.add(_search(report.console, file, records), others)
    report.add(check_results(file, records))
    report.add(check_digest(snapshot, records, given=args.digest, table=table))
    if store is None or not args.sample:
        why = "--sample 0" if store else "these are not the study's data"
        report.line("skipped", "training", f"no trial was retrained ({why})")
    else:
        report.add(_training(report, file, store, records, folder, args.sample), others)
    return _verdict(report, unended=meta.trials - ended, outside=ended_by_machine(records))


def _search(console: Console, file: StudyFile, records: list[TrialRecord]) -> Check:
    from study.progress.screen import progress_bar
    from study.verification.search import check_search

    with progress_bar(console) as progress:
        task = progress.add_task("re-proposing trials", total=len(records))
        return check_search(file, records, lambda done: progress.update(task, completed=done))


def _training(
    report: _Report,
    file: StudyFile,
    store: Store,
    records: list[TrialRecord],
    folder: Path,
    count: int,
) -> Check:
    from study.progress.screen import progress_bar
    from study.verification.training import check_training

    with progress_bar(report.console) as progress:
        task = progress.add_task("retraining")

        def show(record: TrialRecord, epoch: int) -> None:
            what = f"retraining trial {record.number}"
            progress.update(task, description=what, completed=epoch, total=len(record.curve))

        kept = folder / "checkpoints"
        return check_training(file, store, records, kept, count, report.say, show)


def _table(folder: Path) -> str | None:
    path = folder / "trials.csv"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _verdict(report: _Report, *, unended: int, outside: str) -> int:
    if report.differing:
        listed = ", ".join(f"{len(c.differences)} in {c.name}" for c in report.differing)
        report.say(f"NOT verified; differences: {listed}", style="bold red")
        return 1
    so_far = f" so far; {unended} trials have not ended" if unended > 0 else ""
    report.say(f"verified: all checks passed, no differences{so_far}", style="bold green")
    if outside:
        report.say(
            f"but not reproducible: {outside}. Raise execution.trial_timeout, and run the study "
            "under a new name",
            style="yellow",
        )
    return 0


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _digest(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a digest (expected 64 hexadecimal characters)"
        )
    return text.lower()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.verify"),
        description="Verifies a study: re-proposes all its trials from its file, seed and results, "
        "retrains some of them, and compares every bit with the ledger. It writes nothing. In a "
        "running or interrupted study it verifies the trials so far. Exits with 1 if anything "
        "differs.",
    )
    add_study_arguments(parser)
    cli.add_stores_argument(parser)
    parser.add_argument(
        "--sample",
        type=_count,
        default=3,
        metavar="K",
        help="number of trials to retrain, the best one first; 0: none (default: 3)",
    )
    parser.add_argument(
        "--digest",
        type=_digest,
        metavar="HEX",
        help="digest that a run has printed, to compare as well",
    )
    return parser


if __name__ == "__main__":
    cli.run(main)
