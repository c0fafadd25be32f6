"""The interfaces of a search and of the sampler in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from study.space.dimension import Params

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from study.ledger.records import TrialRecord


class Search(Protocol):
    """Proposes trials 0, 1, 2, … in order.

    A search must pass ``study.testing.searches.SearchContract``.
    """

    @property
    def next_number(self) -> int: ...
    @property
    def ready(self) -> bool: ...
    def record(self, number: int, value: float | None, cost: float | None = None) -> None: ...
    def ask(self) -> Params: ...
    def restore(self, params: Params) -> None: ...


class Pruning(Protocol):
    """Decides what a trial must reach, from the results that its parameters depend on."""

    def curve(
        self, records: Sequence[TrialRecord], results: int, number: int, params: Params
    ) -> list[float] | None:
        """The stopping curve of trial ``number``, which knows trials 0 … results - 1.

        Returns:
            The least objective so far after each epoch; None: nothing stops the trial.
        """


class Sampler(Protocol):
    """Proposes the trials of an ordered search that are not space-filling.

    A sampler has an entry in ``study.config.samplers.SAMPLERS``. What it proposes is a function of
    the space, of ``seed`` and of what it was told.
    """

    def add(self, params: Params) -> None:
        """Takes in the next trial, as running; ValueError: it is not in the space."""

    def tell(self, number: int, value: float | None, cost: float | None = None) -> None:
        """Takes in a trial's value, to be maximized; None: the trial failed. ``cost``, to be
        minimized, is told to samplers of ``with_cost`` alone."""

    def propose(self, *, seed: int, startup: int) -> Params:
        """Parameters of a further trial; ``startup``: results without which it cannot learn."""


SamplerClass = Callable[["Mapping[str, BaseDistribution]", int], Sampler]
"""The searched space and the study's seed to a sampler."""
