"""Runs a small study in this process, without Ray, and looks at it.

python examples/2_study.py
"""

from __future__ import annotations

from pathlib import Path

import study

SMALL = {
    "study": {"name": "example", "trials": 12, "seed": 7},
    "search": {"space_filling": 8, "window": 4},
    "execution": {"precision": "fp32", "keep_checkpoints": 1},
    "data": {"synthetic": "ucf-like"},
    "model": {"name": "deepmil"},
    "train": {"epochs": 3, "batch_size": 32},
    "space": {
        "lr": {"log_uniform": [1e-4, 1e-1]},
        "dropout": {"uniform": [0.2, 0.7]},
        "hidden": {"choice": [32, 64, 128]},
    },
}

results = study.run_study(SMALL)  # again: it resumes; with more trials: it extends
print(results.trials[["number", "objective", "params/lr", "duration_s"]].round(4))
assert results.best is not None
print(f"best: trial {results.best.number}, {results.best.params}")
print(f"digest {results.digest}")

again = study.open_study("runs/example")  # from the ledger, also while a study runs
print(again.curves.groupby("epoch")["objective"].mean())
again.plot_history().savefig(Path("runs/example/history.png"))
