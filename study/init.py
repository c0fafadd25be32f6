"""``python -m study.init NAME``: writes a study file to start from."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

import study
from refinevad import cli
from refinevad.errors import InputError
from refinevad.files import write_whole

SCHEMA = "study.schema.json"
LEARNING_RATES = {"log_uniform": [1e-5, 1e-2]}
"""Learning rates of a detector that no shipped file has been narrowed for."""


def main(argv: list[str]) -> None:
    """Writes the file, and says what to do with it."""
    args = parser().parse_args(argv)
    templates = study_files()
    default = args.name if args.model is None else f"{args.name}_{args.model}"
    path: Path = args.out or Path(f"{default}.yaml")
    if path.exists() and not args.force:
        raise InputError(f"{path} exists; give another name with --out, or --force to replace it")
    text = templates[args.name]
    if args.model is not None:
        text = of_detector(text, args.model, args.name)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise InputError(f"--out {path}: {error}") from None
    print(f"written: {path}")
    if args.name == "own":
        print("next: put your paths into it, then")
    elif missing := sorted(set(re.findall(r"\$\{(\w+)\}", text)) - os.environ.keys()):
        print(f"next: set {', '.join(missing)} (the head of the file says to what), then")
    else:
        print("next:")
    command = shlex.join(["python", "-m", "study.run", "--space", str(path)])
    print(f"  {command} --dry-run   # checks everything, starts nothing")
    print(f"  {command}")


def of_detector(text: str, detector: str, name: str) -> str:
    """A study file that searches another detector: its knobs take the place of RefineVAD's.

    Args:
        text: A study file with a space, whose comments stay.
        detector: Name of the detector.
        name: Of the study file, for errors.

    Raises:
        InputError: There is no such detector, or the file has no space.
    """
    from refinevad.models.registry import CONFIGS

    if detector not in CONFIGS:
        raise InputError(
            f"--model {detector}: there is no such detector; known: {', '.join(CONFIGS)}"
        )
    before, found, after = text.partition("\nspace:\n")
    model = re.search(r"^model:.*\n(?:[ #].*\n)*", before, re.MULTILINE)
    if not found or model is None:
        raise InputError(f"--model {detector}: {name}.yaml searches nothing; take another file")
    config = CONFIGS[detector]
    lines = [f"  {knob}: {_ranged(dimension)}" for knob, dimension in config.space.items()]
    if not config.fitted:
        lines.append(f"  lr: {_ranged(LEARNING_RATES)}")
        lines += [line for line in after.splitlines() if line.split(":")[0].strip() == "epochs"]
    section = f"model: {{name: {detector}}}  # every knob: python -m refinevad.train --help\n"
    own = before[: model.start()] + section + before[model.end() :]
    own = re.sub(rf"(study: \{{name: ){re.escape(name)}\b", rf"\g<1>{name}_{detector}", own)
    return f"{own}{found}" + "\n".join(lines) + "\n"


def _ranged(dimension: Mapping[str, Any]) -> str:
    """``{log_uniform: [1.0e-05, 0.01]}``: YAML reads numbers without a point as text."""
    return yaml.safe_dump(dict(dimension), default_flow_style=True, width=1000).strip()


def study_files() -> dict[str, str]:
    """Name -> text of the study files that come with the package."""
    folder = files(study) / "search_spaces"
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    texts = {entry.name.removesuffix(".yaml"): entry.read_text("utf-8") for entry in found}
    return dict(sorted(texts.items()))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.init"),
        description="Writes a study file to start from: of the paper's data sets, of the embedded "
        "synthetic data (demo), or of data of your own (own).",
    )
    parser.add_argument("name", choices=list(study_files()), metavar="NAME", help="%(choices)s")
    parser.add_argument(
        "--model",
        metavar="DETECTOR",
        help="search this detector instead of RefineVAD, over its usual ranges (docs/models.md)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.yaml, here")
    parser.add_argument("--force", action="store_true", help="replace the file where it exists")
    return parser


if __name__ == "__main__":
    cli.run(main)
