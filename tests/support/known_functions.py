"""Functions whose importances are known, and studies of them by the real search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from study.ledger.records import TrialRecord
from study.search.ordered import OrderedSearch
from study.space.dimension import Params
from study.space.encoding import Encoder

SPACE = {
    "d_emb": CategoricalDistribution([32, 64, 128, 256, 512]),
    "d_proj": CategoricalDistribution([64, 128, 256, 512]),
    "epochs": IntDistribution(5, 50),
    "lambda_cat": FloatDistribution(0.01, 2.0, log=True),
    "lambda_gmm": FloatDistribution(0.01, 1.0, log=True),
    "lambda_reg": FloatDistribution(1e-6, 1e-2, log=True),
    "lr": FloatDistribution(1e-5, 1e-2, log=True),
}
"""The paper's seven."""
ENCODER = Encoder(SPACE)
Function = Callable[[dict[str, float]], float]
"""From codes in [0, 1] to the objective."""


def _variance_of_square(middle: float) -> float:
    """Of (u - middle)² for a uniform u in [0, 1]: E[(u-m)⁴] - E[(u-m)²]²."""
    a, b = 1 - middle, -middle
    return (a**5 - b**5) / 5 - ((a**3 - b**3) / 3) ** 2


TRUTH = {"lr": 0.47, "lambda_cat": 0.50, "lambda_reg": 0.03}
"""Shares of the variance of :func:`additive`; all others have none."""
_MIDDLES = {"lr": 0.7, "lambda_cat": 0.4, "lambda_reg": 0.0}
_HEIGHTS = {n: (TRUTH[n] / _variance_of_square(m)) ** 0.5 for n, m in _MIDDLES.items()}


def additive(u: dict[str, float]) -> float:
    """A sum of three parabolas, with the shares of `TRUTH` and a standard deviation of 0.05."""
    return 0.8 - 0.05 * sum(_HEIGHTS[n] * (u[n] - middle) ** 2 for n, middle in _MIDDLES.items())


def view(
    function: Function,
    *,
    trials: int,
    space_filling: int,
    seed: int,
    noise: float = 0.005,
) -> list[TrialRecord]:
    """The trials of a study of ``function``, proposed by the real search."""
    search = OrderedSearch(SPACE, seed=seed, space_filling=space_filling, window=16)
    rng = np.random.default_rng(seed)
    records = []
    for number in range(trials):
        params = search.ask()
        value = function(codes(params)) + noise * float(rng.standard_normal())
        search.record(number, value)
        records.append(trial(number, params, value))
    return records


def codes(params: Params) -> dict[str, float]:
    return dict(zip(ENCODER.names, ENCODER.encode([params])[0].tolist(), strict=True))


def trial(number: int, params: Params, value: float) -> TrialRecord:
    return TrialRecord(number, f"known/{number}", params, 0, "COMPLETE", objective=value)
