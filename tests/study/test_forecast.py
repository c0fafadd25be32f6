"""The cost forecast: exact where nothing varies, and an interval that holds what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml

from study.config.study_file import StudyFile
from study.ledger.records import TrialRecord
from study.progress.forecast import COVERAGE, Forecaster
from study.search.proposal import first_proposals
from study.space.dimension import Params
from tests.support.workspace import SMALL_STUDY

TEXT = """
study: {name: forecast, trials: 120, seed: 3}
search: {space_filling: 60, window: 16}
data: {synthetic: ucf-like}
space:
  d_proj: {choice: [64, 128, 256, 512]}
  lr: {log_uniform: [1.0e-5, 1.0e-2]}
  epochs: {int: [5, 50]}
"""
FILE = StudyFile.model_validate(yaml.safe_load(TEXT))
KNOWN = first_proposals(FILE, 60)


def ended(number: int, params: Params, seconds: float, *, run: int | None = None) -> TrialRecord:
    return TrialRecord(
        number=number,
        key=str(number),
        params=params,
        seed=0,
        state="COMPLETE",
        curve=[{"epoch": 1.0, "objective": 0.5}] * (params["epochs"] if run is None else run),
        started=1000.0,
        finished=1000.0 + seconds,
        worker={"host": "here", "pid": "1"},
    )


def seconds_of(params: Params) -> float:
    return float(params["epochs"] * 0.1 * params["d_proj"] ** 0.5)


def test_epochs_and_widths_of_the_known_trials_are_foretold() -> None:
    file = FILE.model_copy(update={"study": FILE.study.model_copy(update={"trials": 60})})
    forecaster = Forecaster(file, KNOWN)
    assert forecaster.left(2) is None, "nothing was learnt"
    for number, params in enumerate(KNOWN[:30]):
        forecaster.take(ended(number, params, seconds_of(params)))
    truth = sum(map(seconds_of, KNOWN[30:])) / 2
    left = forecaster.left(2)
    assert left is not None
    assert left.seconds == pytest.approx(truth, rel=0.03)
    assert left.low < truth < left.high
    part = forecaster.left(2, running={30: 0.25 * seconds_of(KNOWN[30])})
    assert part is not None
    assert part.seconds == pytest.approx(left.seconds - 0.125 * seconds_of(KNOWN[30]))
    for number, params in enumerate(KNOWN[30:], 30):
        forecaster.take(ended(number, params, seconds_of(params)))
    end = forecaster.left(2)
    assert end is not None
    assert (end.low, end.seconds, end.high) == (0.0, 0.0, 0.0)


def test_the_first_trial_of_a_worker_and_failures_only_count_as_ended() -> None:
    forecaster = Forecaster(FILE, KNOWN)
    forecaster.take(ended(0, KNOWN[0], 1e6))  # it loaded the libraries
    assert forecaster.left(2) is None
    forecaster.take(ended(1, KNOWN[1], 1e6, run=0))
    assert forecaster.left(2) is None
    forecaster.take(ended(2, KNOWN[2], seconds_of(KNOWN[2])))
    left = forecaster.left(2)
    assert left is not None
    assert left.high < 1e5


def test_variants_cost_what_their_own_kind_costs() -> None:
    document = yaml.safe_load(SMALL_STUDY)
    for name in ("space", "search", "pruning"):
        del document[name]
    document["study"] = {"name": "variants"}
    document |= {"variants": {"slow": {}, "fast": {"temporal": "none"}}, "seeds": 20}
    file = StudyFile.model_validate(document)
    known = first_proposals(file, file.study.trials)
    forecaster = Forecaster(file, known)
    cost = {"slow": 10.0, "fast": 1.0}
    for number, params in enumerate(known[:21]):  # one `slow` more
        record = ended(number, params | {"epochs": 5}, cost[params["arm"]])
        forecaster.take(record)
    left = forecaster.left(1)
    assert left is not None
    truth = sum(cost[params["arm"]] for params in known[21:])
    assert left.seconds == pytest.approx(truth, rel=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Studies with noise, a wandering machine, pruning, and a search that comes to like others."""
    held, asked = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shift, drift = rng.normal(0, 0.25), 0.0
        params = list(KNOWN)
        for _ in range(60):
            epochs = int(np.clip(math.exp(shift) * rng.uniform(5, 50), 5, 50))
            width = int(rng.choice([64, 128, 256, 512]))
            params.append({"d_proj": width, "epochs": epochs})
        records = []
        for number, values in enumerate(params):
            drift = 0.95 * drift + rng.normal(0, 0.02)
            part = rng.uniform(0.2, 1) if number >= 30 and rng.random() < 0.2 else 1.0
            run = math.ceil(part * values["epochs"])
            seconds = seconds_of(values | {"epochs": run}) * math.exp(drift + rng.normal(0, 0.1))
            records.append(ended(number, values, seconds, run=run))
        forecaster = Forecaster(FILE, KNOWN)
        for number, record in enumerate(records):
            forecaster.take(record)
            if number in (6, 12, 24, 48, 72, 96, 110):
                left = forecaster.left(1)
                assert left is not None
                truth = sum(r.duration_s or 0.0 for r in records[number + 1 :])
                held += left.low <= truth <= left.high
                asked += 1
    assert COVERAGE - 0.05 <= held / asked <= 0.995
