"""What a study file may say about its space: steps, conditions, constraints."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from optuna.distributions import FloatDistribution, IntDistribution

from refinevad.errors import InputError
from study.search.proposal import first_proposals, ordered_search
from study.space.constraints import Constraint
from study.space.dimension import Dimension
from study.space.encoding import Scale
from study.space.quantiles import at_quantile
from tests.support.search_options import SPACE, refused, study
from tests.support.workspace import SMALL_STUDY


def test_a_range_with_a_step_has_its_values_and_no_others() -> None:
    whole = Dimension(int=(32, 512, 32)).distribution()
    assert whole == IntDistribution(32, 512, step=32)
    real = Dimension(uniform=(0.1, 0.5, 0.1)).distribution()
    assert real == FloatDistribution(0.1, 0.5, step=0.1)
    grid = np.linspace(0, 1, 1000, endpoint=False)
    assert {at_quantile(real, u) for u in grid} == {0.1, 0.2, 0.3, 0.4, 0.5}
    found = [at_quantile(whole, u) for u in grid]
    assert set(found) == set(range(32, 513, 32))
    counts = np.unique(found, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1, "all are as likely"


def test_codes_of_steps_come_back() -> None:
    for dimension in (Dimension(int=(4, 400, 4)), Dimension(uniform=(0.1, 0.5, 0.1))):
        scale = Scale("x", dimension.distribution())
        for u in (0.0, 0.3, 0.77, 0.999):
            value = at_quantile(scale.distribution, u)
            assert scale.decode(scale.code(value)) == value
    assert Scale("x", Dimension(int=(4, 400, 4)).distribution()).values is None, "100 are many"


@pytest.mark.parametrize(
    "sampler",
    ["tpe", "random", pytest.param("gp", marks=pytest.mark.slow), "cmaes", "nsgaii", "sobol"],
)
def test_every_sampler_keeps_to_the_steps_and_the_constraints(sampler: str) -> None:
    file = study(
        space=SPACE,
        constraints=["d_emb <= 3 * d_proj", "injection == 'none' or d_emb != 4"],
        search={"sampler": sampler, "space_filling": 4, "window": 1},
    )
    search = ordered_search(file)
    for number in range(16):
        params = search.ask()
        assert params["d_emb"] <= 3 * params["d_proj"]
        assert params["injection"] == "none" or params["d_emb"] != 4
        assert params["d_proj"] in (4, 8, 12, 16)
        assert params["threshold"] in (0.3, 0.4, 0.5, 0.6, 0.7), "to the last digit"
        search.record(number, params["lr"])


def test_a_hyperparameter_that_is_off_has_its_default() -> None:
    file = study(space=SPACE)
    base = {"d_proj": 8, "d_emb": 8, "lr": 1e-3, "threshold": 0.7}
    on = file.trial_config(base | {"injection": "cross_attention"})
    off = file.trial_config(base | {"injection": "none"})
    assert on.model.threshold == 0.7  # type: ignore[attr-defined]
    assert off.model.threshold == 0.5  # type: ignore[attr-defined]
    assert "threshold" not in file.active(base | {"injection": "none"})


def test_what_depends_on_what_is_off_is_off() -> None:
    space = SPACE | {"shift_temperature": {"uniform": [0.1, 3], "when": {"threshold": [0.3, 0.4]}}}
    file = study(space=space)
    base = {"d_proj": 8, "d_emb": 8, "lr": 1e-3, "threshold": 0.3, "shift_temperature": 1.0}
    assert "shift_temperature" in file.active(base | {"injection": "cross_attention"})
    assert "shift_temperature" not in file.active(base | {"injection": "none"})


def test_conditions_that_cannot_be() -> None:
    refused("cannot depend on itself", space=SPACE | {
        "threshold": {"uniform": [0.3, 0.7], "when": {"threshold": 0.3}}
    })  # fmt: skip
    refused("'linear' is not a choice of injection", space=SPACE | {
        "threshold": {"uniform": [0.3, 0.7], "when": {"injection": "linear"}}
    })  # fmt: skip
    refused("temporal is not searched", space=SPACE | {
        "threshold": {"uniform": [0.3, 0.7], "when": {"temporal": "mtn"}}
    })  # fmt: skip
    refused("depend on each other", space=SPACE | {
        "injection": {"choice": ["none", "linear"], "when": {"threshold": 0.3}},
        "threshold": {"uniform": [0.3, 0.7, 0.1], "when": {"injection": "linear"}},
    })  # fmt: skip


def test_old_studies_keep_their_hash() -> None:
    space = yaml.safe_load(SMALL_STUDY)["space"]
    determinants = study(space=space).determinants()
    assert "constraints" not in determinants
    assert determinants["search"].keys() == {"space_filling", "window"}
    assert all("when" not in dimension for dimension in determinants["space"].values())


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("d_proj % 4 == 0", True),
        ("d_proj // 4 > 2 or lr < 0.1", True),
        ("not (1 < d_proj <= 8)", False),
        ("injection in ['none', 'linear']", False),
        ("min(d_proj, 100) + abs(-2) == 10", True),
        ("2 * d_proj - 1 == 15 and d_proj / 2 == 4", True),
    ],
)
def test_a_constraint_has_the_value_that_python_gives_it(text: str, holds: bool) -> None:
    values = {"d_proj": 8, "lr": 0.01, "injection": "cross_attention"}
    functions = {"min": min, "abs": abs}
    assert Constraint(text).holds(values) is holds
    assert eval(text, {"__builtins__": functions}, values) is holds


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "d_proj.real", "[x for x in d_proj]", "lambda: 1",
        "d_proj ** 9999", "f'{d_proj}'", "d_proj if 1 else 2", "open('x')", "min(*d_proj)", "1 +",
        "(" * 300 + "1" + ")" * 300, "x" * 501,
    ],
)  # fmt: skip
def test_a_constraint_is_no_program(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|expression|longer"):
        Constraint(text)


def test_constraints_that_cannot_be() -> None:
    refused("no setting 'd_projj'; did you mean", space=SPACE, constraints=["d_projj > 3"])
    refused("names nothing that is searched", space=SPACE, constraints=["d_model > 3"])
    refused(
        "has no answer for d_proj = 4, injection",
        space=SPACE,
        constraints=["injection + 1 > d_proj"],
    )
    refused("is not allowed", space=SPACE, constraints=["d_proj.real > 3"])
    with pytest.raises(InputError, match="hardly any of"):
        first_proposals(study(space=SPACE, constraints=["d_proj > 99"]), 3)


def test_a_constraint_makes_a_space_possible_that_was_refused() -> None:
    space = {"d_proj": {"int": [4, 9]}, "lr": {"log_uniform": [1e-4, 1e-2]}}
    refused("an impossible combination", space=space)
    file = study(
        space=space,
        constraints=["d_proj % injection_heads == 0"],
        search={"space_filling": 16, "window": 16},
        study={"trials": 16},
    )
    drawn = {params["d_proj"] for params in first_proposals(file, 16)}
    assert drawn == {4, 6, 8}


def test_space_filling_points_are_those_of_the_sequence_that_are_allowed() -> None:
    plain = first_proposals(study(space=SPACE, search={"space_filling": 64, "window": 64},
                                  study={"trials": 64}), 64)  # fmt: skip
    some = first_proposals(
        study(
            space=SPACE,
            search={"space_filling": 8, "window": 8},
            constraints=["d_emb <= 2 * d_proj"],
        ),
        8,
    )
    assert some == [p for p in plain if p["d_emb"] <= 2 * p["d_proj"]][:8]
