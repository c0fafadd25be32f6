"""Flags that the commands of the platform share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from refinevad import cli
from refinevad.cli import positive
from study.backend import BACKENDS


def add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a session. Of these, only ``--set`` changes a result."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the file, e.g. --set study.name=xd2 (repeatable)",
    )
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="trials at once (default: one per core)"
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="ray",
        help="backend that runs the trials: ray; or serial, one after another in this process "
        "without Ray. The results are the same (default: ray)",
    )
    parser.add_argument(
        "--address", metavar="ADDRESS", help="join this Ray cluster instead of starting Ray here"
    )
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or database, or none (default: $MLFLOW_TRACKING_URI, else "
        "sqlite:///mlflow.db, which a bare `mlflow ui` shows)",
    )
    parser.add_argument(
        "--no-baselines",
        action="store_false",
        dest="baselines",
        help="leave out the baselines that are computed when the study ends (docs/tables.md)",
    )
    add_runs_argument(parser)
    cli.add_stores_argument(parser)


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--study`` and ``--runs``, which :func:`study_folder` reads."""
    parser.add_argument(
        "--study", required=True, metavar="NAME", help="the study's name, or its folder"
    )
    add_runs_argument(parser)


def add_runs_argument(parser: argparse.ArgumentParser) -> None:
    """Adds ``--runs``, the folder of all studies."""
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="folder of all studies (default: runs)",
    )


def study_folder(args: argparse.Namespace) -> Path:
    """The folder that ``--study`` names; it need not exist."""
    return study_named(args.study, args.runs)


def study_named(name: str, runs: Path) -> Path:
    """The folder of a study given by its name or its folder; it need not exist."""
    folder = runs / name
    if not folder.is_dir() and Path(name).is_dir():
        return Path(name)
    return folder


def add_tracking_argument(parser: argparse.ArgumentParser) -> None:
    """Adds ``--tracking-uri`` for commands that add to a study MLflow already shows."""
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or database that shows the study, or none (default: "
        "$MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)",
    )


def add_bootstraps_argument(parser: argparse.ArgumentParser) -> None:
    """Adds ``--bootstraps``, the number of resamplings behind an interval."""
    parser.add_argument(
        "--bootstraps",
        type=_at_least_20,
        default=200,
        metavar="B",
        help="resamplings of the trials behind every interval (default: 200)",
    )


def finite_number(text: str) -> float:
    """A number, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number


def _at_least_20(text: str) -> int:
    number = positive(text)
    if number < 20:
        raise argparse.ArgumentTypeError(f"{text}: an interval needs at least 20 resamplings")
    return number
