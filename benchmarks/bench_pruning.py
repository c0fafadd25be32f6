"""What pruning saves and what it loses, replayed on recorded full curves.

``python benchmarks/bench_pruning.py`` reads the runs of ``record_curves.py`` (200 configurations or
more of a set). A study of the first N of them, in a random order that is drawn anew for every
repeat, is replayed under each pruning: the rule is the product's own, and a trial knows the trials
up to ``window`` before it. Shown: the share of the epochs that is run; the best objective, and the
test AUC of the trial that has it, less those of the whole study (means over repeats, and the 5%
quantile of the first); how often the trial that is best in the whole study ran whole.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from common import publish
from record_curves import SETS, recorded

REPEATS = 30
WINDOW = 16
SHARE_WHOLE = 0.2
"""Share of trials that are space-filling, which successive halving lets run whole."""
PRUNINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "percentile 20": {"percentile": 20, "warmup_epochs": 3, "after_trials": 15},
    "percentile 25": {"percentile": 25, "warmup_epochs": 3, "after_trials": 15},
    "percentile 50": {"percentile": 50, "warmup_epochs": 3, "after_trials": 15},
    **{
        f"halving {reduction}, rung {first} {rungs}": {
            "rule": "halving", "reduction": reduction, "first_rung": first, "rungs": rungs
        }
        for rungs in ("epochs", "share")
        for reduction in (2, 3, 4)
        for first in (1, 2, 3)
    },
}  # fmt: skip


def replay(
    rows: list[dict[str, Any]], pruning: dict[str, Any], rule: str, metric: str, seed: int
) -> dict[str, float]:
    """One study of recorded runs."""
    from refinevad.config.epochs import chosen, so_far
    from study.config.sections import PruningSection
    from study.ledger.records import TrialRecord, TrialResult
    from study.search.halving import NEVER, HalvingRule
    from study.search.pruning import StoppingRule

    order = np.random.default_rng(seed).permutation(len(rows))
    curves = [[epoch[metric] for epoch in rows[i]["epochs"]] for i in order]
    longest = max(map(len, curves))
    whole = round(SHARE_WHOLE * len(rows))
    decides: Any = None
    if pruning:
        section = PruningSection.model_validate(pruning)
        decides = (
            HalvingRule(
                section, longest, rule, epochs_of=lambda p: p["epochs"], whole=whole, seed=seed
            )
            if section.rule == "halving"
            else StoppingRule(section, longest, rule)
        )
    records: list[TrialRecord] = []
    values, ran = [], 0
    for number, curve in enumerate(curves):
        known = max(0, number - WINDOW + 1)
        params = {"epochs": len(curve)}
        limits = decides.curve(records, known, number, params) if decides else None
        stop = len(curve)
        first = 1 if not pruning or pruning.get("rule") == "halving" else 4
        for epoch, value in enumerate(so_far(curve, rule)[:-1], 1):
            limit = limits[epoch - 1] if limits and epoch <= len(limits) else NEVER
            if epoch >= first and value < limit:
                stop = epoch
                break
        ran += stop
        objective, epoch = chosen(curve[:stop], rule)
        values.append((objective, rows[order[number]]["epochs"][epoch - 1]["test/auc"], stop))
        records.append(
            TrialRecord(number, str(number), params, 0, "RUNNING").with_result(
                TrialResult(
                    "COMPLETE" if stop == len(curve) else "PRUNED", objective,
                    curve=[{"epoch": e, "objective": v} for e, v in enumerate(curve[:stop], 1)],
                )
            )
        )  # fmt: skip
    complete = [v for v, c in zip(values, curves, strict=True) if v[2] == len(c)]
    best = max(complete)
    ideal = max(range(len(curves)), key=lambda i: chosen(curves[i], rule)[0])
    return {
        "epochs": ran / sum(map(len, curves)),
        "best": best[0],
        "test": best[1],
        "kept": float(values[ideal][2] == len(curves[ideal])),
    }


def whole_trials(folder: Path, metric: str) -> dict[str, list[dict[str, Any]]]:
    """The space-filling trials of a study as `recorded` gives runs, by the study's name."""
    from study.ledger.study import read_study

    view = read_study(folder)
    evenly = view.file.search.evenly(len(view.records))
    runs = []
    for record in view.ended:
        if record.number in evenly and record.state == "COMPLETE" and not record.diverged:
            test = record.metrics["selected/test/auc"]
            runs.append({"epochs": [{metric: e[metric], "test/auc": test} for e in record.curve]})
    return {view.name: runs}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--sets", nargs="*", default=["ucf", "msad", "cctv"], choices=[*SETS])
    parser.add_argument("--rule", default="mean_second_half")
    parser.add_argument("--metric", default="val/ap")
    parser.add_argument(
        "--study",
        metavar="DIR",
        help="folder of a study, whose space-filling trials are replayed too; of each, the test "
        "AUC is that of its kept weights",
    )
    args = parser.parse_args()
    rows = []
    recordings = {
        name: [r for r in recorded(name) if r["split"] == 0 and not r["diverged"]]
        for name in args.sets
    }
    if args.study:
        recordings |= whole_trials(Path(args.study), args.metric)
    for name, runs in recordings.items():
        base = [replay(runs, {}, args.rule, args.metric, seed) for seed in range(REPEATS)]
        for title, pruning in PRUNINGS.items():
            found = [replay(runs, pruning, args.rule, args.metric, seed) for seed in range(REPEATS)]
            lost = [own["best"] - whole["best"] for own, whole in zip(found, base, strict=True)]
            test = [own["test"] - whole["test"] for own, whole in zip(found, base, strict=True)]
            rows.append(
                {
                    "data": name,
                    "trials": len(runs),
                    "pruning": title,
                    "epochs_run": round(statistics.fmean(f["epochs"] for f in found), 3),
                    "best": round(statistics.fmean(lost), 4),
                    "best_5%": round(float(np.quantile(lost, 0.05)), 4),
                    "test_auc": round(statistics.fmean(test), 4),
                    "best_kept": round(statistics.fmean(f["kept"] for f in found), 2),
                }
            )
    publish(
        "pruning",
        rows,
        command=f"python benchmarks/bench_pruning.py --sets {' '.join(args.sets)} "
        f"--rule {args.rule} --metric {args.metric}"
        + (f" --study {Path(args.study).name}" if args.study else ""),
    )


if __name__ == "__main__":
    main()
