"""``python -m refinevad.prepare``: raw features to a packed store."""

from __future__ import annotations

import argparse

from refinevad import cli
from refinevad.data import Store, prepare
from refinevad.run_config import load_config


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("refinevad.prepare"),
        description="Checks a data set (lists, features, annotations) and packs it into one "
        "memory-mapped store. Does nothing when the store is up to date.",
    )
    cli.add_config_arguments(parser)
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read the whole store and compare it with its fingerprint",
    )
    return parser


def main(argv: list[str]) -> None:
    """Packs the data section of a study file, and describes the store."""
    args = parser().parse_args(argv)
    config = load_config(args.config, args.set)
    store = prepare(config.data, args.stores)
    if args.verify:
        store.verify()
    print(describe(store))


def describe(store: Store) -> str:
    """A few lines: videos, features, ground truth, fingerprint."""
    header, counts = store.header, store.header.counts
    widths = " + ".join(f"{width} {name}" for name, width in header.widths.items())
    frames, positive = counts["test_frames"], counts["test_positive_frames"]
    rows = [
        ("store", str(store.path)),
        (
            "training videos",
            f"{counts['train']} ({counts['train_abnormal']} abnormal), "
            f"crops: {header.crops['train']}, segments: {header.segments}",
        ),
        (
            "test videos",
            f"{counts['test']} ({counts['test_abnormal']} abnormal), crops: {header.crops['test']}",
        ),
        ("features", widths),
        ("categories", ", ".join(header.categories)),
        (
            "ground truth",
            f"{frames:,} frames, {positive:,} positive ({positive / frames:.1%}), "
            f"{counts['test_events']} events",
        ),
        ("fingerprint", header.fingerprint),
    ]
    if store.synthetic:
        rows.insert(0, ("SYNTHETIC DATA", f"generated ({header.synthetic}), not real videos"))
    rows += [("note", note) for note in header.notes]
    return "\n".join(f"{name:<16} {value}" for name, value in rows)


if __name__ == "__main__":
    cli.run(main)
