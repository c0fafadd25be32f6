"""An objective with a cost: how a file says it, what is proposed by it, and the Pareto front."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import BaseDistribution, FloatDistribution

from refinevad.config.costs import COSTS
from study.analysis.pareto import front_sentence, pareto_front
from study.config.samplers import SAMPLERS
from study.ledger.records import TrialRecord
from study.search.ordered import OrderedSearch
from study.search.registry import sampler_class
from study.space.dimension import Params
from study.testing.searches import MakeSearch, SearchContract
from tests.support.search_options import refused, study
from tests.support.small_data import study_text

ABLE = [name for name, entry in SAMPLERS.items() if entry.with_cost]
SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "y": FloatDistribution(1e-4, 1.0, log=True),
}


class Weighed:
    """A search whose results have a cost, a function of the parameters: the contract tells values
    alone."""

    def __init__(self, search: OrderedSearch) -> None:
        self._search = search
        self._x: list[float] = []

    @property
    def next_number(self) -> int:
        return self._search.next_number

    @property
    def ready(self) -> bool:
        return self._search.ready

    def record(self, number: int, value: float | None, cost: float | None = None) -> None:
        cost = None if value is None else 1.0 + self._x[number]
        self._search.record(number, value, cost)

    def ask(self) -> Params:
        params = self._search.ask()
        self._x.append(params["x"])
        return params

    def restore(self, params: Params) -> None:
        self._search.restore(params)
        self._x.append(params["x"])


@pytest.mark.parametrize("space_filling", [0, 6])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n for n in ABLE]
)
class TestWithCost(SearchContract):
    @pytest.fixture
    def make(self, name: str, space_filling: int) -> MakeSearch:
        return lambda seed: Weighed(
            OrderedSearch(
                SPACE,
                seed=seed,
                space_filling=space_filling,
                window=4,
                sampler=sampler_class(name, with_cost=True),
            )
        )


@pytest.mark.parametrize("name", ["tpe", "nsgaii", pytest.param("gp", marks=pytest.mark.slow)])
def test_the_cost_leads_what_learns(name: str) -> None:
    """The value prefers x = 1, the cost x = 0 or y = 0 as strongly."""

    def mean_y(sign: float) -> float:
        search = OrderedSearch(
            SPACE, seed=1, space_filling=10, window=2, sampler=sampler_class(name, with_cost=True)
        )
        drawn = []
        for number in range(90):
            params = search.ask()
            search.record(number, params["x"], 1.0 + sign * params["y"])
            drawn.append(params["y"])
        return sum(drawn[-30:]) / 30

    assert mean_y(1.0) < mean_y(-1.0) / 2


def test_a_list_of_objectives_is_a_metric_with_a_cost() -> None:
    base = {"pruning": {"percentile": 40}}
    both = study(objective={"metric": "auc", "cost": "flops"}, pruning=None)
    data = yaml.safe_load(both.to_yaml())
    data["objective"] = [{"metric": "auc"}, {"cost": "flops"}]
    listed = type(both).model_validate(data)
    assert listed.objective == both.objective
    assert listed.hash("f") == both.hash("f") != study(objective={"metric": "auc"}).hash("f")
    assert "cost" not in study(**base).determinants()["objective"]
    assert yaml.safe_load(both.to_yaml())["objective"]["cost"] == "flops"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": {"cost": "flops"}}, "with a cost remove pruning"),
        ({"objective": {"cost": "flop"}}, "did you mean `flops`"),
        (
            {"objective": {"cost": "flops"}, "pruning": None, "search": {"sampler": "cmaes"}},
            "search.sampler cmaes knows no cost; give one of tpe, random, sobol, gp, nsgaii",
        ),
        (
            {
                "objective": {"cost": "flops"},
                "pruning": None,
                "search": {"import_trials": [{"params": {"lr": 0.01}, "objective": 0.5}]},
            },
            "imported trials have no cost",
        ),
    ],
)
def test_what_does_not_go_with_a_cost(changes: dict[str, Any], words: str) -> None:
    refused(words, **changes)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ([{"metric": "ap"}, {"metric": "auc"}], "one metric, then one cost"),
        ([{"cost": "flops"}], "one metric, then one cost"),
        ([{"metric": "ap", "cost": "flops"}, {"cost": "latency"}], "says cost twice"),
        (["ap", "flops"], "has mappings"),
    ],
)
def test_lists_of_objectives_that_cannot_be(objective: Any, words: str) -> None:
    from refinevad.config.training import ObjectiveConfig

    with pytest.raises(ValueError, match=words):
        ObjectiveConfig.model_validate(objective)


def _trial(number: int, objective: float | None, cost: float | None, **more: Any) -> TrialRecord:
    metrics = {} if cost is None else {"cost/flops": cost}
    return TrialRecord(
        number, f"k{number}", {}, 1, "COMPLETE", objective=objective, metrics=metrics, **more
    )


def test_the_front_is_that_of_a_slow_loop() -> None:
    rng = random.Random(0)
    grades = [rng.randrange(8) for _ in range(60)]
    trials = [
        _trial(n, g / 8, float(max(0, g - 2) + rng.randrange(6))) for n, g in enumerate(grades)
    ]

    def beats(other: TrialRecord, own: TrialRecord) -> bool:
        assert None not in (other.objective, own.objective, other.cost, own.cost)
        pair = (other.objective >= own.objective, other.cost <= own.cost)  # type: ignore[operator]
        same = (other.objective, other.cost) == (own.objective, own.cost)
        return all(pair) and (not same or other.number < own.number)

    slow = [t for t in trials if not any(beats(o, t) for o in trials if o is not t)]
    front = pareto_front(trials)
    assert sorted(t.number for t in front) == sorted(t.number for t in slow)
    costs = [t.cost for t in front]
    assert costs == sorted(costs)  # type: ignore[type-var]
    assert len(front) > 2


def test_what_has_no_result_or_no_cost_is_not_on_the_front() -> None:
    trials = [
        _trial(0, 0.9, 2.0),
        _trial(1, 0.0, 1.0, diverged=True),
        _trial(2, None, None),
        replace(_trial(3, 0.99, 0.5), state="RUNNING"),
        _trial(4, 0.99, None),
    ]
    assert [t.number for t in pareto_front(trials)] == [0]
    assert front_sentence(trials, "ap on val", COSTS["flops"]).endswith("and none is cheaper.")
    assert front_sentence(trials[1:], "ap on val", COSTS["flops"]) == ""


def test_the_front_in_words() -> None:
    trials = [_trial(0, 0.80, 1e6), _trial(1, 0.895, 4e6), _trial(2, 0.90, 16e6)]
    assert front_sentence(trials, "ap on val", COSTS["flops"]) == (
        "Pareto front: 3 of 3 trials, from trial 0 (0.8000 ap on val, 1 MFLOPs) to trial 2 "
        "(0.9000 ap on val, 16 MFLOPs). Trial 1 is the cheapest within 0.01 of the best: "
        "(0.8950 ap on val, 4 MFLOPs), 25% of its cost."
    )


@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_a_study_with_a_cost_is_extended_verified_and_reported(
    tmp_path: Path, stores: Path, data: Path, cost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import study as api
    from study import confirm, report, verify

    content = yaml.safe_load(study_text(data)) | {
        "objective": [{"metric": "ap"}, {"cost": cost}],
        "search": {"space_filling": 3, "window": 2},
        "space": {"d_model": {"choice": [8, 16, 32]}, "lr": {"log_uniform": [1e-4, 1e-2]}},
    }
    content.pop("pruning", None)
    content["model"].pop("d_model", None)
    runs = tmp_path / "runs"

    def run(name: str, trials: int) -> str:
        own = content | {"study": {"name": name, "trials": trials, "seed": 7}}
        return api.run_study(own, runs=runs, stores=stores, quiet=True).digest

    if cost == "flops":
        run("extended", 3)
        assert run("extended", 5) == run("whole", 5)
    else:
        run("extended", 4)
    results = api.open_study(runs / "extended")
    assert results.pareto_front
    assert results.pareto_front[-1].objective == results.trials["objective"].max()
    assert results.trials[f"metrics/cost/{cost}"].notna().all()
    flags = ["--study", str(runs / "extended")]
    assert verify.main([*flags, "--stores", str(stores), "--sample", "1"]) == 0
    assert report.main([*flags, "--tracking-uri", "none", "--bootstraps", "20"]) == 0
    if cost == "flops":
        again_of = [
            *flags,
            "--stores",
            str(stores),
            "--backend",
            "serial",
            "--tracking-uri",
            "none",
        ]
        few = ["--top", "1", "--seeds", "1", "--splits", "1", "--no-baselines"]
        assert confirm.main([*again_of, *few, "--runs", str(runs)]) == 0
        confirmed = api.open_study(runs / "extended_confirm")
        assert confirmed.trials["metrics/cost/flops"].notna().all()
    page = (runs / "extended" / "report.html").read_text()
    assert "Objective against cost" in page
    assert ("is measured by a clock" in page) == (cost == "latency")
