"""``python -m study.confirm --study NAME``: trains a search's best configurations again.

Each is trained with several seeds on splits that nothing was selected on, as a comparison study
with a ledger, workers and verification of its own (``NAME_confirm``). The same command resumes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from refinevad import cli
from refinevad.cli import positive
from refinevad.errors import InputError, Stopped
from study.cli import add_session_arguments, study_named

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.data import Store
    from study.ledger.records import TrialRecord
    from study.ledger.study import StudyView
    from study.space.dimension import Params


def main(argv: list[str]) -> int:
    """Returns 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from refinevad.data import prepare
    from study.analysis.confirmation import name_of
    from study.ledger.records import ranked
    from study.ledger.study import read_study
    from study.progress.output import Output
    from study.session.variants import comparison_study, run_study

    console = Console(file=cast(TextIO, Output(sys.stdout)))
    folder = study_named(args.study, args.runs)
    view = read_study(folder)
    if view.file.variants:
        raise InputError(f"{view.name} compares variants with several seeds already")
    chosen = _distinct(view, ranked(view.compared))[: args.top]
    if not chosen:
        raise InputError(f"{view.name}: no trial has a result yet; run the study first")
    objective = view.file.objective
    overrides = [f"data.split_seed={_new_splits(view)}"]
    if objective.split == "val":
        folds = max(args.splits, objective.folds)
        overrides += [f"objective.folds={folds}"]
    else:
        folds = 1
    file = comparison_study(
        folder / "study.yaml",
        [*overrides, *args.set],
        name=args.name or f"{view.name}_confirm",
        variants={name_of(r.number): _without_seed(view.file.active(r.params)) for r in chosen},
        seeds=args.seeds,
        own_seeds=True,
    )
    store = prepare(file.data, args.stores)
    if store.fingerprint != view.meta.fingerprint:
        raise InputError(
            f"{view.name} was run on other data (fingerprint {view.meta.fingerprint[:12]}, now "
            f"{store.fingerprint[:12]}); restore them"
        )
    command = ["python", "-m", "study.confirm", *argv]
    if not run_study(console, args, command, file, store):
        return cli.INTERRUPTED
    _conclude(console, args, view, chosen, args.runs / file.study.name, store, folds)
    return 0


def _distinct(view: StudyView, records: list[TrialRecord]) -> list[TrialRecord]:
    """The first trial of every configuration."""
    found: dict[str, TrialRecord] = {}
    for record in records:
        found.setdefault(repr(sorted(view.file.active(record.params).items())), record)
    return list(found.values())


def _without_seed(params: Params) -> Params:
    return {name: value for name, value in params.items() if name != "seed"}


def _new_splits(view: StudyView) -> int:
    """A seed of splits that the search did not have: fold i takes this seed + i."""
    return view.seed("confirmation")


def _conclude(
    console: Console,
    args: argparse.Namespace,
    view: StudyView,
    chosen: list[TrialRecord],
    folder: Path,
    store: Store,
    splits: int,
) -> None:
    from refinevad.files import or_stop
    from study.analysis.confirmation import (
        confirmation,
        name_of,
        sentences,
        write_confirmation,
    )
    from study.analysis.ensemble import ensemble_of
    from study.config.variants import VARIANT
    from study.ledger.study import read_study
    from study.reporting.card import write_card
    from study.reporting.confirmation import confirmation_card
    from study.reporting.terminal import print_card
    from study.text import plain, say
    from study.trials.checkpoints import checkpoint_path

    again = read_study(folder)
    searched = {record.number: record.objective or 0.0 for record in chosen}
    found = confirmation(view.name, searched, again.records, seeds=args.seeds, splits=splits)
    if not any(row.values for row in found.rows):
        raise Stopped(f"no trial of {again.name} has a result")
    ensemble = None
    if args.ensemble:
        name = name_of(found.trusted.trial)
        paths = [
            path
            for record in again.ended
            if record.params[VARIANT] == name
            and (path := checkpoint_path(folder / "checkpoints", record.number)).is_file()
        ]
        if len(paths) > 1:
            ensemble = ensemble_of(paths, store, length=again.file.data.test_length)
    card = confirmation_card(found, again, ensemble)
    print_card(console, card)
    winner = next(r for r in chosen if r.number == found.trusted.trial)
    say(console, f"\n{plain(view.file.active(winner.params))}")
    with or_stop(folder / "cards"):
        write_card(card, folder / "cards" / "1_confirmed", fingerprint=again.meta.fingerprint)
        write_confirmation(view.folder, found, sentences(found, again.objective))
    say(
        console,
        f"\nwritten: {folder / 'cards'}/ (table, picture), {view.folder / 'confirmed.json'}",
    )
    say(
        console,
        f"next:\n  python -m study.report --study {view.folder}   # one page, this card in it",
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.confirm"),
        description="Trains the best configurations of a search again, over seeds and validation "
        "splits that nothing was selected on; picks one by its mean, and says how much of the "
        "search's best number was luck. Run the same command again to resume.",
    )
    parser.add_argument(
        "--study", required=True, metavar="NAME", help="the search: its name, or its folder"
    )
    parser.add_argument(
        "--top", type=positive, default=5, metavar="K", help="configurations (default: 5)"
    )
    parser.add_argument(
        "--seeds", type=positive, default=5, metavar="N", help="seeds of each (default: 5)"
    )
    parser.add_argument(
        "--splits",
        type=positive,
        default=3,
        metavar="S",
        help="new splits that every seed is trained and judged on (default: 3, or as many folds as "
        "the search had)",
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="also score the test set with the mean of the chosen configuration's models",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the new study (default: NAME_confirm)"
    )
    add_session_arguments(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
