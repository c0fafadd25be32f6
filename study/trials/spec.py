"""The input and the output of a trial."""

from __future__ import annotations

from dataclasses import dataclass, field

from study.ledger.records import TrialResult
from study.space.dimension import Params


@dataclass(frozen=True)
class TrialSpec:
    """Everything that one trial depends on, besides the study file and the data."""

    number: int
    params: Params
    seed: int
    stopping_curve: list[float] | None = None
    keep_above: float | None = None
    """Objective from which a checkpoint is worth sending back; None: never."""
    whole_gpu: bool = False
    """Needs a whole GPU: it ran out of memory on a shared one."""


@dataclass(frozen=True)
class TrialOutcome:
    """The message of a worker at the end of a trial."""

    number: int
    result: TrialResult
    checkpoint: bytes | None = field(default=None, repr=False)
