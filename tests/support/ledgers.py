"""Ledgers written without training anything, for what only reads them."""

from __future__ import annotations

from pathlib import Path

from optuna.distributions import CategoricalDistribution, FloatDistribution

from study.ledger.records import StudyMeta, TrialResult
from study.ledger.writer import Ledger

CREATED = 1_700_000_000.0
DISTRIBUTIONS = {
    "d_proj": CategoricalDistribution([64, "auto", None]),
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
}


def meta(name: str, *, trials: int = 10, uid: str = "0123456789abcdef") -> StudyMeta:
    return StudyMeta(
        name=name,
        uid=uid,
        hash="feedfacefeedface",
        config={
            "study": {"name": name, "trials": trials, "seed": 42},
            "data": {"synthetic": "xd-like"},
            "model": {"d_model": 64, "fusion": {"heads": [2, 4]}},
            "train": {"lr": 0.003, "batch_size": 64},
            "space": {"lr": {"log_uniform": [1e-05, 0.1], "choice": None}},
        },
        determinants={},
        fingerprint="c0ffee",
        metric="ap",
        split="val",
        created=CREATED,
        git_commit="abc1234",
        versions={"torch": "2.13.0", "optuna": "5.0.0"},
        trials=trials,
    )


def result(number: int, *, epochs: int = 3, state: str = "COMPLETE") -> TrialResult:
    """A trial that started at ``CREATED + 10 number``, took 6 seconds and reached number / 100."""
    started = CREATED + 10 * number
    if state == "FAILED":
        return TrialResult(
            state="FAILED", objective=None, reason="out of memory", started=started,
            finished=started + 6,
        )  # fmt: skip
    curve = [
        {
            "epoch": float(epoch),
            "objective": number / 100 * epoch / epochs,
            "train/loss": 1.0 / epoch,
            "val/ap": number / 100 * epoch / epochs,
        }
        for epoch in range(1, epochs + 1)
    ]
    return TrialResult(
        state="PRUNED" if state == "PRUNED" else "COMPLETE",
        objective=number / 100,
        selected_epoch=epochs,
        last_objective=number / 100,
        curve=curve,
        metrics={"selected/test/auc": 0.5 + number / 100, "selected/train/loss": 1.0 / epochs},
        started=started,
        finished=started + 6,
        worker={"host": "node-1", "device": "cpu"},
    )


def begin(ledger: Ledger, count: int = 1) -> None:
    """Asks ``count`` more trials."""
    for _ in range(count):
        number = len(ledger.trials())
        params = {"d_proj": (64, "auto", None)[number % 3], "lr": 10.0 ** -(1 + number % 4)}
        ledger.begin(params, DISTRIBUTIONS, seed=1000 + number, stopping_curve=None)


def add(ledger: Ledger, count: int, *, epochs: int = 3) -> None:
    """Asks ``count`` more trials and ends them."""
    for _ in range(count):
        begin(ledger)
        number = len(ledger.trials()) - 1
        ledger.finish(number, result(number, epochs=epochs))


def made(folder: Path, count: int, *, trials: int = 10, epochs: int = 3) -> Path:
    """A closed ledger with ``count`` ended trials of ``trials`` planned; returns its folder."""
    ledger = Ledger(folder, meta(folder.name, trials=trials))
    add(ledger, count, epochs=epochs)
    ledger.close()
    return folder
