"""``python -m study.publish``: publishes a study's ledger to MLflow, once or while it runs.

`study.run` starts it as a process of its own (`start_publisher`), so that a slow or missing MLflow
never delays a trial. The two share only a pipe. When it closes, because the study has ended or its
process has died, the publisher publishes the rest and exits.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from functools import partial

from refinevad import cli
from study.cli import add_study_arguments, study_folder
from study.tracking import DEFAULT_URI, TrackingUnavailable, redact, tracking_address
from study.tracking.process import (
    NICE,
    all_ended,
    exclusive,
    follow,
    log,
    parent_over,
    publish_once,
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.publish"),
        description="Publishes a study's ledger to MLflow: adds the trials that MLflow is missing. "
        "Safe to repeat and to interrupt.",
    )
    add_study_arguments(parser)
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help=f"MLflow database or server (default: $MLFLOW_TRACKING_URI, else {DEFAULT_URI})",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--rebuild",
        action="store_true",
        help="delete this study's runs from MLflow, then publish all of them again",
    )
    how.add_argument(
        "--follow",
        action="store_true",
        help="keep publishing until every planned trial has ended",
    )
    parser.add_argument(
        "--parent-pid",
        type=int,
        metavar="PID",
        help="with --follow: stop when this process has ended or has closed our standard input",
    )
    return parser


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    from study.ledger.reader import LedgerReader

    folder = study_folder(args)
    uri = tracking_address(args.tracking_uri)
    reader = LedgerReader(folder)
    if not args.follow:
        with exclusive(folder, wait=False):
            try:
                print(publish_once(reader, uri, rebuild=args.rebuild))
            except TrackingUnavailable as error:
                print(f"error: cannot publish to {redact(uri)}: {error}", file=sys.stderr)
                return 1
        return 0
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    over: Callable[[], bool] = partial(all_ended, reader)
    if args.parent_pid is not None:
        os.nice(NICE)
        over = parent_over(args.parent_pid)
    with exclusive(folder, wait=True):
        return 0 if follow(reader, uri, over) else 1


if __name__ == "__main__":
    cli.run(main)
