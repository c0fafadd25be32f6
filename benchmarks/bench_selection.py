"""Which validation figure ranks configurations as the test set does.

``python benchmarks/bench_selection.py`` reads the runs of ``record_curves.py`` (60 configurations
or more on three validation splits). It compares every metric of held-out videos under every rule of
``objective.epoch``, on one split and as the mean of three: Spearman's rank correlation over
configurations with the test AUC, AnoAUC and AP of the weights that the rule keeps (means over the
splits), among all configurations and among the better half by that figure; and the test AUC of the
configuration that it would choose, and how far that is below the best (regret). Intervals: 95%, by
a bootstrap over configurations.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import publish
from numpy.typing import NDArray
from record_curves import SETS, recorded
from scipy.stats import rankdata

METRICS = ("ap", "auc", "seg_auc", "brier")
RULES = ("best", "last", "mean_second_half", "ema")
SPLITS = 3
BOOTSTRAPS = 500
Floats = NDArray[np.float64]


def table_of(name: str, limit: int | None) -> list[dict[str, Any]]:
    """One row per metric, rule and weights."""
    from refinevad.config.epochs import chosen

    rows = [r for r in recorded(name) if not r["diverged"] and r["split"] < SPLITS]
    by_config: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_config.setdefault(row["number"], []).append(row)
    configs = [runs for runs in by_config.values() if len(runs) == SPLITS][:limit]
    rng = np.random.default_rng(0)
    draws = rng.integers(len(configs), size=(BOOTSTRAPS, len(configs)))
    found = []
    for weights in ("", "average/"):
        for metric in METRICS:
            for rule in RULES:
                values = np.empty((len(configs), SPLITS))
                test = {key: np.empty((len(configs), SPLITS)) for key in ("auc", "ano_auc", "ap")}
                for i, runs in enumerate(configs):
                    for j, run in enumerate(runs):
                        curve = [epoch[f"{weights}val/{metric}"] for epoch in run["epochs"]]
                        values[i, j], epoch = chosen(curve, rule)
                        for key, cells in test.items():
                            cells[i, j] = run["epochs"][epoch - 1][f"{weights}test/{key}"]
                for folds in (1, SPLITS):
                    found.append(_row(name, metric, rule, weights, folds, values, test, draws))
    return found


def _row(
    name: str, metric: str, rule: str, weights: str, folds: int,
    values: Floats, test: dict[str, Floats], draws: NDArray[np.int64],
) -> dict[str, Any]:  # fmt: skip
    means = {key: cells.mean(axis=1) for key, cells in test.items()}
    columns = [values.mean(axis=1)] if folds > 1 else list(values.T)
    row: dict[str, Any] = {
        "data": name, "metric": metric, "epoch": rule,
        "weights": "average" if weights else "own", "folds": folds, "configurations": len(values),
    }  # fmt: skip
    for key, truth in means.items():
        row[f"rank_{key}"] = _mean([_spearman(c, truth) for c in columns])
        spread = [_mean([_spearman(c[draw], truth[draw]) for c in columns]) for draw in draws[:200]]
        row[f"rank_{key}_low"], row[f"rank_{key}_high"] = np.percentile(spread, [2.5, 97.5])
        top = [c >= np.median(c) for c in columns]
        row[f"top_{key}"] = _mean(
            [_spearman(c[t], truth[t]) for c, t in zip(columns, top, strict=True)]
        )
        best = max(cells for cells in truth)
        row[f"regret_{key}"] = _mean([best - truth[int(np.argmax(c))] for c in columns])
        row[f"chosen_{key}"] = _mean([truth[int(np.argmax(c))] for c in columns])
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def _spearman(a: Floats, b: Floats) -> float:
    x, y = rankdata(a), rankdata(b)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--sets", nargs="*", default=[*SETS], choices=[*SETS])
    parser.add_argument("--configs", type=int, help="of each set (default: all recorded)")
    args = parser.parse_args()
    rows = [row for name in args.sets for row in table_of(name, args.configs)]
    publish(
        "selection",
        rows,
        command=f"python benchmarks/bench_selection.py --sets {' '.join(args.sets)}",
    )


if __name__ == "__main__":
    main()
