"""``refinevad-study COMMAND`` and ``python -m study COMMAND``."""

from __future__ import annotations

import sys
from typing import NoReturn

from refinevad import cli

COMMANDS = {
    "init": "writes a study file to start from",
    "run": "runs, resumes or extends a study",
    "list": "lists the studies of a folder",
    "report": "makes one HTML page of a study",
    "confirm": "trains a search's best configurations again, and says which to trust",
    "importance": "says which hyperparameters matter, and how sure that is",
    "verify": "verifies a study to the last bit",
    "publish": "shows a study in MLflow",
    "leaderboard": "makes a fair table of detectors",
    "transfer": "says what carries over to another data set",
    "paper": "makes the paper's tables and figures from your runs",
    "schema": "prints the JSON schema of a study file",
}


def main() -> NoReturn:
    """Runs a command of this package."""
    cli.run(lambda argv: cli.umbrella("refinevad-study", "study", COMMANDS, argv), sys.argv[1:])


if __name__ == "__main__":
    main()
