"""``python -m study.report --study NAME``: one HTML page that says what a study found, and how.

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

    from study.ledger.study import Studied
    from study.reporting.card import Card


def main(argv: list[str]) -> int:
    """Writes the page; a study without a result has one as well."""
    args = _parser().parse_args(argv)
    from rich.console import Console

    from refinevad.cli import SYNTHETIC
    from refinevad.files import or_stop, write_whole
    from study.analysis.importance import Unanswerable
    from study.ledger.study import read_study
    from study.reporting import overview
    from study.reporting.card import Card, read_cards
    from study.reporting.page import render
    from study.reporting.variants import arms_card
    from study.tracking import tracking_address

    uri = None if args.tracking_uri == "none" else tracking_address(args.tracking_uri)
    console = Console()
    studied = read_study(study_folder(args))
    lead = [overview.lead(studied)]
    cards: list[Card | None]
    own = read_cards(studied.folder, studied.meta.fingerprint)
    if studied.file.arms:
        compared = own or [arms_card(studied)]
        lead.append(compared[0].finding)
        cards = [*compared, overview.best_card(studied), overview.test_card(studied)]
    else:
        try:
            sentence, importances = _importances(console, studied, args.bootstraps)
            lead.append(sentence)
        except Unanswerable as error:
            text = str(error)
            importances = [Card("Which hyperparameters matter", f"{text[:1].upper()}{text[1:]}.")]
        cards = [
            overview.best_card(studied),
            overview.test_card(studied),
            overview.history_card(studied),
            *importances,
            overview.parallel_card(studied),
        ]
    cards += [overview.curves_card(studied), overview.failures_card(studied)]
    for folder in sorted(studied.folder.parent.glob("*")):  # what else is known of these data
        if folder.resolve() != studied.folder.resolve():
            cards += read_cards(folder, studied.meta.fingerprint)
    page = render(
        f"Study {studied.name}",
        lead,
        overview.facts(studied),
        [card for card in cards if card is not None],
        warning=SYNTHETIC if studied.file.data.synthetic is not None else "",
        source=studied.file.to_yaml(),
    )
    path = args.out or studied.folder / "report.html"
    with or_stop(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page.encode())
    _say(console, f"{studied.name}: {lead[0]}")
    _say(console, f"written: {path} ({len(page.encode()) / 1e6:.1f} MB; open it in a browser)")
    if uri is not None and args.out is None:
        _show(console, studied, uri)
    return 0


def _importances(console: Console, studied: Studied, bootstraps: int) -> tuple[str, list[Card]]:
    from study.analysis import sentences
    from study.reporting.importance import importance_cards, with_progress

    found = with_progress(console, studied, bootstraps)
    sentence = (
        f"{sentences.finding(found)} {sentences.best_tenth(found) if found.gate.open else ''}"
    )
    return sentence.strip(), importance_cards(studied, found)


def _show(console: Console, studied: Studied, uri: str) -> None:
    from study.tracking import TrackingUnavailable, redact, show_analysis

    try:
        if show_analysis(studied, uri, {}):
            _say(console, f"added to the study's run in MLflow ({redact(uri)})")
    except TrackingUnavailable as error:
        print(f"MLflow cannot be reached at {redact(uri)}: {error}", file=sys.stderr)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m study.report",
        description="Writes one self-contained HTML page: what the study found, which "
        "hyperparameters matter, how it was obtained. Works for a running or a failed study too.",
    )
    add_study_arguments(parser)
    add_bootstraps_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the page goes (default: report.html in the study's folder)",
    )
    add_tracking_argument(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
