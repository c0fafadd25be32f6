"""The common parts of all command lines: exit codes, flags, tables.

Nothing here imports torch, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from refinevad import __version__
from refinevad.config.training import Runtime
from refinevad.errors import InputError, Stopped, nearest

BAD_INPUT = 2
INTERRUPTED = 130


def run(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 success, 2 bad input (one line), 130 Ctrl-C, 1 failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a category may be 火灾, and a terminal ASCII
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main(sys.argv[1:] if argv is None else argv) or 0
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        status = BAD_INPUT
    except Stopped as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        status = 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "refinevad", "study"):
            raise
        print(
            f"error: the package {package} is not installed; "
            "pip install 'refinevad-study[study]' installs what the platform needs",
            file=sys.stderr,
        )
        status = BAD_INPUT
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


_umbrella: str | None = None
"""The console command that runs a module of its package, such as ``refinevad-study``."""


def program(module: str) -> str:
    """How the user called a command: ``python -m study.run`` or ``refinevad-study run``."""
    if _umbrella is None:
        return f"python -m {module}"
    return f"{_umbrella} {module.rpartition('.')[2]}"


def umbrella(name: str, package: str, commands: Mapping[str, str], argv: list[str]) -> int | None:
    """Runs one of a package's commands by its name, or lists them.

    Args:
        name: Of the console command.
        package: Whose modules the commands are.
        commands: Module -> what it does, in a line.
        argv: Words after the console command.
    """
    global _umbrella
    called = name if Path(sys.argv[0]).stem == name else f"python -m {package}"
    width = max(map(len, commands))
    listed = "\n".join(f"  {command:{width}}  {text}" for command, text in commands.items())
    parser = argparse.ArgumentParser(
        prog=called,
        usage=f"{called} COMMAND … (each has --help)",
        description=f"commands:\n{listed}",
        epilog="All knobs of a study file, their defaults and reasons: refinevad train --help; "
        "for an editor: refinevad-study schema",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--completion",
        choices=["bash", "zsh", "tcsh"],
        help="print the shell's completion script, to be sourced or put where the shell looks",
    )
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    _umbrella = called if called == name else None
    if args.completion:
        print(_completion(name, package, commands, args.completion))
        return 0
    if args.command is None:
        parser.print_help()
        return 0
    if args.command not in commands:
        raise InputError(f"no command {args.command!r}{nearest(args.command, commands)}")
    status: int | None = import_module(f"{package}.{args.command}").main(args.rest)
    return status


def _completion(name: str, package: str, commands: Mapping[str, str], shell: str) -> str:
    import shtab

    whole = argparse.ArgumentParser(prog=name)
    whole.add_argument("--version", action="store_true", help="print the version")
    parts = whole.add_subparsers()
    for command, text in commands.items():
        own = import_module(f"{package}.{command}").parser()
        parts.add_parser(command, parents=[own], add_help=False, help=text, description=text)
    script: str = shtab.complete(whole, shell=shell)
    return script


def printable(text: str) -> str:
    """The text without control characters, which a name quoted from a file may contain."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--config``, ``--set`` and ``--stores``, which ``run_config.load_config`` reads."""
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
    """Adds ``--stores``, the folder of packed features."""
    parser.add_argument(
        "--stores",
        type=Path,
        default=Path("stores"),
        metavar="DIR",
        help="folder of packed features, made on first use (default: stores)",
    )


METRIC_NAMES = {
    "val/ap": "validation AP of videos",
    "val/auc": "validation AUC of videos",
    "val/seg_auc": "validation AUC of top segments",
    "val/brier": "validation 1 - Brier score",
    "test/auc": "test AUC of frames",
    "test/ano_auc": "test AUC, abnormal videos only",
    "test/ap": "test AP of frames",
    "test/pr_auc_trapz": "test PR AUC, trapezoid",
    "test/video_auc": "test AUC inside videos, mean",
}
"""Metric -> title, in the order of tables."""


SHORT_NAMES = {"test/auc": "test AUC", "test/ano_auc": "AnoAUC", "test/ap": "test AP"}
"""Metric -> title, where a table has many columns."""


FLOOR_OF = {"test/auc": "floor/auc", "test/ap": "floor/ap"}
"""Metric -> the same metric of the video-label baseline."""


SYNTHETIC = "SYNTHETIC DATA: generated, not real videos"


def add_runtime_arguments(parser: argparse.ArgumentParser, *, precision: bool) -> None:
    """Adds ``--device``, ``--threads`` and, for commands that train, ``--precision``."""
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="auto: a GPU where there is one (default: auto)",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        default=1,
        metavar="N",
        help="CPU threads; more are faster and change the last bits of a result (default: 1)",
    )
    if precision:
        parser.add_argument(
            "--precision",
            choices=["auto", "fp32", "bf16"],
            default="auto",
            help="auto: bfloat16 in training where the device computes in it (default: auto)",
        )


def runtime_of(args: argparse.Namespace) -> Runtime:
    """The runtime that the flags describe."""
    precision: Any = getattr(args, "precision", "fp32")
    return Runtime(device=args.device, threads=args.threads, precision=precision)


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def make_folder(path: Path) -> Path:
    """Makes an output folder; an error is raised before the work begins."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {path}: cannot make this folder ({error.strerror})") from None
    return path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under a header: the first flush left, the others flush right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(text)


def number(value: float | None) -> str:
    """Four decimals; a dash where there is no value or it is undefined."""
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def to_json(facts: dict[str, Any]) -> str:
    """Indented JSON. It has no NaN: an undefined metric is null."""
    return json.dumps(_finite(facts), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON has no NaN: an undefined metric is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
