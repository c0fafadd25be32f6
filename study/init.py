"""``python -m study.init NAME``: writes a study file to start from."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from importlib.resources import files
from pathlib import Path

import study
from refinevad import cli
from refinevad.errors import InputError
from refinevad.files import write_whole

SCHEMA = "study.schema.json"


def main(argv: list[str]) -> None:
    """Writes the file, and says what to do with it."""
    args = parser().parse_args(argv)
    templates = study_files()
    path: Path = args.out or Path(f"{args.name}.yaml")
    if path.exists() and not args.force:
        raise InputError(f"{path} exists; give another name with --out, or --force to replace it")
    try:
        write_whole(path, templates[args.name].encode())
    except OSError as error:
        raise InputError(f"--out {path}: {error}") from None
    print(f"written: {path}")
    if args.name == "own":
        print("next: put your paths into it, then")
    elif missing := sorted(
        set(re.findall(r"\$\{(\w+)\}", templates[args.name])) - os.environ.keys()
    ):
        print(f"next: set {', '.join(missing)} (the head of the file says to what), then")
    else:
        print("next:")
    command = shlex.join(["python", "-m", "study.run", "--space", str(path)])
    print(f"  {command} --dry-run   # checks everything, starts nothing")
    print(f"  {command}")


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
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.yaml, here")
    parser.add_argument("--force", action="store_true", help="replace the file where it exists")
    return parser


if __name__ == "__main__":
    cli.run(main)
