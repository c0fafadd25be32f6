"""What an answer to "which hyperparameters matter?" costs, and how far it is from the truth.

``python benchmarks/bench_importance.py`` asks about studies of a function whose shares are known
(``lr`` .47, ``lambda_cat`` .50): 300 space-filling trials and 700 by TPE, noise of a tenth of the
signal. Ours is what ``study.importance`` computes: three measures, 200 resamplings, a gate,
interactions and stages. Beside it stand Optuna's fANOVA and PED-ANOVA of the same trials, one
number for each hyperparameter.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import optuna
from common import publish
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)

from study.analysis import sentences
from study.analysis.importance import importance
from study.ledger.records import TrialRecord
from tests.support.known_functions import SPACE, TRUTH, additive, view

TRIALS, SPACE_FILLING = 1000, 300
SHOWN = ("lr", "lambda_cat")


def ours(records: Sequence[TrialRecord], seed: int) -> dict[str, object]:
    started = time.perf_counter()
    found = importance(records, SPACE, space_filling=SPACE_FILLING, seed=seed)
    seconds = time.perf_counter() - started
    shares = {p.name: p.shares["permutation"] for p in found.parameters}
    named = {name: sentences.interval(shares[name]) for name in SHOWN}
    return {"by": "study.importance", "seconds": seconds} | named


def optunas(
    evaluator: BaseImportanceEvaluator, records: Sequence[TrialRecord]
) -> dict[str, object]:
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(params=r.params, distributions=SPACE, value=r.objective)
            for r in records
        ]
    )
    started = time.perf_counter()
    values = optuna.importance.get_param_importances(study, evaluator=evaluator)
    seconds = time.perf_counter() - started
    named = {name: f"{values[name]:.2f}" for name in SHOWN}
    return {"by": type(evaluator).__name__, "seconds": seconds} | named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    count = parser.parse_args().seeds
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows: list[dict[str, object]] = [
        {"seed": "", "by": "(the truth)"} | {name: f"{TRUTH[name]:.2f}" for name in SHOWN}
    ]
    for seed in range(count):
        records = view(additive, trials=TRIALS, space_filling=SPACE_FILLING, seed=seed)
        for row in (
            ours(records, seed),
            optunas(FanovaImportanceEvaluator(seed=seed), records),
            optunas(PedAnovaImportanceEvaluator(), records),
        ):
            rows.append({"seed": seed} | row)
    publish("importance", rows, command=f"python benchmarks/bench_importance.py --seeds {count}")


if __name__ == "__main__":
    main()
