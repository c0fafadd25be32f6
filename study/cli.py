"""Flags that the commands of the platform share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from refinevad import cli
from refinevad.cli import positive
from study.backend import BACKENDS


def add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """How and where a session runs trials: nothing here changes a result, but ``--set``."""
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
        help="what runs the trials: ray, or serial: one after another in this process, without "
        "Ray; the results are the same (default: ray)",
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
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="ledgers (default: runs)"
    )
    cli.add_stores_argument(parser)


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """``--study`` and ``--runs``: read with :func:`study_folder`."""
    parser.add_argument(
        "--study", required=True, metavar="NAME", help="the study's name, or its folder"
    )
    add_runs_argument(parser)


def add_runs_argument(parser: argparse.ArgumentParser) -> None:
    """``--runs``: where studies lie."""
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
    """``--tracking-uri`` of what is added to a study that MLflow shows already."""
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or database that shows the study, or none (default: "
        "$MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)",
    )


def add_bootstraps_argument(parser: argparse.ArgumentParser) -> None:
    """``--bootstraps``: of an answer's intervals."""
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
        raise argparse.ArgumentTypeError(f"{text}: fewer than 20 make no interval")
    return number
