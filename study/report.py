"""``python -m study.report --study NAME``: one HTML page with a study's results and methods.

Reads the ledger, takes no lock and changes no trial, so that it may run beside the study.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from refinevad import cli
from study.cli import (
    add_bootstraps_argument,
    add_study_arguments,
    add_tracking_argument,
    study_folder,
)

if TYPE_CHECKING:
    from rich.console import Console

    from study.ledger.study import StudyView
    from study.reporting.card import Card


def main(argv: list[str]) -> int:
    """Writes the page, also for a study without a result."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from refinevad.files import or_stop, write_whole
    from study.analysis.confirmation import said_of
    from study.analysis.importance import Unanswerable
    from study.ledger.study import read_study
    from study.reporting import overview
    from study.reporting.card import Card, read_cards
    from study.reporting.page import render
    from study.reporting.pareto import pareto_card
    from study.reporting.variants import variants_card
    from study.tracking import tracking_address

    uri = None if args.tracking_uri == "none" else tracking_address(args.tracking_uri)
    console = Console()
    view = read_study(study_folder(args))
    lead = [overview.lead(view)]
    if confirmed := said_of(view.folder):
        lead.append(confirmed)
    cards: list[Card | None]
    own = read_cards(view.folder, view.meta.fingerprint)
    if view.file.variants:
        compared = own or [variants_card(view)]
        lead.append(compared[0].finding)
        cards = [*compared, overview.best_card(view), overview.test_card(view)]
    else:
        try:
            sentence, importances = _importances(console, view, args.bootstraps)
            lead.append(sentence)
        except Unanswerable as error:
            text = str(error)
            importances = [Card("Which hyperparameters matter", f"{text[:1].upper()}{text[1:]}.")]
        cards = [
            overview.best_card(view),
            overview.test_card(view),
            pareto_card(view),
            overview.history_card(view),
            *importances,
            overview.parallel_card(view),
        ]
    cards += [overview.curves_card(view), overview.failures_card(view)]
    for folder in sorted(view.folder.parent.glob("*")):  # what else is known of these data
        if folder.resolve() != view.folder.resolve():
            cards += read_cards(folder, view.meta.fingerprint)
    page = render(
        f"Study {view.name}",
        lead,
        overview.facts(view),
        [card for card in cards if card is not None],
        warning=view.synthetic,
        source=view.file.to_yaml(),
    )
    path = args.out or view.folder / "report.html"
    with or_stop(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page.encode())
    _say(console, f"{view.name}: {' '.join(lead[:2] if view.file.variants else lead[:1])}")
    _say(console, f"written: {path} ({len(page.encode()) / 1e6:.1f} MB; open it in a browser)")
    if uri is not None and args.out is None:
        _show(console, view, uri)
    return 0


def _importances(console: Console, view: StudyView, bootstraps: int) -> tuple[str, list[Card]]:
    from study.analysis import sentences
    from study.reporting.importance import importance_cards, with_progress

    found = with_progress(console, view, bootstraps)
    sentence = (
        f"{sentences.finding(found)} {sentences.best_tenth(found) if found.fit.trustworthy else ''}"
    )
    return sentence.strip(), importance_cards(view, found)


def _show(console: Console, view: StudyView, uri: str) -> None:
    from study.analysis.test_videos import read_test_videos
    from study.ledger.records import digest
    from study.tracking import TrackingUnavailable, redact, show_analysis

    try:
        on_test = read_test_videos(view.folder, digest(view.records))
        if show_analysis(view, uri, on_test.numbers() if on_test else {}):
            _say(console, f"added to the study's run in MLflow ({redact(uri)})")
    except TrackingUnavailable as error:
        print(f"MLflow cannot be reached at {redact(uri)}: {error}", file=sys.stderr)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.report"),
        description="Writes one self-contained HTML page: the results of a study, which "
        "hyperparameters matter, and how the study was run. Works for running and failed studies.",
    )
    add_study_arguments(parser)
    add_bootstraps_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="file of the page (default: report.html in the study's folder)",
    )
    add_tracking_argument(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
