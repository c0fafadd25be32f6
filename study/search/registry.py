"""The class of a sampler, found by its name in a study file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from study.config.samplers import SAMPLERS

if TYPE_CHECKING:
    from study.search.base import SamplerClass


def sampler_class(name: str, *, with_cost: bool = False) -> SamplerClass:
    """The implementation of a sampler, for results of a value alone or of a value and a cost.

    Raises:
        KeyError: There is no such sampler, or it knows no costs.
    """
    entry = SAMPLERS[name]
    implementation = entry.with_cost if with_cost else entry.implementation
    if implementation is None:
        raise KeyError(f"{name} knows no costs")
    module, _, cls = implementation.partition(":")
    found: SamplerClass = getattr(import_module(module), cls)
    return found
