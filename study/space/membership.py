"""Parameters, checked against the space that they should come from."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import BaseDistribution

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
        if not distribution._contains(encoded[name]):
            raise ValueError(f"{name} = {params[name]!r} is not in {distribution}")
    return encoded
