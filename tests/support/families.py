"""Families of functions with known importances: what real objectives do, and forests get wrong.

Each is a function of codes in [0, 1] over the paper's seven hyperparameters, with a noise of its
own. The truth is the normalised total Sobol effect of the function without its noise, by brute
force.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from study.ledger.records import TrialRecord
from study.search.ordered import OrderedSearch
from tests.support.known_functions import ENCODER, SPACE, additive, codes, trial

Floats = NDArray[np.float64]
Columns = dict[str, Floats]
TRUTH_POINTS = 1 << 15


@dataclass(frozen=True)
class Family:
    """A function, and what happens to its values.

    Args:
        function: Codes (each an array) to the objective without noise.
        noise: Standard deviation of the noise at these codes.
        ties: Objectives are rounded to this step; 0: not.
        diverged: Share of trials that diverge whatever they are, with the objective 0.
        floor: Trials below are left out of the analysis.
    """

    function: Callable[[Columns], Floats]
    noise: Callable[[Columns], Floats]
    ties: float = 0.0
    diverged: float = 0.0
    floor: float | None = None


def _constant(value: float) -> Callable[[Columns], Floats]:
    return lambda u: np.full(len(u["lr"]), value)


def _ishigami(u: Columns) -> Floats:
    """Oscillation, and an effect by interaction alone (Ishigami and Homma 1990), mixed types."""
    a, b, c = (2 * math.pi * u[name] - math.pi for name in ("lr", "d_emb", "epochs"))
    value = np.sin(a) + 2.0 * np.sin(b) ** 2 + 0.05 * c**4 * np.sin(a)
    return np.asarray(0.6 + 0.02 * value)


def _ridge_times_category(u: Columns) -> Floats:
    """A narrow ridge in the learning rate whose place depends on a choice, times a choice."""
    ridge = np.exp(-(((u["lr"] - 0.35 - 0.3 * u["d_proj"]) / 0.2) ** 2))
    return np.asarray(0.5 + 0.3 * ridge * (0.6 + 0.4 * u["d_emb"]) + 0.05 * u["lambda_cat"])


def _plateau(u: Columns) -> Floats:
    """Smooth, with a broad best region, as validation AP."""
    hill = np.exp(-3 * (u["lr"] - 0.6) ** 2 - 2 * (u["lambda_cat"] - 0.4) ** 2)
    return np.asarray(0.4 + 0.5 * hill - 0.1 * u["lambda_reg"] * u["lr"])


FAMILIES = {
    "additive": Family(
        lambda u: np.asarray(
            [additive(dict(zip(u, row, strict=True))) for row in zip(*u.values(), strict=True)]
        ),
        _constant(0.005),
    ),
    "ishigami": Family(_ishigami, lambda u: 0.004 + 0.02 * u["lambda_cat"]),
    "ridge": Family(_ridge_times_category, _constant(0.02)),
    "ties": Family(_plateau, _constant(0.01), ties=0.01, diverged=0.05),
    "floor": Family(_plateau, _constant(0.01), ties=0.01, diverged=0.05, floor=0.1),
    "noise": Family(_constant(0.5), _constant(0.05)),
}


@cache
def truth(name: str) -> dict[str, float]:
    """Hyperparameter -> normalised total effect (Jansen 1999); all 0 for pure noise."""
    family = FAMILIES[name]
    count = len(ENCODER.names)
    quantiles = qmc.Sobol(2 * count, rng=np.random.default_rng(0)).random(TRUTH_POINTS)
    first, second = ENCODER.at(quantiles[:, :count]), ENCODER.at(quantiles[:, count:])
    base = family.function(_columns(first))
    effects = []
    for column in range(count):
        changed = first.copy()
        changed[:, column] = second[:, column]
        effects.append(float(np.mean((family.function(_columns(changed)) - base) ** 2) / 2))
    total = sum(effects)
    return dict(zip(ENCODER.names, (e / total if total else 0.0 for e in effects), strict=True))


def study_of(name: str, *, trials: int, space_filling: int, seed: int) -> list[TrialRecord]:
    """The trials of a study of a family, proposed by the real search; a floor is applied."""
    family = FAMILIES[name]
    search = OrderedSearch(SPACE, seed=seed, space_filling=space_filling, window=16)
    rng = np.random.default_rng(seed)
    records = []
    for number in range(trials):
        params = search.ask()
        u = {key: np.array([value]) for key, value in codes(params).items()}
        value = float(family.function(u)[0] + family.noise(u)[0] * rng.standard_normal())
        if family.ties:
            value = round(value / family.ties) * family.ties
        if rng.random() < family.diverged:
            value = 0.0
        search.record(number, value)
        records.append(trial(number, params, value))
    return records


def _columns(values: Floats) -> Columns:
    return {name: values[:, i] for i, name in enumerate(ENCODER.names)}
