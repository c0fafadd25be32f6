"""The search of a comparison study: variants in their turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.config.variants import REPLICATE, VARIANT

if TYPE_CHECKING:
    from study.space.dimension import Params


class VariantSearch:
    """Asks variants in their turn; the interface of :class:`study.search.OrderedSearch`.

    Args:
        variants: Names, in the order of the study file.
    """

    ready = True
    """No trial waits for a result."""

    def __init__(self, variants: Sequence[str]) -> None:
        self._variants = list(variants)
        self._asked = 0

    @property
    def next_number(self) -> int:
        """Number of the trial that is asked next."""
        return self._asked

    def record(self, number: int, value: float | None, cost: float | None = None) -> None:
        """A result changes nothing."""

    def ask(self) -> Params:
        """Parameters of the next trial."""
        replicate, variant = divmod(self._asked, len(self._variants))
        self._asked += 1
        return {VARIANT: self._variants[variant], REPLICATE: replicate}

    def restore(self, params: Params) -> None:
        """Takes the next trial as asked with ``params``."""
        if params.get(VARIANT) not in self._variants:
            raise ValueError(f"no variant {params.get(VARIANT)!r}")
        self._asked += 1
