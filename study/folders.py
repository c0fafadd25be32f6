"""Flags of the commands that work on an existing study."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """``--study`` and ``--runs``: read with :func:`study_folder`."""
    parser.add_argument(
        "--study", required=True, metavar="NAME", help="the study's name, or its folder"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="folder of all studies (default: runs)",
    )


def study_folder(args: argparse.Namespace) -> Path:
    """The folder that ``--study`` names; it need not exist."""
    folder: Path = args.runs / args.study
    if not folder.is_dir() and Path(args.study).is_dir():
        return Path(args.study)
    return folder
