"""Two studies beside each other."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from study.analysis.agreement import _nearest, agreement, regret
from study.analysis.importance import importance
from study.ledger.records import best
from tests.support.known_functions import SPACE, additive, view


def reversed_roles(u: dict[str, float]) -> float:
    return 0.5 + 0.3 * u["d_emb"] + 0.2 * u["d_proj"] + 0.1 * u["epochs"]


def test_studies_of_one_function_agree_and_of_another_do_not() -> None:
    records = {
        "one": view(additive, trials=120, space_filling=120, seed=1),
        "again": view(additive, trials=120, space_filling=120, seed=2),
        "other": view(reversed_roles, trials=120, space_filling=120, seed=3),
    }
    answers = {
        name: importance(rs, SPACE, space_filling=120, seed=1, bootstraps=20)
        for name, rs in records.items()
    }
    same = agreement(answers["one"], answers["again"])
    different = agreement(answers["one"], answers["other"])
    assert same
    assert different
    assert same.tau.low > 0
    assert different.tau.value < same.tau.low
    assert agreement(answers["one"], answers["one"]).tau.value == 1  # type: ignore[union-attr]
    winner, loser = best(records["again"]), best(records["other"])
    assert winner
    assert loser
    near = regret(winner.params, records["one"], SPACE, seed=1)
    far = regret(loser.params, records["one"], SPACE, seed=1)
    assert near
    assert far
    assert near.loss.value < 0.02 < far.loss.value
    assert far.loss.low > 0
    itself = best(records["one"])
    assert itself
    nothing = regret(itself.params, records["one"], SPACE, seed=1)
    assert nothing
    assert (nothing.loss.low, nothing.loss.high) == (0, 0)


def test_a_value_outside_the_other_space_is_moved_to_the_nearest() -> None:
    assert _nearest(96, 64, CategoricalDistribution([32, 64, 128])) == 64
    assert _nearest("gate", "add", CategoricalDistribution(["add", "attend"])) == "add"
    assert _nearest(0.5, 0.01, FloatDistribution(1e-4, 1e-2, log=True)) == 0.01
    assert _nearest(60, 7, IntDistribution(5, 50)) == 50
    records = view(additive, trials=40, space_filling=40, seed=1)
    moved = regret(records[0].params | {"epochs": 99}, records, SPACE, seed=1)
    assert moved
    assert moved.moved == {"epochs": (99, 50)}
