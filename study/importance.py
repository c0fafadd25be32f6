"""``python -m study.importance --study NAME``: importances of hyperparameters, with intervals.

Reads the ledger, takes no lock and changes no trial, so that it may run beside the study.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from refinevad import cli
from refinevad.errors import InputError
from study.cli import (
    add_bootstraps_argument,
    add_runs_argument,
    add_tracking_argument,
    finite_number,
    study_folder,
    study_named,
)

if TYPE_CHECKING:
    from rich.console import Console

    from study.analysis.importance import Importance
    from study.ledger.study import StudyView


def main(argv: list[str]) -> int:
    """Returns 1 where importances cannot be computed."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from study.tracking import tracking_address

    uri = None if args.tracking_uri == "none" else tracking_address(args.tracking_uri)
    console = Console()
    if args.studies:
        if args.floor is not None:
            raise InputError("--floor needs --study: two studies have different scales")
        return _compare(console, args)
    if args.study is None:
        raise InputError("give --study NAME, or --studies A B to compare two")
    from refinevad.files import or_stop
    from study.ledger.study import read_study
    from study.reporting.importance import print_importance, with_progress, write_importance

    view = read_study(study_folder(args))
    if view.file.variants:
        raise InputError(
            f"{view.name} is a comparison study and searches nothing; its report is "
            f"python -m study.report --study {view.folder}"
        )
    folder = view.folder / "importance"
    if args.floor is not None:
        view = view.floored(args.floor)
        folder = folder.with_name(f"importance_floor_{args.floor:g}")
    found = with_progress(console, view, args.bootstraps)
    print_importance(console, view, found)
    out = args.out or folder
    with or_stop(out):
        written = write_importance(view, found, out)
    _say(console, "")
    _say(console, f"written: {out}/ ({', '.join(path.name for path in written)})")
    if uri is not None and args.out is None and args.floor is None:
        _show(console, view, found, uri)
    return 0


def _compare(console: Console, args: argparse.Namespace) -> int:
    from study.analysis.agreement import compare
    from study.ledger.study import read_study
    from study.reporting.agreement import print_comparison

    one, other = (read_study(study_named(name, args.runs)) for name in args.studies)
    from study.reporting.importance import with_progress

    answers = [with_progress(console, view, args.bootstraps) for view in (one, other)]
    print_comparison(console, compare((one, other), (answers[0], answers[1])))
    return 0


def _show(console: Console, view: StudyView, found: Importance, uri: str) -> None:
    """Adds the importances to the study's run in MLflow, if there is one."""
    from study.tracking import TrackingUnavailable, redact, show_analysis

    numbers = {f"importance/{p.name}": p.shares["permutation"].value for p in found.parameters}
    try:
        shown = show_analysis(view, uri, numbers | {"importance_r2": found.fit.r2.value})
    except TrackingUnavailable as error:
        shown = False
        print(f"MLflow cannot be reached at {redact(uri)}: {error}", file=sys.stderr)
    if shown:
        _say(console, f"logged to the study's run in MLflow ({redact(uri)})")
    else:
        text = f"not logged: MLflow ({redact(uri)}) does not show this study"
        _say(console, f"{text}. To publish it: python -m study.publish --study {view.folder}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.importance"),
        description="Computes importances of hyperparameters with 95% intervals, compares them "
        "with a random probe, and checks that the surrogate model fits. Writes tables and pictures "
        "to the study's folder and to MLflow. May run beside the study.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--study", metavar="NAME", help="the study's name, or its folder")
    what.add_argument(
        "--studies",
        nargs=2,
        metavar=("A", "B"),
        help="compare two studies: the agreement of their rankings, and the loss of objective when "
        "the best configuration of one is used on the other",
    )
    add_runs_argument(parser)
    parser.add_argument(
        "--floor",
        type=finite_number,
        metavar="VALUE",
        help="count objectives below VALUE as VALUE, to see what matters among better trials "
        "(written to importance_floor_VALUE/, not to MLflow)",
    )
    add_bootstraps_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of tables and pictures (default: importance/ in the study's folder)",
    )
    add_tracking_argument(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
