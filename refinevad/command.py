"""What the commands that train, evaluate and score share: flags, and plain tables.

Nothing here imports torch, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refinevad.config.data import Runtime
from refinevad.errors import InputError

METRIC_NAMES = {
    "val/ap": "validation AP of videos",
    "val/auc": "validation AUC of videos",
    "test/auc": "test AUC of frames",
    "test/ano_auc": "test AUC, abnormal videos only",
    "test/ap": "test AP of frames",
    "test/pr_auc_trapz": "test PR AUC, trapezoid",
    "test/video_auc": "test AUC inside videos, mean",
}
"""Titles, in the order in which tables show them."""
FLOOR_OF = {"test/auc": "floor/auc", "test/ap": "floor/ap"}
SYNTHETIC = "SYNTHETIC DATA: generated, not real videos"


def add_runtime_arguments(parser: argparse.ArgumentParser, *, precision: bool) -> None:
    """``--device``, ``--threads`` and, where something is trained, ``--precision``."""
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
    """Makes an output folder, or says why not before the work has begun."""
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
