"""``python -m study.list``: the studies of a folder, the last one first."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from refinevad import cli
from refinevad.errors import InputError
from study.cli import add_runs_argument


def main(argv: list[str]) -> None:
    """Prints a line per study."""
    args = parser().parse_args(argv)
    from study.ledger.journal import JOURNAL

    folders = sorted(args.runs.glob(f"*/{JOURNAL}"), key=lambda path: -path.stat().st_mtime)
    if not folders:
        raise InputError(
            f"{args.runs}: no study here (`python -m study.run --space FILE` starts one)"
        )
    rows = [_row(journal.parent) for journal in folders]
    print(cli.table(["study", "trials", "best", "objective", "last change"], rows))


def _row(folder: Path) -> list[str]:
    from study.ledger.journal import JOURNAL
    from study.ledger.records import best
    from study.ledger.study import read

    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime((folder / JOURNAL).stat().st_mtime))
    try:
        _, meta, records = read(folder)
    except (InputError, OSError) as error:
        reason = str(error).removeprefix(f"{folder}: ").splitlines()[0]
        return [cli.printable(folder.name), "-", "-", cli.printable(reason), changed]
    winner = best(records)
    ended = sum(record.ended for record in records)
    value = f"{winner.objective:.4f}" if winner else "-"
    selected = ", selected on test" if meta.split == "test" else ""
    objective = cli.printable(f"{meta.metric} on {meta.split}{selected}")
    return [cli.printable(folder.name), f"{ended} of {meta.trials}", value, objective, changed]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.list"),
        description="Lists the studies of a folder, the one that changed last first. Reads only.",
    )
    add_runs_argument(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
