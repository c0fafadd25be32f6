"""One searched hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from refinevad.config.section import Section

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


Params = dict[str, Any]
"""A trial's searched hyperparameters: field name -> int, float, str, bool or None."""


Scalar = bool | int | float | str | None


WholeRange = Annotated[tuple[int, ...], Field(min_length=2, max_length=3)]
RealRange = Annotated[tuple[float, ...], Field(min_length=2, max_length=3)]
LogWholeRange = tuple[int, int]  # `int` is a field below


class Dimension(Section):
    """One searched hyperparameter: exactly one of the kinds below."""

    choice: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    """Any of the values."""
    uniform: RealRange | None = None
    """A real number between two bounds; a third number is a step."""
    log_uniform: tuple[float, float] | None = None
    """A real number whose logarithm is uniform."""
    int: WholeRange | None = None
    """A whole number, both bounds included; a third number is a step, as in [32, 512, 32]."""
    log_int: LogWholeRange | None = None
    """A whole number, uniform in its logarithm."""
    when: dict[str, Scalar | tuple[Scalar, ...]] | None = None
    """Searched only where other hyperparameters have these values, one or a list of them; elsewhere
    it has its default."""

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
    def _two_bounds(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return value
        if not isinstance(value, list | tuple):
            raise ValueError(f"found {value!r}, expected two bounds, [low, high]")
        if len(value) == 2 or (len(value) == 3 and info.field_name in ("uniform", "int")):
            return value
        hint = f"; these values only are {{choice: {_as_choice(value)}}}" if value[2:] else ""
        raise ValueError(f"found {list(value)!r}, expected two bounds, [low, high]{hint}")

    @model_validator(mode="after")
    def _one_valid_kind(self) -> Self:
        kinds = [name for name in _KINDS if name in self.model_fields_set]
        if len(kinds) != 1:
            raise ValueError(f"give exactly one of {', '.join(_KINDS)}")
        if self.choice is not None:
            if len(set(map(repr, self.choice))) < len(self.choice):
                raise ValueError(f"choice {list(self.choice)} has a value twice")
            return self
        bounds = getattr(self, kinds[0])
        if bounds is None:
            raise ValueError(f"{kinds[0]} is empty; expected [low, high]")
        low, high, *step = bounds
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{kinds[0]} [{low:g}, {high:g}] has a bound that is not finite")
        if low >= high:
            raise ValueError(f"empty range: {kinds[0]} [{low:g}, {high:g}] needs low < high")
        if step:
            _require_step(kinds[0], low, high, step[0])
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
            low, high, *step = self.uniform
            return FloatDistribution(low, high, step=step[0] if step else None)
        if self.log_uniform is not None:
            return FloatDistribution(*self.log_uniform, log=True)
        if self.int is not None:
            first, last, *by = self.int
            return IntDistribution(first, last, step=by[0] if by else 1)
        assert self.log_int is not None
        return IntDistribution(*self.log_int, log=True)

    def bounds(self) -> tuple[Any, ...]:
        """All choices, or both bounds."""
        if self.choice is not None:
            return self.choice
        return (self.uniform or self.log_uniform or self.int or self.log_int or ())[:2]

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        if self.choice is not None:
            return all(isinstance(value, int) for value in self.choice)
        return self.int is not None or self.log_int is not None

    def all_values(self) -> Sequence[Any]:
        """All choices, all whole numbers, or both bounds of a real range."""
        whole = self.int or self.log_int
        return range(whole[0], whole[1] + 1, *whole[2:]) if whole else self.bounds()

    def allows(self, settings: Mapping[str, Any]) -> bool:
        """Whether ``when`` is fulfilled by some settings; one that is not among them fulfils it."""
        for name, wanted in (self.when or {}).items():
            values = wanted if isinstance(wanted, tuple) else (wanted,)
            if name in settings and not any(_same(settings[name], value) for value in values):
                return False
        return True


_KINDS = ("choice", "uniform", "log_uniform", "int", "log_int")


def _require_step(kind: str, low: float, high: float, step: float) -> None:
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"{kind} [{low:g}, {high:g}, {step:g}]: the step must be above 0")
    steps = (high - low) / step
    if abs(steps - round(steps)) > _NEAR or round(steps) < 1:
        last = low + math.floor(steps + _NEAR) * step
        raise ValueError(
            f"{kind} [{low:g}, {high:g}, {step:g}]: {high:g} is not a whole number of steps above "
            f"{low:g}; give {max(last, low + step):g}, or, if these values only are meant, "
            f"{{choice: {_as_choice((low, high, step))}}}"
        )


_NEAR = 1e-6
"""Of a step: floats are no decimals."""


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _as_choice(values: Sequence[Any]) -> list[Any]:
    """The values that more than two bounds may mean: each one."""
    return list({repr(value): value for value in values}.values())
