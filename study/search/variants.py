"""The search of a comparison study: variants in their turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.config.variants import ARM, REPLICATE

if TYPE_CHECKING:
    from study.space.dimension import Params


class ArmSearch:
    """Asks arms in their turn; the interface of :class:`study.search.OrderedSearch`.

    Args:
        arms: Names, in the order of the study file.
    """

    ready = True
    """No trial waits for a result."""

    def __init__(self, arms: Sequence[str]) -> None:
        self._arms = list(arms)
        self._asked = 0

    @property
    def next_number(self) -> int:
        """Number of the trial that is asked next."""
        return self._asked

    def record(self, number: int, value: float | None) -> None:
        """A result changes nothing."""

    def ask(self) -> Params:
        """Parameters of the next trial."""
        replicate, arm = divmod(self._asked, len(self._arms))
        self._asked += 1
        return {ARM: self._arms[arm], REPLICATE: replicate}

    def restore(self, params: Params) -> None:
        """Takes the next trial as asked with ``params``."""
        if params.get(ARM) not in self._arms:
            raise ValueError(f"no arm {params.get(ARM)!r}")
        self._asked += 1
