"""The class of a sampler, found by its name in a study file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from study.config.samplers import SAMPLERS

if TYPE_CHECKING:
    from study.search.base import SamplerClass


def sampler_class(name: str) -> SamplerClass:
    """The implementation of a sampler.

    Raises:
        KeyError: There is no such sampler.
    """
    module, _, cls = SAMPLERS[name].implementation.partition(":")
    found: SamplerClass = getattr(import_module(module), cls)
    return found
