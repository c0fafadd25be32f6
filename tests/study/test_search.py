"""Ordered search: a sequence that depends on the space, the seed and the results alone."""

from __future__ import annotations

import math
import random

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from scipy.stats import qmc

from study._private import optuna as private
from study.search import tpe
from study.search.ordered import OrderedSearch
from study.space.dimension import Params
from study.space.quantiles import at_quantile
from study.space.seeds import derived_seed

SPACE: dict[str, BaseDistribution] = {
    "width": CategoricalDistribution([16, 32, 64]),
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "momentum": FloatDistribution(0.0, 1.0),
    "epochs": IntDistribution(5, 50),
    "layers": IntDistribution(1, 64, log=True),
}
FLAG = CategoricalDistribution([True, False, None])


def search(space_filling: int = 5, window: int = 4, seed: int = 3) -> OrderedSearch:
    return OrderedSearch(SPACE, seed=seed, space_filling=space_filling, window=window)


def value_of(params: Params) -> float:
    return -((math.log10(params["lr"]) + 3) ** 2) - abs(params["momentum"] - 0.5)


def result_of(number: int, params: Params) -> float | None:
    """Every eleventh trial fails; every fifth has the value of others."""
    if number % 11 == 0:
        return None
    return 0.0 if number % 5 == 0 else value_of(params)


class OptunasOwn:
    """Ordered search by a study of Optuna, as its documentation has it: slow, and plain."""

    def __init__(self, space: dict[str, BaseDistribution], seed: int, window: int) -> None:
        self._space, self._seed, self._window = space, seed, window
        self._study = optuna.create_study(direction="maximize")
        self._results: list[float | None] = []

    def record(self, value: float | None) -> None:
        self._results.append(value)

    def add(self, params: Params) -> None:
        """A space-filling trial."""
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=params, distributions=self._space
        )
        self._study.add_trial(trial)

    def ask(self, startup: int) -> Params:
        number = len(self._study.trials)
        for due in range(number - self._window + 1):
            value = self._results[due]
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            self._study.tell(due, value, state=state, skip_if_finished=True)
        seed = derived_seed(self._seed, number, "sampler")
        self._study.sampler = TPESampler(seed=seed, n_startup_trials=startup)
        params = self._study.ask(self._space).params
        return {name: params[name] for name in self._space}


def run(worker_order: random.Random, trials: int = 30, workers: int = 4) -> list[Params]:
    """Trials that end in a random order, on up to ``workers`` workers."""
    searching = search()
    asked: list[Params] = []
    running: list[int] = []
    while len(asked) < trials or running:
        can_ask = len(asked) < trials and len(running) < workers and searching.ready
        if can_ask and (not running or worker_order.random() < 0.6):
            running.append(len(asked))
            asked.append(searching.ask())
        else:
            number = running.pop(worker_order.randrange(len(running)))
            searching.record(number, result_of(number, asked[number]))
    return asked


def test_the_sequence_does_not_depend_on_which_trial_ends_first() -> None:
    alone = run(random.Random(0), trials=90, workers=1)
    for seed in range(1, 6):
        assert run(random.Random(seed), trials=90, workers=4) == alone


@pytest.mark.parametrize("estimators", [True, False], ids=["by estimators", "by a study"])
@pytest.mark.parametrize(("space_filling", "window"), [(0, 1), (0, 7), (20, 4), (1, 16)])
def test_proposals_are_those_of_optunas_own_sampler_bit_for_bit(
    space_filling: int, window: int, estimators: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "has_estimators", lambda: estimators)
    space = {**SPACE, "only": CategoricalDistribution(["one"]), "flag": FLAG}
    searching = OrderedSearch(space, seed=3, space_filling=space_filling, window=window)
    optunas = OptunasOwn(space, seed=3, window=window)
    for number in range(150):
        params = searching.ask()
        if number < space_filling:
            optunas.add(params)
        else:
            assert params == optunas.ask(startup=1 if space_filling else 10)
        searching.record(number, result_of(number, params))
        optunas.record(result_of(number, params))


