"""What a study of other data is worth to a new one: warm starts beside cold ones.

``python benchmarks/bench_warm.py --source runs/appendix_e --sets msad cctv`` runs small studies of
the same seven hyperparameters, several seeds each: *cold* ones, whose first trials are
space-filling, and *warm* ones, whose first trials are drawn like the best tenth of the source
(``search.enqueue: [{like_best_of: …}]``); both go on with TPE. The validation split is the seed's,
the same for both. Shown: the mean objective of the first trials, the best objective after so many,
and the test AUC of the trial that has it; differences are paired by seed, with 95% intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import publish
from record_curves import MODEL, SETS, study_of

SPACE = {
    "d_proj": {"choice": [16, 32, 64, 128]},
    "d_emb": {"choice": [16, 32, 64, 128]},
    "lambda_cat": {"log_uniform": [0.05, 2.0]},
    "lambda_gmm": {"log_uniform": [0.01, 1.0]},
    "lambda_reg": {"log_uniform": [1e-4, 3e-2]},
    "lr": {"log_uniform": [1e-4, 3e-3]},
}
"""As in studies/appendix_e.yaml; the epochs are those of the set in `record_curves.py`."""
FIRST = 8
"""First trials, which differ."""
SEEDS = 5


def run_one(job: dict[str, Any]) -> dict[str, Any]:
    """One study, by its objectives in order."""
    import study as api

    results = api.run_study(
        job["file"], runs=Path(job["runs"]), stores=Path(job["stores"]), quiet=True
    )
    table = results.trials
    return job | {
        "objectives": table["objective"].fillna(0.0).tolist(),
        "test": table["metrics/selected/test/auc"].fillna(0.0).tolist(),
    }


def jobs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The studies; those that have ended are read and not run again."""
    stores = os.environ.get("REFINEVAD_STORES", "stores")
    found = []
    for name in args.sets:
        base = study_of(name)
        for seed in range(1, args.seeds + 1):
            for start in ("cold", "warm"):
                own = base | {
                    "study": {
                        "name": f"{name}_{start}_{seed}",
                        "trials": args.trials,
                        "seed": seed,
                    },
                    "objective": {"metric": "ap", "epoch": "mean_second_half", "folds": args.folds},
                    "search": {"space_filling": FIRST, "window": 2},
                    "model": MODEL,
                    "space": SPACE | {"epochs": SETS[name]["space"]["epochs"]},
                }
                if start == "warm":
                    source = str(Path(args.source).resolve())
                    own["search"] = {
                        "space_filling": 0,
                        "window": 2,
                        "enqueue": [{"like_best_of": source, "draws": FIRST}],
                    }
                found.append(
                    {
                        "set": name, "seed": seed, "start": start, "file": own,
                        "runs": args.runs, "stores": stores,
                    }
                )  # fmt: skip
    return found


def row_of(name: str, found: list[dict[str, Any]], trials: int) -> list[dict[str, Any]]:
    """Means over seeds of both starts, and their paired differences."""
    from study.analysis.paired import t_interval

    own = {(r["start"], r["seed"]): r for r in found if r["set"] == name}
    seeds = sorted({seed for _, seed in own})
    counts = [FIRST, trials // 2, trials]

    def figures(row: dict[str, Any]) -> dict[str, float]:
        values = row["objectives"]
        shown = {f"mean of the first {FIRST}": statistics.fmean(values[:FIRST])}
        shown |= {f"best of {count}": max(values[:count]) for count in counts}
        best = max(range(len(values)), key=lambda i: values[i])
        return shown | {"test AUC of the best": row["test"][best]}

    by_start = {start: [figures(own[start, seed]) for seed in seeds] for start in ("cold", "warm")}
    rows = []
    for figure in by_start["cold"][0]:
        pairs = [
            (cold[figure], warm[figure])
            for cold, warm in zip(by_start["cold"], by_start["warm"], strict=True)
        ]
        difference = t_interval([warm - cold for cold, warm in pairs])
        rows.append(
            {
                "data": name,
                "seeds": len(seeds),
                "figure": figure,
                "cold": round(statistics.fmean(cold for cold, _ in pairs), 4),
                "warm": round(statistics.fmean(warm for _, warm in pairs), 4),
                "difference": round(difference.value, 4),
                "low": round(difference.low, 4),
                "high": round(difference.high, 4),
            }
        )
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--source", required=True, metavar="DIR", help="folder of a study")
    parser.add_argument("--sets", nargs="*", default=["msad", "cctv"], choices=[*SETS])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--runs", default="runs/warm")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    todo, found = jobs(args), []
    started = time.monotonic()
    context = get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(run_one, job) for job in todo]):
            row = future.result()
            found.append(row)
            best = max(row["objectives"])
            print(f"{row['set']} {row['start']} {row['seed']}: {best:.4f}", flush=True)
    print(f"{time.monotonic() - started:.0f} s", flush=True)
    rows = [row for name in args.sets for row in row_of(name, found, args.trials)]
    publish(
        "warm",
        rows,
        command=f"python benchmarks/bench_warm.py --source {Path(args.source).name} "
        f"--sets {' '.join(args.sets)} --trials {args.trials} --seeds {args.seeds} "
        f"--folds {args.folds}",
    )
    print(json.dumps({"studies": len(found)}))


if __name__ == "__main__":
    main()
