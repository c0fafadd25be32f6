"""Studies one after another, for the commands that need several."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from study.progress.screen import plain
from study.session.variants import searched_at_default

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.data import Store
    from study.config.study_file import StudyFile


def run_study(
    console: Console, args: argparse.Namespace, command: list[str], file: StudyFile, store: Store
) -> bool:
    """Runs a study, or what is left of it.

    Args:
        console: Where it is told.
        args: With the flags of :func:`study.folders.add_session_arguments`.
        command: Of the user, to be given again.
        file: The study.
        store: Its data.

    Returns:
        False: It was interrupted, and the user was told how to go on.
    """
    from study.session.session import Place, run_session
    from study.tracking import tracking_address

    uri = None if args.tracking_uri == "none" else tracking_address(args.tracking_uri)
    place = Place(args.runs / file.study.name, uri, args.workers, args.address)
    try:
        interrupted = run_session(file, store, place, console).interrupted
    except KeyboardInterrupt:  # before Ray had started
        interrupted = True
    if interrupted:
        text = "interrupted; nothing is lost, the same command goes on:"
        say(console, f"\n{text}\n  {shlex.join(command)}")
    return not interrupted


def say_defaults(console: Console, path: Path, file: StudyFile) -> None:
    """Names what a study file searches and what has a value here that nobody chose."""
    if values := searched_at_default(path, file):
        text = f"{path} searches what is fixed here: {plain(values)}"
        say(console, f"{text} (--from-study NAME takes a best trial's, --set others)")


def say(console: Console, text: str) -> None:
    """Prints a line as it is."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
