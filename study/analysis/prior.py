"""What an earlier study says about a new one: draws from the marginals of its best tenth.

Objectives of two data sets have no common scale, so that trials cannot be shared; where the best
ones lie often can. A hyperparameter whose values among the best tenth of the space-filling trials
differ from the others (as ``study.importance`` tests it) is drawn from those values; any other
evenly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from study.analysis.importance import sample_of
from study.analysis.ped_anova import apart
from study.ledger.records import TrialRecord
from study.space.dimension import Params
from study.space.encoding import Encoder, Scale
from study.space.membership import contains
from study.space.quantiles import at_quantile

BEST = 0.1
"""Share of the space-filling trials that count as the best."""
FEWEST = 5
"""Of them, at least."""
JITTER = 0.05
"""Standard deviation of a draw around a value of theirs, as a share of the range."""


def informative(
    records: Sequence[TrialRecord],
    distributions: Mapping[str, BaseDistribution],
    evenly: range,
    seed: int,
) -> dict[str, list[object]]:
    """Hyperparameters in which the best trials differ -> the values of the best ones.

    Args:
        records: Trials whose objectives can be compared.
        distributions: The space of their study.
        evenly: Numbers of the trials that cover it evenly.
        seed: Decides the permutations of the test.
    """
    encoder = Encoder(distributions)
    sample = sample_of(encoder, records, evenly)
    names = apart(encoder, sample, np.random.default_rng(seed)) if len(sample) else None
    known = [r for r in records if r.number in evenly and r.objective is not None]
    known.sort(key=lambda r: (-(r.objective or 0.0), r.number))
    best = known[: max(FEWEST, math.ceil(BEST * len(known)))]
    return {name: [r.params[name] for r in best] for name in names or ()}


def draws(
    marginals: Mapping[str, Sequence[object]],
    distributions: Mapping[str, BaseDistribution],
    count: int,
    seed: int,
) -> list[Params]:
    """Configurations of a new space, the named hyperparameters drawn near the given values."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        params = {}
        for name, distribution in distributions.items():
            values = [v for v in marginals.get(name, ()) if contains(distribution, v)]
            if values:
                value = values[int(rng.integers(len(values)))]
                params[name] = _near(name, distribution, value, float(rng.normal()))
            else:
                params[name] = at_quantile(distribution, float(rng.random()))
        found.append(params)
    return found


def _near(name: str, distribution: BaseDistribution, value: object, step: float) -> object:
    if isinstance(distribution, CategoricalDistribution) or distribution.single():
        return value
    scale = Scale(name, distribution)
    return scale.decode(scale.code(value) + JITTER * step)
