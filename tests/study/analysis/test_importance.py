"""Importances of functions whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from study.analysis import sentences
from study.analysis.importance import Importance, ParameterImportance, Unanswerable, importance
from tests.support.known_functions import SPACE, TRUTH, additive, trial, view


def found_in(found: Importance, name: str) -> ParameterImportance:
    return next(p for p in found.parameters if p.name == name)


def headline(found: Importance, name: str) -> tuple[float, float, float]:
    estimate = found_in(found, name).shares["permutation"]
    return estimate.value, estimate.low, estimate.high


def test_known_shares_are_found() -> None:
    records = view(additive, trials=500, space_filling=200, seed=1)
    found = importance(records, SPACE, space_filling=200, seed=1, bootstraps=40)
    for name in ("lr", "lambda_cat"):
        value, low, high = headline(found, name)
        assert value == pytest.approx(TRUTH[name], abs=0.05)
        assert low <= TRUTH[name] <= high
    noise = {p.name for p in found.parameters if not p.above_noise}
    assert noise >= {"d_emb", "d_proj", "epochs", "lambda_gmm"}
    assert found.fit.trustworthy
    assert found.fit.trials == 200
    assert sum(p.shares["permutation"].value for p in found.parameters) == pytest.approx(1)
    assert sum(p.first for p in found.parameters) == pytest.approx(1)
    sentence = sentences.finding(found)
    assert "lr" in sentence.partition("cannot")[0]
    assert "d_emb" in sentence.partition("cannot be distinguished from noise")[0]


@pytest.mark.slow
def test_known_shares_are_found_over_six_seeds() -> None:
    """The design's claim: within .05 in all six, and inside the interval in four at least."""
    covered = dict.fromkeys(("lr", "lambda_cat"), 0)
    for seed in range(6):
        records = view(additive, trials=1000, space_filling=300, seed=seed)
        found = importance(records, SPACE, space_filling=300, seed=seed)
        for name in covered:
            value, low, high = headline(found, name)
            assert value == pytest.approx(TRUTH[name], abs=0.05), (seed, name)
            covered[name] += low <= TRUTH[name] <= high
    assert min(covered.values()) >= 4, covered


def test_a_strong_interaction_is_found() -> None:
    def product(u: dict[str, float]) -> float:
        return 0.7 + 0.2 * (u["lr"] - 0.5) * (u["d_proj"] - 0.5) + 0.02 * u["epochs"]

    records = view(product, trials=300, space_filling=300, seed=3, noise=0.002)
    found = importance(records, SPACE, space_filling=300, seed=3, bootstraps=20)
    strongest = found.interactions[0]
    assert set(strongest.names) == {"lr", "d_proj"}
    assert strongest.above_noise
    assert strongest.share.value > 0.4
    assert not any(i.above_noise for i in found.interactions[1:])
    assert "d_proj and lr" in sentences.interactions(found)


def test_pure_noise_is_called_noise() -> None:
    records = view(lambda _: 0.5, trials=200, space_filling=200, seed=1, noise=0.1)
    found = importance(records, SPACE, space_filling=200, seed=1, bootstraps=40)
    assert not found.fit.trustworthy
    assert not any(p.above_noise for p in found.parameters)
    assert "do not show which hyperparameters matter" in sentences.finding(found)
    assert sentences.fit_check(found).startswith("Do not interpret these importances")
    assert "No two" in sentences.interactions(found)


def test_fifty_trials_do_not_claim_to_know() -> None:
    records = view(additive, trials=50, space_filling=30, seed=5, noise=0.03)
    found = importance(records, SPACE, space_filling=30, seed=5, bootstraps=40)
    _, low, high = headline(found, "lr")
    assert not found.fit.trustworthy or high - low > 0.2
    assert [stage.trials for stage in found.stages] == [25, 38, 50]  # 12 are too few to look at


def test_trials_that_say_nothing_are_refused() -> None:
    records = view(additive, trials=40, space_filling=40, seed=1)
    diverged = [trial(r.number, r.params, 0.0) for r in records]
    with pytest.raises(Unanswerable, match="all 40 trials have the objective 0: they diverged"):
        importance(diverged, SPACE, space_filling=40, seed=1)
    with pytest.raises(Unanswerable, match="7 trials have a result"):
        importance(diverged[:7], SPACE, space_filling=40, seed=1)
    single = {"d_proj": CategoricalDistribution([64])}
    records = [trial(n, {"d_proj": 64}, n / 40) for n in range(40)]
    with pytest.raises(Unanswerable, match="nothing was searched"):
        importance(records, single, space_filling=40, seed=1)


def test_a_choice_of_one_value_is_set_aside_and_one_without_order_is_whole() -> None:
    rng = np.random.default_rng(0)
    space = {
        "fusion": CategoricalDistribution(["concat"]),
        "injection": CategoricalDistribution(["add", "attend", "gate"]),
        "lr": FloatDistribution(1e-5, 1e-2, log=True),
    }
    gain = {"add": 0.0, "attend": 0.3, "gate": 0.1}
    records = [
        trial(n, {"fusion": "concat", "injection": word, "lr": rng.uniform(1e-5, 1e-2)}, gain[word])
        for n, word in enumerate(rng.choice(list(gain), 60).tolist())
    ]
    found = importance(records, space, space_filling=60, seed=1, bootstraps=20)
    assert found.single == ["fusion"]
    assert [p.name for p in found.parameters] == ["injection", "lr"]
    assert found.parameters[0].shares["permutation"].value > 0.95
    assert found.parameters[0].shares["mdi"].value > 0.95


def test_the_same_trials_give_the_same_answer_and_failed_ones_do_not_count() -> None:
    records = view(additive, trials=60, space_filling=60, seed=2)
    failed = [*records, trial(60, records[0].params, 9.0)]
    failed[60] = type(failed[60])(60, "known/60", records[0].params, 0, "FAILED")
    one, other = (
        importance(rs, SPACE, space_filling=60, seed=4, bootstraps=20) for rs in (records, failed)
    )
    assert one.parameters == other.parameters
    assert one.fit == other.fit
    assert one.trials == other.trials == 60


def test_settled_speaks_of_orders_that_are_clear() -> None:
    records = view(additive, trials=200, space_filling=200, seed=6)
    found = importance(records, SPACE, space_filling=200, seed=6, bootstraps=20)
    assert [stage.trials for stage in found.stages] == [50, 100, 150, 200]
    assert sentences.settled(found).startswith("Ranking stable: ")
