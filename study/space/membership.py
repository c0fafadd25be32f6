"""Parameters, checked against the space that they should come from."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.space.dimension import Params

NEAR = 1e-6
"""Share of a step that a real number may be off: floats are no decimals."""


def internal_values(
    distributions: Mapping[str, BaseDistribution], params: Params
) -> dict[str, float]:
    """Every parameter as Optuna encodes it.

    Raises:
        ValueError: The parameters are not in the space.
    """
    if params.keys() != distributions.keys():
        raise ValueError(f"parameters {list(params)}, searched {list(distributions)}")
    encoded = {n: d.to_internal_repr(params[n]) for n, d in distributions.items()}
    for name, distribution in distributions.items():
        if not _is_in(distribution, encoded[name]):
            raise ValueError(f"{name} = {params[name]!r} is not in {distribution}")
    return encoded


def contains(distribution: BaseDistribution, value: object) -> bool:
    """Whether a value, of the right kind, is in the range or among the choices."""
    if isinstance(distribution, CategoricalDistribution):
        return any(type(value) is type(c) and value == c for c in distribution.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(distribution, IntDistribution) and value != int(value):
        return False
    return _is_in(distribution, float(value))


def _is_in(distribution: BaseDistribution, encoded: float) -> bool:
    """Whether a value is in the range; no choice that is none could be encoded."""
    if isinstance(distribution, CategoricalDistribution):
        return True
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.low <= encoded <= distribution.high:
        return False
    if isinstance(distribution, FloatDistribution):
        if distribution.step is None:
            return True
        steps = (encoded - distribution.low) / distribution.step
        return abs(steps - round(steps)) < NEAR
    return (encoded - distribution.low) % distribution.step == 0
