"""``python -m study.paper TABLE… --space FILE``: the paper's tables and figures, from our own runs.

Tables that compare variants are comparison studies like any other, all variants with the same
seeds. The same command resumes: finished trials are not run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from refinevad import cli
from refinevad.cli import positive
from refinevad.errors import InputError
from study.cli import add_session_arguments, study_named

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.data import Store
    from study.config.study_file import StudyFile
    from study.ledger.study import StudyView
    from study.reporting.card import Card

TABLES = {
    "ablation": "Table 3: base, + MoTAR, + category injection, + soft classification",
    "injection": "Table 6: strategies of injecting the prototype into the segments",
    "temporal": "not in the paper: MoTAR, MTN, LGT-Adapter or none in RefineVAD",
    "classifier": "Table 5: recognition of the videos' categories",
    "detection": "Table 2: mAP@IoU of categories localised in time",
    "complexity": "Table 8: parameters, FLOPs, latency and memory of the temporal modules",
    "tsne": "Figure 4: the category logits",
    "curves": "Figures 5, 7, 8: scores of single videos over the ground truth",
    "bars": "Figure 6: category probabilities of single videos",
}
_OF_MODELS = {"classifier", "detection", "tsne", "curves", "bars"}
"""Tables and figures that are made from the models of the ablation."""


def main(argv: list[str]) -> int:
    """Returns 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from refinevad.data import prepare
    from refinevad.models.refinevad.config import RefineVADConfig
    from study.config.load import load_study
    from study.ledger.study import read_study
    from study.progress.output import Output
    from study.session.variants import run_study, say_defaults

    console = Console(file=cast(TextIO, Output(sys.stdout)))
    wanted = [table for table in TABLES if table in args.tables or "all" in args.tables]
    space = load_study(args.space)
    model = space.model
    if not isinstance(model, RefineVADConfig):
        raise InputError(
            f"{args.space}: model.name is {model.name}; these are the tables of RefineVAD's paper. "
            "Compare detectors with `variants:` (docs/models.md)"
        )
    files = _files(args, wanted)
    store = prepare(space.data, args.stores)
    for file in files.values():
        file.check_against(store.widths, args.space)
    if files and not args.from_study:
        say_defaults(console, args.space, next(iter(files.values())))
    studies: dict[str, StudyView] = {}
    for table, file in files.items():
        if not run_study(console, args, ["python", "-m", "study.paper", *argv], file, store):
            return cli.INTERRUPTED
        studies[table] = read_study(args.runs / file.study.name)
    _conclude(console, args.runs / _name(args), wanted, studies, store)
    return 0


def _name(args: argparse.Namespace) -> str:
    return args.name or f"paper_{args.space.stem}"


def _files(args: argparse.Namespace, wanted: list[str]) -> dict[str, StudyFile]:
    """The comparison studies that the tables need."""
    from study.ledger.study import read_study
    from study.session.variants import comparison_study
    from study.tables.ablations import COMPARISONS

    like = read_study(study_named(args.from_study, args.runs)) if args.from_study else None
    needed = [table for table in COMPARISONS if table in wanted]
    if _OF_MODELS & set(wanted) and "ablation" not in needed:
        needed.insert(0, "ablation")
    return {
        table: comparison_study(
            args.space,
            args.set,
            name=f"{_name(args)}_{table}",
            variants=COMPARISONS[table].variants,
            seeds=args.seeds,
            like=like,
        )
        for table in needed
    }


def _conclude(
    console: Console,
    folder: Path,
    wanted: list[str],
    studies: Mapping[str, StudyView],
    store: Store,
) -> None:
    """Makes, prints and saves the cards, and writes them as a page."""
    from refinevad.cli import SYNTHETIC
    from refinevad.files import or_stop, write_whole
    from study.reporting.card import write_card
    from study.reporting.page import render
    from study.reporting.terminal import print_card
    from study.text import say

    cards: dict[str, Card] = {}
    for position, table in enumerate(TABLES):
        if table in wanted:
            for part, card in enumerate(_cards(table, studies, store)):
                cards[f"{position}{part}_{table}"] = card
                print_card(console, card)
    page = render(  # before `write_card` puts captions into the pictures
        f"Tables and figures: {folder.name}",
        ["All numbers come from the runs named here, on one data set."],
        {"data": f"{store.header.name}, fingerprint {store.fingerprint[:16]}…"}
        | {table: _obtained(view) for table, view in studies.items()},
        list(cards.values()),
        warning=SYNTHETIC if store.synthetic else "",
    )
    with or_stop(folder):
        for name, card in cards.items():
            write_card(card, folder / "cards" / name, fingerprint=store.fingerprint)
        write_whole(folder / "paper.html", page.encode())
    say(console, f"\nwritten: {folder / 'paper.html'}, {folder / 'cards'}/ (tables, pictures)")


def _obtained(view: StudyView) -> str:
    from refinevad.models.refinevad.config import RefineVADConfig
    from study.ledger.provenance import hardware_kinds, hardware_text
    from study.ledger.records import digest

    file = view.file
    width = f"D = {file.model.d_model}, " if isinstance(file.model, RefineVADConfig) else ""
    hardware = "; ".join(hardware_text(kind) for kind in hardware_kinds(view.ended))
    return (
        f"study {view.name}: {len(file.variants)} variants, {file.seeds} seeds each; {width}"
        f"{file.train.epochs} epochs, lr {file.train.lr:.3g}; {hardware}; "
        f"digest {digest(view.records)[:16]}…; python -m study.verify --study {view.name}"
    )


def _cards(table: str, studies: Mapping[str, StudyView], store: Store) -> list[Card]:
    from study.tables.ablations import COMPARISONS

    if table in COMPARISONS:
        return [COMPARISONS[table].card(studies[table])]
    if table == "complexity":
        from study.tables.complexity import complexity_card

        return [complexity_card()]
    from study.tables.models import model_cards

    return model_cards(table, studies["ablation"], store)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.paper"),
        description="Makes the paper's tables and figures from runs on your data, with intervals "
        "over seeds. Run the same command again to resume.",
        epilog="tables:\n" + "\n".join(f"  {name:11} {text}" for name, text in TABLES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "tables",
        nargs="+",
        choices=[*TABLES, "all"],
        metavar="TABLE",
        help="one or more of the tables below, or all",
    )
    parser.add_argument(
        "--space",
        type=Path,
        required=True,
        metavar="FILE",
        help="study file of the data (its search is not run)",
    )
    parser.add_argument(
        "--seeds", type=positive, default=3, metavar="N", help="seeds per variant (default: 3)"
    )
    parser.add_argument(
        "--from-study", metavar="NAME", help="take model and train from a study's best trial"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the folder in runs/ (default: paper_FILE)"
    )
    add_session_arguments(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
