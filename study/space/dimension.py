"""One searched hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from refinevad.config.section import Section

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


Params = dict[str, Any]
"""A trial's searched hyperparameters: field name -> int, float, str, bool or None."""


Scalar = bool | int | float | str | None


WholeRange = tuple[int, int]


class Dimension(Section):
    """One searched hyperparameter: exactly one of the kinds below."""

    choice: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    """Any of the values."""
    uniform: tuple[float, float] | None = None
    """A real number between two bounds."""
    log_uniform: tuple[float, float] | None = None
    """A real number whose logarithm is uniform."""
    int: WholeRange | None = None
    """A whole number, both bounds included."""
    log_int: WholeRange | None = None
    """A whole number, uniform in its logarithm."""

    @model_validator(mode="before")
    @classmethod
    def _is_a_range(cls, value: Any) -> Any:
        if isinstance(value, Mapping | Dimension):
            return value
        raise ValueError(
            f"found {value!r}, expected what to search, such as {{int: [3, 10]}} or "
            "{choice: [8, 16]}; one fixed value stands in `train` or `model`, or after --set "
            "without `space.`"
        )

    @field_validator("uniform", "log_uniform", "int", "log_int", mode="before")
    @classmethod
    def _two_bounds(cls, value: Any) -> Any:
        if value is None:
            return value
        if not isinstance(value, list | tuple):
            raise ValueError(f"found {value!r}, expected two bounds, [low, high]")
        if len(value) == 2:
            return value
        hint = f"; these values only are {{choice: {_as_choice(value)}}}" if value[2:] else ""
        raise ValueError(f"found {list(value)!r}, expected two bounds, [low, high]{hint}")

    @model_validator(mode="after")
    def _one_valid_kind(self) -> Self:
        kinds = list(self.model_fields_set)
        if len(kinds) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        if self.choice is not None:
            if len(set(map(repr, self.choice))) < len(self.choice):
                raise ValueError(f"choice {list(self.choice)} has a value twice")
            return self
        bounds = getattr(self, kinds[0])
        if bounds is None:
            raise ValueError(f"{kinds[0]} is empty; expected [low, high]")
        low, high = bounds
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{kinds[0]} [{low:g}, {high:g}] has a bound that is not finite")
        if low >= high:
            raise ValueError(f"empty range: {kinds[0]} [{low:g}, {high:g}] needs low < high")
        if kinds[0].startswith("log") and low <= 0:
            raise ValueError(f"{kinds[0]} from {low:g}: the lower bound must be above 0")
        return self

    def distribution(self) -> BaseDistribution:
        """The same as Optuna writes it."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.choice is not None:
            return CategoricalDistribution(self.choice)
        if self.uniform is not None:
            return FloatDistribution(*self.uniform)
        if self.log_uniform is not None:
            return FloatDistribution(*self.log_uniform, log=True)
        if self.int is not None:
            return IntDistribution(*self.int)
        assert self.log_int is not None
        return IntDistribution(*self.log_int, log=True)

    def bounds(self) -> tuple[Any, ...]:
        """All choices, or both bounds."""
        if self.choice is not None:
            return self.choice
        return self.uniform or self.log_uniform or self.int or self.log_int or ()

    def all_values(self) -> Sequence[Any]:
        """All choices, all whole numbers, or both bounds of a real range."""
        whole = self.int or self.log_int
        return range(whole[0], whole[1] + 1) if whole else self.bounds()


def _as_choice(values: Sequence[Any]) -> list[Any]:
    """The values that more than two bounds may mean: a range with a step, or each one."""
    whole = all(isinstance(value, int) for value in values)
    if whole and len(values) == 3 and 0 < values[2] <= values[1] - values[0] <= 50 * values[2]:
        return list(range(values[0], values[1] + 1, values[2]))
    return list({repr(value): value for value in values}.values())