@pytest.mark.filterwarnings("ignore:`gamma` has been deprecated:FutureWarning")
def test_of_many_trials_the_best_the_running_and_an_even_sample_of_the_rest_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tpe, "REMEMBERED", 40)
    rng = random.Random(5)
    values = {n: rng.random() for n in range(380) if n % 7}  # every seventh has failed
    arrays = tpe.TrialArrays(SPACE)
    random_study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    asked = [random_study.ask(SPACE).params for _ in range(388)]  # the last eight are running
    for params in asked:
        arrays.add(params)
    for number in range(380):
        arrays.tell(number, values.get(number))
    best = sorted(values, key=lambda n: -values[n])[:25]
    rest = [n for n in sorted(values) if n not in best]
    kept = {*best, *(rest[i * len(rest) // 40] for i in range(40))}
    plain = optuna.create_study(
        direction="maximize", sampler=TPESampler(seed=9, n_startup_trials=1, gamma=lambda _: 25)
    )
    for number, params in enumerate(asked):
        if number in kept or number >= 380:
            value = values.get(number)
            state = TrialState.RUNNING if value is None else TrialState.COMPLETE
            plain.add_trial(
                optuna.trial.create_trial(
                    state=state, value=value, params=params, distributions=SPACE
                )
            )
    assert arrays.propose(seed=9, startup=1) == plain.ask(SPACE).params


@pytest.mark.parametrize("trials", [1, 40, 300, 1400])
def test_a_study_and_the_estimators_propose_the_same_of_the_same_history(
    trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {**SPACE, "only": IntDistribution(3, 3), "flag": FLAG}
    rng = random.Random(trials)
    arrays = tpe.TrialArrays(space)
    for number in range(trials + 5):  # the last five are running
        params = {name: at_quantile(d, rng.random()) for name, d in space.items()}
        arrays.add(params)
        if number < trials:
            arrays.tell(number, result_of(number + 1, params))
    for seed in range(3):
        monkeypatch.setattr(private, "has_estimators", lambda: True)
        proposed = arrays.propose(seed=seed, startup=1)
        monkeypatch.setattr(private, "has_estimators", lambda: False)
        assert arrays.propose(seed=seed, startup=1) == proposed


def test_a_space_of_single_values_has_one_trial() -> None:
    space = {"only": CategoricalDistribution(["one"]), "fixed": IntDistribution(3, 3)}
    searching = OrderedSearch(space, seed=3, space_filling=0, window=1)
    for number in range(15):
        assert searching.ask() == {"only": "one", "fixed": 3}
        searching.record(number, 0.5)


@pytest.mark.parametrize(
    "change", [{"lr": 1.0}, {"width": 17}, {"layers": 65}, {"unknown": 1}], ids=str
)
def test_a_recorded_trial_outside_the_space_is_refused(change: Params) -> None:
    searching = search()
    params = search().ask()
    with pytest.raises(ValueError, match=r"not in|searched"):
        searching.restore(params | change)
    assert searching.ask() == params


def test_a_trial_waits_for_exactly_the_results_of_its_window() -> None:
    searching = search(window=4)
    asked = [searching.ask() for _ in range(4)]
    assert not searching.ready  # trial 4 needs trial 0
    for number in (3, 1, 2):
        searching.record(number, 0.0)
    assert not searching.ready
    with pytest.raises(RuntimeError, match="trial 4"):
        searching.ask()
    searching.record(0, value_of(asked[0]))
    assert searching.ready


def test_results_beyond_the_window_do_not_change_a_proposal() -> None:
    def proposal(early_results: bool) -> Params:
        searching = search(space_filling=0, window=3)
        for number in range(20):
            searching.ask()
            if number >= 2:
                searching.record(number - 2, float(number % 7))
        if early_results:
            searching.record(18, 1e6)
            searching.record(19, -1e6)
        return searching.ask()  # trial 20: it may know trials 0 … 17

    assert proposal(True) == proposal(False)


def test_a_restart_from_recorded_trials_goes_on_with_the_same_sequence() -> None:
    whole = run(random.Random(0), trials=150, workers=1)
    for stop in (3, 17, 64, 140):
        searching = search()
        for number, params in enumerate(whole[:stop]):
            searching.restore(params)
            searching.record(number, result_of(number, params))
        for number in range(stop, 150):
            params = searching.ask()
            assert params == whole[number]
            searching.record(number, result_of(number, params))


def test_a_restart_may_learn_of_results_after_all_trials_and_in_any_order() -> None:
    whole = run(random.Random(0), trials=70, workers=1)
    searching = search(window=4)
    for params in whole[:66]:
        searching.restore(params)
    for number in reversed(range(66)):
        assert not searching.ready
        searching.record(number, result_of(number, whole[number]))
    assert searching.ask() == whole[66]


def test_the_seed_decides_every_trial() -> None:
    assert search(seed=3).ask() == search(seed=3).ask()
    assert search(seed=3).ask() != search(seed=4).ask()


def test_every_trial_has_a_sampler_seed_of_its_own() -> None:
    searching = search(space_filling=0, window=50)
    trials = [searching.ask() for _ in range(20)]  # no result is told: the seed decides alone
    assert len({t["lr"] for t in trials}) == 20


def test_point_n_is_the_same_however_many_space_filling_trials_there_are() -> None:
    few, many = search(space_filling=3, window=100), search(space_filling=64, window=100)
    assert [few.ask() for _ in range(3)] == [many.ask() for _ in range(3)]


def test_space_filling_fills_every_margin_evenly_in_its_own_measure() -> None:
    searching = search(space_filling=256, window=300)
    trials = [searching.ask() for _ in range(256)]
    uniform = {
        "lr": [(math.log10(t["lr"]) + 5) / 4 for t in trials],
        "momentum": [t["momentum"] for t in trials],
    }
    for values in uniform.values():
        counts, _ = np.histogram(values, bins=16, range=(0, 1))
        assert set(counts) == {16}  # a (t, m, s)-net has the same number in every sixteenth
    for width in (16, 32, 64):
        assert sum(t["width"] == width for t in trials) in (85, 86)
    assert {t["epochs"] for t in trials} == set(range(5, 51))
    assert min(t["layers"] for t in trials) == 1
    assert max(t["layers"] for t in trials) == 64
    points = np.array([[(math.log10(t["lr"]) + 5) / 4, t["momentum"]] for t in trials])
    assert qmc.discrepancy(points) < 0.1 * qmc.discrepancy(
        np.random.default_rng(0).random((256, 2))
    )


def test_the_sampler_learns_from_what_it_was_told() -> None:
    trials = run(random.Random(0), trials=80, workers=1)
    scores = [value_of(t) for t in trials]
    assert np.mean(scores[40:]) > np.mean(scores[:20])


def test_derived_seeds_differ_by_study_trial_and_purpose() -> None:
    seeds = {
        derived_seed(study, trial, purpose)
        for study in range(20)
        for trial in range(20)
        for purpose in ("training", "sampler")
    }
    assert len(seeds) == 800
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_all_that_was_taken_over_is_known_to_the_first_trial_of_its_own() -> None:
    """Also what lies inside the window, for it has ended long since."""
    proposed = []
    for sign in (1, -1):
        searching = OrderedSearch(
            {"x": FloatDistribution(0.0, 1.0)}, seed=1, space_filling=0, window=10, inherited=12
        )
        for number in range(12):
            searching.restore({"x": number / 11})
        for number in range(12):
            assert not searching.ready or number > 2
            searching.record(number, 0.5 if number < 3 else 0.5 + sign * number / 24)
        assert searching.ready
        proposed.append(searching.ask())
    assert proposed[0] != proposed[1]
