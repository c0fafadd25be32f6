"""``python -m refinevad.evaluate``: scores a checkpoint on the test set of a study file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from refinevad.errors import InputError
from refinevad.run_config import Config, load_config

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_SEED = 42
"""Of the validation split, where a checkpoint does not say."""


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
            scores,
            test.truth,
            test.offsets,
            test.labels,
            store.categories,
            frames=test.snippet_frames,
        ),
    }
    if args.baselines:
        seed = meta.extra.get("split_seed")
        facts |= _baselines(store, config, seed if isinstance(seed, int) else DEFAULT_SEED, scores)
    print(to_json(facts) if args.json else _report(facts, store))


def _baselines(
    store: Store, config: Config, split_seed: int, scores: NDArray[Any]
) -> dict[str, Any]:
    """The baselines' metrics, and differences from them with intervals over test videos."""
    from refinevad.evaluation.bootstrap import VideoBootstrap, interval_of
    from refinevad.training.baselines import baselines

    def say(text: str) -> None:
        print(f"{text} …", file=sys.stderr)

    try:
        found = baselines(store, config.data, split_seed=split_seed, say=say)
    except (InputError, ValueError) as error:
        return {"baselines_missing": str(error).splitlines()[0]}
    abnormal: NDArray[Any] = store.test.labels.any(axis=1)  # type: ignore[assignment]
    bootstrap = VideoBootstrap(
        store.test.truth, store.test.offsets, abnormal, frames=store.test.snippet_frames
    )
    own = bootstrap.metrics(scores)
    beside: dict[str, Any] = {}
    for baseline in found:
        theirs = bootstrap.metrics(baseline.scores)
        intervals = {name: interval_of(own[name] - theirs[name]) for name in own}
        beside[baseline.name] = {
            "note": baseline.note,
            "metrics": baseline.metrics,
            "difference": {f"test/{k}": list(i) for k, i in intervals.items() if i is not None},
        }
    return {"baselines": beside}


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
    parser.add_argument(
        "--no-baselines",
        action="store_false",
        dest="baselines",
        help="leave out the mean-feature regression and the plain scorer, which are trained once "
        "per data set (docs/tables.md)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _report(facts: dict[str, Any], store: Store) -> str:
    metrics = facts["metrics"]
    beside = facts.get("baselines", {})
    rows = [
        [
            title,
            number(metrics[name]),
            number(metrics[FLOOR_OF[name]]) if name in FLOOR_OF else "",
            *(number(found["metrics"][name]) for found in beside.values()),
        ]
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
        table(["", "checkpoint", "video-label baseline", *beside], rows),
        *(_difference(name, found) for name, found in beside.items()),
        *([f"no baselines: {facts[key]}"] if (key := "baselines_missing") in facts else []),
        "",
        table(["category", "videos", "AUC with normal videos", "AUC of its videos"], categories),
    ]
    return "\n".join(lines)


def _difference(name: str, found: dict[str, Any]) -> str:
    value, low, high = found["difference"].get("test/auc", (float("nan"),) * 3)
    verb = "above" if low > 0 else "below" if high < 0 else "not told apart from"
    return (
        f"test AUC is {verb} the {name} ({found['note']}): difference {value:+.4f}, 95% interval "
        f"over test videos [{low:+.4f}, {high:+.4f}]"
    )


if __name__ == "__main__":
    cli.run(main)
