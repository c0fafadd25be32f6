"""``python -m study.schema``: the JSON schema of a study file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from refinevad import cli
from refinevad.files import or_stop, write_whole


def main(argv: list[str]) -> None:
    """Prints the schema, or writes it."""
    args = parser().parse_args(argv)
    from study.config.schema import study_schema

    text = json.dumps(study_schema(), indent=2) + "\n"
    if args.out is None:
        print(text, end="")
        return
    with or_stop(args.out):
        write_whole(args.out, text.encode())
    print(f"written: {args.out}")
    print(f"A study file says in its first line: # yaml-language-server: $schema={args.out}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.schema"),
        description="Prints the JSON schema of a study file: an editor then completes and checks "
        "its keys.",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it here instead")
    return parser


if __name__ == "__main__":
    cli.run(main)
