"""``python -m study.leaderboard --file FILE``: a fair table of detectors on one data set.

Every method is searched with the same budget, its best configuration is trained again with seeds
that no search saw, and the table says what can be told apart. Every step is a study of its own,
with ledger, workers and verification; the same command resumes, and a method that is added to the
file joins without anything being trained again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from refinevad import cli
from refinevad.errors import InputError
from study.cli import add_session_arguments

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.data import Store
    from study.config.leaderboard_file import LeaderboardFile


def main(argv: list[str]) -> int:
    """Returns 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from refinevad.data import prepare
    from study.config.leaderboard_file import load_leaderboard
    from study.progress.output import Output
    from study.text import say

    if args.set:
        raise InputError("--set: a leaderboard has one file for all; edit it, under another name")
    console = Console(file=cast(TextIO, Output(sys.stdout)))
    file = load_leaderboard(args.file)
    store = prepare(file.data, args.stores)
    for method in file.names:
        file.search(method).check_against(store.widths, args.file)
    if args.plan:
        _plan(console, file, store, args)
        return 0
    command = ["python", "-m", "study.leaderboard", *argv]
    failed = _gate(console, file, store, args.runs)
    for place, method in enumerate(file.names, 1):
        say(console, f"\n[{place}/{len(file.names)}] {method}")
        if method in failed:
            say(console, f"{method} did not learn eight videos by heart; it stands as failed")
        elif not _search_and_retrain(console, args, command, file, store, method):
            return cli.INTERRUPTED
    _conclude(console, args, file, store, failed)
    return 0


def _gate(console: Console, file: LeaderboardFile, store: Store, runs: Path) -> list[str]:
    """Methods that fail; what was found before is read from the table's folder."""
    from study.session.gate import learns_by_heart
    from study.session.leaderboard import known_passes, write_passes
    from study.text import say

    if not file.leaderboard.gate:
        return []
    folder = runs / file.leaderboard.name
    passes = known_passes(folder, store.fingerprint, file)
    for method in file.names:
        if method not in passes:
            say(console, f"gate: does {method} learn eight videos by heart? …")
            passes[method] = learns_by_heart(file.search(method), store)
            write_passes(folder, store.fingerprint, file, passes)
    return [method for method in file.names if not passes[method]]


def _search_and_retrain(
    console: Console,
    args: argparse.Namespace,
    command: list[str],
    file: LeaderboardFile,
    store: Store,
    method: str,
) -> bool:
    """False after Ctrl-C."""
    from study.ledger.records import best
    from study.ledger.study import read_study
    from study.session.variants import run_study

    search = file.search(method)
    folder = args.runs / search.study.name
    args.baselines = False  # of the table, not of each study
    if not run_study(console, args, command, search, store):
        return False
    view = read_study(folder)
    winner = best(view.records)
    if winner is None:
        raise InputError(f"{folder}: no trial has a result; delete the folder, or the method")
    again = file.retraining(method, view.file.active(winner.params))
    return run_study(console, args, command, again, store)


def _plan(console: Console, file: LeaderboardFile, store: Store, args: argparse.Namespace) -> None:
    from study.backend import open_backend
    from study.session.leaderboard import forecast
    from study.text import say, span

    backend = open_backend(args.backend, address=args.address, workers=args.workers)
    workers = args.workers or backend.workers(file.execution.threads or 1)
    table = file.leaderboard
    total = 0.0
    for method in file.names:
        seconds = forecast(file, method, store) / workers
        total += seconds
        say(console, f"{method}: {span(seconds)}")
    say(
        console,
        f"{len(file.names)} methods, {table.trials} trials and {table.seeds} seeds each, on "
        f"{workers} workers: {span(total)}, by one epoch of each method's defaults, measured now; "
        "nothing was started",
    )


def _conclude(
    console: Console,
    args: argparse.Namespace,
    file: LeaderboardFile,
    store: Store,
    failed: list[str],
) -> None:
    from refinevad.files import or_stop, write_whole
    from study.reporting.card import write_card
    from study.reporting.leaderboard import cards_of, latex, page_of
    from study.reporting.terminal import print_card
    from study.session.leaderboard import results_of
    from study.text import say

    folder = args.runs / file.leaderboard.name
    found = results_of(file, store, args.runs, failed, lambda text: say(console, text))
    cards = cards_of(found)
    for card in cards:
        print_card(console, card)
    assert cards[0].table is not None
    # before pictures are written with their captions in them
    page = page_of(found, cards, args.file.read_text(encoding="utf-8"))
    with or_stop(folder):
        for place, card in enumerate(cards, 1):
            write_card(card, folder / "cards" / str(place), fingerprint=store.fingerprint)
        table: str = cards[0].table.to_csv(index=False)
        write_whole(folder / "leaderboard.csv", table.encode())
        write_whole(folder / "leaderboard.tex", latex(cards[0].table).encode())
        write_whole(folder / "leaderboard.html", page.encode())
    say(console, f"\nwritten: {folder}/leaderboard.html, .csv, .tex")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.leaderboard"),
        description="Makes a fair table of detectors on one data set: every method is searched "
        "with the same budget on held-out videos, trained again with seeds that no search saw, and "
        "scored once on the test videos. Run the same command again to resume, or after adding a "
        "method to the file.",
    )
    parser.add_argument(
        "--file", type=Path, required=True, metavar="FILE", help="the leaderboard file"
    )
    parser.add_argument(
        "--plan", action="store_true", help="say how long it will take, and start nothing"
    )
    add_session_arguments(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
