"""The Pareto front of a study whose objective has a cost."""

from __future__ import annotations

from collections.abc import Sequence

from refinevad.config.costs import CostEntry
from study.ledger.records import TrialRecord, ranked
from study.text import counted

CLOSE = 0.01
"""Objective below the best that a cheaper trial may have to be named."""


def pareto_front(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that no other one beats: whose cost is lower than that of all with a higher objective.

    The cheapest first; of trials that are equal in both, the first.
    """
    front: list[TrialRecord] = []
    least = float("inf")
    for record in sorted(
        (r for r in ranked(records) if r.cost is not None),
        key=lambda r: (-(r.objective or 0.0), r.cost, r.number),
    ):
        if record.cost is not None and record.cost < least:
            front.append(record)
            least = record.cost
    return front[::-1]


def front_sentence(records: Sequence[TrialRecord], objective: str, cost: CostEntry) -> str:
    """The front in a sentence or two; empty where no trial has a result and a cost."""
    front = pareto_front(records)
    if not front:
        return ""
    size = sum(r.cost is not None for r in ranked(records))
    text = f"Pareto front: {len(front)} of {counted(size, 'trial')}"
    best = front[-1]
    if len(front) == 1:
        return f"{text}; trial {best.number} {_said(best, objective, cost)}, and none is cheaper."
    text += (
        f", from trial {front[0].number} {_said(front[0], objective, cost)} to trial {best.number} "
        f"{_said(best, objective, cost)}."
    )
    close = next(r for r in front if _value(r) >= _value(best) - CLOSE)
    if close is not best:
        text += (
            f" Trial {close.number} is the cheapest within {CLOSE} of the best: "
            f"{_said(close, objective, cost)}, {_share(close, best)} of its cost."
        )
    return text


def _said(record: TrialRecord, objective: str, cost: CostEntry) -> str:
    return f"({_value(record):.4f} {objective}, {cost.text(record.cost or 0.0)})"


def _share(record: TrialRecord, of: TrialRecord) -> str:
    return f"{100 * (record.cost or 0.0) / (of.cost or 1.0):.0f}%"


def _value(record: TrialRecord) -> float:
    return record.objective or 0.0
