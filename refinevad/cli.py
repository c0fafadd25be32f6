"""What every command line shares: exit codes, and the flags that name a configuration."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from refinevad.errors import InputError, Stopped

BAD_INPUT = 2
INTERRUPTED = 130


def run(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 success, 2 bad input (one line), 130 Ctrl-C, 1 failure."""
    try:
        status = main(sys.argv[1:] if argv is None else argv) or 0
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        status = BAD_INPUT
    except Stopped as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = INTERRUPTED
    except BrokenPipeError:  # `… | head`: the reader has seen enough
        sys.stderr.close()
        status = 0
    except Exception:
        traceback.print_exc()
        status = 1
    sys.exit(status)


def printable(text: str) -> str:
    """A message may quote a name out of somebody's file: without what would steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """``--config``, ``--set`` and ``--stores``: read with ``studyfile.load_config``."""
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="study file; its data, model and train sections are read",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one key, e.g. --set epochs=10 or --set data.segments=64 (repeatable)",
    )
    add_stores_argument(parser)


def add_stores_argument(parser: argparse.ArgumentParser) -> None:
    """``--stores``: where packed features live."""
    parser.add_argument(
        "--stores",
        type=Path,
        default=Path("stores"),
        metavar="DIR",
        help="folder of packed features, made on first use (default: stores)",
    )
