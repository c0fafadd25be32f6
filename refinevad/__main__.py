"""``refinevad COMMAND`` and ``python -m refinevad COMMAND``."""

from __future__ import annotations

import sys
from typing import NoReturn

from refinevad import cli

COMMANDS = {
    "prepare": "checks a data set and packs it",
    "train": "trains a detector once: checkpoint, metrics, curves",
    "evaluate": "scores the test videos of a data set with a checkpoint",
    "score": "scores one video: a CSV and a picture",
}


def main() -> NoReturn:
    """Runs a command of this package."""
    cli.run(lambda argv: cli.umbrella("refinevad", "refinevad", COMMANDS, argv), sys.argv[1:])


if __name__ == "__main__":
    main()
