"""Arms: named configurations beside each other, each trained with the same seeds.

A study of arms asks nothing of a sampler: trial n is arm n mod A of replicate n // A, so that all
arms of one seed stand together, and whoever stops early has compared what there is in pairs. It
runs through the same ledger, workers, tracking and proof as a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from refinevad.config.section import Section

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


ARM, REPLICATE = "arm", "replicate"
"""What a trial of arms has for parameters."""
START = "start"
"""The setting of an arm that says where its weights come from."""
Start = Literal["scratch", "frozen_core", "zero_shot"]
MOST_REPLICATES = 1000


class SourceSection(Section):
    """Models of another data set, from which arms with another ``start`` than scratch begin."""

    checkpoints: str
    """Folder of ``trial-0000.safetensors``, …: one for each replicate. Workers must see it."""
    sha256: Annotated[tuple[str, ...], Field(min_length=1)]
    """Of the files, in the order of the replicates."""


def with_seeds_of(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """``new`` determinants with the checkpoints of ``old`` only: more seeds have more of them."""
    ours, theirs = new.get("source"), old.get("source")
    if not (ours and theirs):
        return new
    return new | {"source": {key: sha for key, sha in ours.items() if key in theirs}}


def arm_distributions(arms: Sequence[str]) -> dict[str, BaseDistribution]:
    """The space of a study of arms, as Optuna writes it."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        ARM: CategoricalDistribution(list(arms)),
        REPLICATE: IntDistribution(0, MOST_REPLICATES - 1),
    }
