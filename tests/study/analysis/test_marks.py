"""What stands beside a hyperparameter, and which ones are pictured."""

from __future__ import annotations

from typing import Any, cast

from study.analysis.estimate import Estimate
from study.analysis.importance import METHODS, Importance, ParameterImportance


def parameter(name: str, value: float, high: float, *, above: bool = False) -> ParameterImportance:
    shares = {method: Estimate(value, 0.0, high) for method in METHODS}
    return ParameterImportance(name, shares, first=0.0, above_noise=above)


PARAMETERS = [
    parameter("epochs", 0.04, 0.045),
    parameter("d_emb", 0.03, 0.3),
    parameter("d_proj", 0.02, 0.04),
    parameter("lambda_reg", 0.01, 0.02),
]
IMPORTANT = parameter("lr", 0.9, 0.95, above=True)


def answer(apart: list[str] | None, parameters: list[ParameterImportance]) -> Importance:
    unused = cast(Any, None)
    return Importance(
        trials=100, fit=unused, parameters=parameters, probe={}, single=[], interactions=[],
        stages=[], replicates=unused, names=[], effects=unused, apart=apart,
    )  # fmt: skip


def test_noise_is_not_said_of_what_the_best_tenth_differs_in() -> None:
    found = answer(["lambda_reg", "lr"], [IMPORTANT, *PARAMETERS])
    assert [found.mark(p) for p in found.parameters] == [
        "", "≈ noise", "not decided", "≈ noise", "best tenth only",
    ]  # fmt: skip
    nobody = answer(None, PARAMETERS)
    assert nobody.mark(PARAMETERS[3]) == "≈ noise"


def test_what_separates_the_best_tenth_is_pictured_before_noise() -> None:
    assert answer(["lambda_reg"], [IMPORTANT, *PARAMETERS]).worth_a_picture() == [
        "lr", "lambda_reg", "epochs",
    ]  # fmt: skip
    assert answer(None, PARAMETERS).worth_a_picture() == ["epochs", "d_emb", "d_proj"]
    many = [parameter(name, 0.3, 0.4, above=True) for name in ("a", "b", "c", "d")]
    assert answer(["d"], many).worth_a_picture() == ["a", "b", "c", "d"]
    assert answer([], PARAMETERS[:1]).worth_a_picture() == ["epochs"]
