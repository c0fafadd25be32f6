"""Ledgers of whole studies of a known function, for what reads a study that has run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from study.config.study_file import StudyFile
from study.ledger.records import StudyMeta, TrialResult
from study.ledger.writer import Ledger
from study.search.proposal import ordered_search
from tests.support.known_functions import additive
from tests.support.ledgers import CREATED

SPACE: dict[str, Any] = {
    "d_emb": {"choice": [32, 64, 128]},
    "d_proj": {"choice": [64]},
    "lambda_cat": {"log_uniform": [0.01, 2.0]},
    "lambda_reg": {"log_uniform": [1e-6, 1e-2]},
    "lr": {"log_uniform": [1e-5, 1e-2]},
}
Outcome = Callable[[int, float], TrialResult]


def complete(number: int, value: float) -> TrialResult:
    """Three epochs; the last is the best. One in ten is pruned after two."""
    pruned = number % 10 == 7
    epochs = 2 if pruned else 3
    curve = [
        {"epoch": float(e), "objective": value - 0.01 * (epochs - e)} for e in range(1, epochs + 1)
    ]
    metrics = {
        "selected/test/auc": 0.8 + value / 20, "selected/test/ap": 0.3, "last/test/auc": 0.8,
        "selected/floor/auc": 0.79, "selected/floor/ap": 0.2,
    }  # fmt: skip
    return TrialResult(
        "PRUNED" if pruned else "COMPLETE", value, False, epochs, value, None, curve, metrics,
        CREATED + number, CREATED + number + 5, {"device": "cpu", "precision": "fp32"},
    )  # fmt: skip


def diverged(number: int, value: float) -> TrialResult:
    return TrialResult("COMPLETE", 0.0, diverged=True, last_objective=0.0, started=CREATED,
                       finished=CREATED + 1)  # fmt: skip


def failed(number: int, value: float) -> TrialResult:
    reason = '<script>alert(1)</script> "it\'s" $x^2$ & more'
    return TrialResult("FAILED", None, reason=reason, started=CREATED, finished=CREATED + 1)


def made_study(
    folder: Path,
    ended: int,
    *,
    trials: int | None = None,
    outcome: Outcome = complete,
    space: dict[str, Any] | None = None,
    seed: int = 3,
    sampler: str = "tpe",
    space_filling: int = 40,
    pruning: dict[str, Any] | None = None,
) -> Path:
    """A study of ``additive`` with ``ended`` of ``trials`` trials; returns its folder."""
    file = StudyFile.model_validate(
        {
            "study": {"name": folder.name, "trials": trials or ended, "seed": seed},
            "search": {"space_filling": space_filling, "window": 16, "sampler": sampler},
            "pruning": pruning or {},
            "data": {"synthetic": "xd-like"},
            "model": {"d_model": 64},
            "space": space or SPACE,
        }
    )
    meta = StudyMeta(
        name=folder.name, uid="0123456789abcdef", hash=file.hash("c0ffee"),
        config=file.model_dump(mode="json"), determinants=file.determinants(),
        fingerprint="c0ffee", metric="ap", split="val", created=CREATED, git_commit="abc1234",
        versions={"torch": "2.13.0"}, trials=file.study.trials,
    )  # fmt: skip
    search, distributions = ordered_search(file, ahead=10_000), file.distributions()
    ledger = Ledger(folder, meta)
    scales = {
        "lr": (1e-5, 1e-2), "lambda_cat": (0.01, 2.0), "lambda_reg": (1e-6, 1e-2),
    }  # fmt: skip
    for number in range(min(ended + 1, file.study.trials)):  # the next one is running
        params = search.ask()
        ledger.begin(params, distributions, seed=number, stopping_curve=None)
        if number < ended:
            codes = dict.fromkeys(("lr", "lambda_cat", "lambda_reg"), 0.5)
            codes |= {n: _code(params[n], *scales[n]) for n in codes if n in params}
            result = outcome(number, additive(codes))
            ledger.finish(number, result)
            search.record(number, result.objective)
    ledger.close()
    return folder


def _code(value: float, low: float, high: float) -> float:
    import math

    return math.log(value / low) / math.log(high / low)
