"""Every sampler of the registry, and the search of comparison studies, keeps the contract."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cmaes import CMA
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from study.config.samplers import SAMPLERS
from study.config.study_file import StudyFile
from study.ledger.study import read_study
from study.reporting.overview import facts, history_card
from study.search.base import Sampler, Search
from study.search.cmaes import EvolutionStrategy
from study.search.ordered import OrderedSearch
from study.search.proposal import first_proposals, ordered_search
from study.search.registry import sampler_class
from study.search.variants import VariantSearch
from study.testing.searches import MakeSearch, SearchContract
from tests.support.studies import complete, made_study
from tests.support.workspace import SMALL_STUDY

QUICK = [name for name in SAMPLERS if name != "gp"]
"""A Gaussian process takes a tenth of a second a proposal: its contract is a slow test."""
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "momentum": FloatDistribution(0.0, 1.0),
    "width": CategoricalDistribution([16, 32, None]),
}


@pytest.mark.parametrize("space_filling", [0, 6])
@pytest.mark.parametrize("name", [pytest.param("gp", marks=pytest.mark.slow), *QUICK])
class TestSampler(SearchContract):
    @pytest.fixture
    def make(self, name: str, space_filling: int) -> MakeSearch:
        def search(seed: int) -> Search:
            return OrderedSearch(
                SPACE, seed=seed, space_filling=space_filling, window=4, sampler=sampler_class(name)
            )

        return search


class TestVariants(SearchContract):
    window = None
    seeded = False

    @pytest.fixture
    def make(self) -> MakeSearch:
        return lambda seed: VariantSearch(["with", "without", "neither"])


class TestWithoutAWindow(SearchContract):
    """One trial at a time: each knows all results before it."""

    window = 1

    @pytest.fixture
    def make(self) -> MakeSearch:
        return lambda seed: OrderedSearch(SPACE, seed=seed, space_filling=2, window=1)


def study(**search: Any) -> StudyFile:
    data = yaml.safe_load(SMALL_STUDY)
    return StudyFile.model_validate(data | {"search": {"space_filling": 4, "window": 4} | search})


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_entry_says_what_it_is_and_has_the_interface(name: str) -> None:
    entry = SAMPLERS[name]
    assert entry.title
    assert entry.doc
    implementation: Callable[..., object] = sampler_class(name)
    for method in ("add", "tell", "propose"):
        expected = inspect.signature(getattr(Sampler, method)).parameters
        found = inspect.signature(getattr(implementation, method)).parameters
        assert list(found) == list(expected)


@pytest.mark.parametrize("name", [pytest.param("gp", marks=pytest.mark.slow), *QUICK])
def test_what_learns_heeds_results_and_what_does_not_does_not(name: str) -> None:
    last = []
    for sign in (1, -1):
        search = ordered_search(study(sampler=name, space_filling=2, window=2))
        for number in range(30):
            params = search.ask()
            search.record(number, sign * float(params["lr"]))
        last.append(search.ask())
    assert (last[0] != last[1]) == SAMPLERS[name].learns


def test_random_draws_are_the_same_however_many_trials_run_and_none_is_like_another() -> None:
    file = study(sampler="random", space_filling=0)
    drawn = first_proposals(file, 40)
    assert len({params["lr"] for params in drawn}) == len(drawn)
    search = ordered_search(file)
    for number, params in enumerate(drawn):
        assert search.ask() == params
        search.record(number, 0.5)


def test_trials_before_the_sampler_are_the_same_with_any() -> None:
    first = [first_proposals(study(sampler=name), 4) for name in SAMPLERS]
    assert all(trials == first[0] for trials in first)


def test_the_default_sampler_is_not_in_the_hash_and_another_is() -> None:
    default, named, other = study(), study(sampler="tpe"), study(sampler="random")
    assert "sampler" not in default.determinants()["search"]
    assert default.hash("f") == named.hash("f") != other.hash("f")
    assert other.determinants()["search"]["sampler"] == "random"


def test_the_sobol_sampler_goes_on_where_space_filling_trials_end() -> None:
    few, many = study(sampler="sobol", space_filling=4), study(sampler="sobol", space_filling=100)
    few, many = (f.model_copy(update={"study": many.study}) for f in (few, many))
    searches = [ordered_search(file, ahead=100) for file in (few, many)]
    assert [searches[0].ask() for _ in range(80)] == [searches[1].ask() for _ in range(80)]


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "nsgaii"])
def test_what_learns_finds_more_than_random_draws(name: str) -> None:
    """On a bowl in two dimensions, by the mean of its last ten trials."""
    space: dict[str, BaseDistribution] = {
        "x": FloatDistribution(0.0, 1.0),
        "y": FloatDistribution(1e-4, 1.0, log=True),
    }

    def last_ten(sampler: str) -> float:
        search = OrderedSearch(
            space, seed=1, space_filling=10, window=2, sampler=sampler_class(sampler)
        )
        values = []
        for number in range(60 if name == "nsgaii" else 40):
            params = search.ask()
            value = -((params["x"] - 0.3) ** 2) - (math.log10(params["y"]) / 4 + 0.6) ** 2
            search.record(number, value)
            values.append(value)
        return sum(values[-10:]) / 10

    assert last_ten(name) > last_ten("random") / 2


def test_cma_es_moves_as_the_library_does() -> None:
    """Ten results, one generation's worth of six: the mean is that of the library's own object."""
    sampler = EvolutionStrategy(
        {"a": FloatDistribution(0.0, 1.0), "b": FloatDistribution(0.0, 1.0)}
    )
    own = CMA(mean=np.full(2, 0.5), sigma=0.25, seed=9, bounds=np.array([[0.0, 1.0]] * 2))
    rng = np.random.default_rng(0)
    points = rng.random((10, 2))
    for number, (a, b) in enumerate(points):
        sampler.add({"a": a, "b": b})
        sampler.tell(number, -(a**2 + b))
    size = own.population_size
    assert 10 // size == 1
    own.tell([(point, point[0] ** 2 + point[1]) for point in points[:size]])
    x = own.ask()
    found = sampler.propose(seed=9, startup=1)
    assert (found["a"], found["b"]) == pytest.approx(tuple(x))


def test_all_trials_of_random_draws_cover_the_space_evenly() -> None:
    assert study(sampler="random").search.evenly(90) == range(90)
    assert study(sampler="tpe").search.evenly(90) == range(4)


@pytest.mark.parametrize(("name", "found_by"), [("tpe", "by TPE"), ("random", "by random draws")])
def test_a_report_names_the_sampler(tmp_path: Path, name: str, found_by: str) -> None:
    best_late = lambda number, value: complete(number, number / 100)  # noqa: E731
    folder = made_study(tmp_path / "s", 45, trials=50, outcome=best_late, sampler=name)
    view = read_study(folder)
    title = found_by.removeprefix("by ")
    assert facts(view)["search"] == f"40 space-filling (Sobol), then {title}, window 16"
    card = history_card(view)
    assert card is not None
    assert card.finding.endswith(f"found {found_by}.")
