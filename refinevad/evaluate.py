"""``python -m refinevad.evaluate``: scores a checkpoint on the test set of a study file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from refinevad import cli
from refinevad.cli import (
    FLOOR_OF,
    METRIC_NAMES,
    SYNTHETIC,
    add_runtime_arguments,
    number,
    runtime_of,
    table,
    to_json,
)
from refinevad.data import Store, prepare
from refinevad.run_config import load_config


def main(argv: list[str]) -> None:
    """Scores the test set and prints its metrics."""
    args = parser().parse_args(argv)
    config = load_config(args.config, args.set)
    runtime = runtime_of(args)

    from refinevad.evaluation.metrics import category_metrics
    from refinevad.evaluation.scores import score_test
    from refinevad.evaluation.splits import floor_metrics, test_metrics
    from refinevad.models import checkpoint
    from refinevad.training.runtime import resolve_runtime

    model, meta = checkpoint.load(args.checkpoint)
    store = prepare(config.data, args.stores)
    checkpoint.require_widths(meta, store.widths)
    resolved = resolve_runtime(runtime)
    resolved.apply()
    scores = score_test(model.to(resolved.device), store, length=config.data.test_length)
    test = store.test
    facts: dict[str, Any] = {
        "checkpoint": str(args.checkpoint),
        "selection": meta.extra.get("selection"),
        "test_length": config.data.test_length,
        "fingerprint": store.fingerprint,
        "synthetic": store.synthetic,
        "trained_on": list(meta.categories),
        "metrics": test_metrics(scores, store) | floor_metrics(store),
        "categories": category_metrics(
            scores, test.truth, test.offsets, test.labels, store.categories
        ),
    }
    print(to_json(facts) if args.json else _report(facts, store))


_ZERO_SHOT = "the model has other categories than these data; anomaly scores do not need them"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("refinevad.evaluate"),
        description="Scores the test videos of a data set with a checkpoint. Prints frame metrics "
        "and those of the video-label baseline, a scorer that knows only the video's label.",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="weights that refinevad.train or a study wrote",
    )
    cli.add_config_arguments(parser)
    add_runtime_arguments(parser, precision=False)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _report(facts: dict[str, Any], store: Store) -> str:
    metrics = facts["metrics"]
    rows = [
        [title, number(metrics[name]), number(metrics[FLOOR_OF[name]]) if name in FLOOR_OF else ""]
        for name, title in METRIC_NAMES.items()
        if name in metrics
    ]
    categories = [
        [name, f"{found['videos']:.0f}", number(found["auc"]), number(found["ano_auc"])]
        for name, found in facts["categories"].items()
    ]
    counts = f"{len(store.test.names)} test videos, scored "
    counts += "snippet by snippet" if facts["test_length"] == "full" else "in segments"
    lines = [
        *([SYNTHETIC] if store.synthetic else []),
        counts + ("; epoch selected on test" if "test" in str(facts["selection"]) else ""),
        *([] if tuple(facts["trained_on"]) == store.categories else [_ZERO_SHOT]),
        "",
        table(["", "checkpoint", "video-label baseline"], rows),
        "",
        table(["category", "videos", "AUC with normal videos", "AUC of its videos"], categories),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
