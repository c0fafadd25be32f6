"""Variants: named configurations beside each other, each trained with the same seeds.

A comparison (ablation) study has no sampler: trial n is variant n mod V of replicate n // V. All
variants of one seed are neighbours, so that a study that stops early still has paired comparisons.
It has the same ledger, workers, tracking and verification as a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from refinevad.config.section import Section

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


VARIANT, REPLICATE = "arm", "replicate"
"""Names of the parameters of a comparison trial."""
START = "start"
"""The setting of a variant that says where its weights come from."""
Start = Literal["scratch", "frozen_core", "zero_shot"]
MOST_REPLICATES = 1000


class SourceSection(Section):
    """Models of another data set, from which variants start whose ``start`` is not scratch."""

    checkpoints: str
    """Folder of ``trial-0000.safetensors``, …: one for each replicate. Workers must see it."""
    sha256: Annotated[tuple[str, ...], Field(min_length=1)]
    """sha256 of the files, in the order of the replicates."""


def with_seeds_of(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """``new`` determinants with the checkpoints of ``old`` only: more seeds have more of them."""
    ours, theirs = new.get("source"), old.get("source")
    if not (ours and theirs):
        return new
    return new | {"source": {key: sha for key, sha in ours.items() if key in theirs}}


def variant_distributions(variants: Sequence[str]) -> dict[str, BaseDistribution]:
    """The space of a comparison study, as Optuna writes it."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        VARIANT: CategoricalDistribution(list(variants)),
        REPLICATE: IntDistribution(0, MOST_REPLICATES - 1),
    }
