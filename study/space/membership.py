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


def _is_in(distribution: BaseDistribution, encoded: float) -> bool:
    """Whether a value is in the range; no choice that is none could be encoded."""
    if isinstance(distribution, CategoricalDistribution):
        return True
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.low <= encoded <= distribution.high:
        return False
    if isinstance(distribution, FloatDistribution):  # a study file's have no steps
        return True
    return (encoded - distribution.low) % distribution.step == 0
