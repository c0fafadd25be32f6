"""A picture of all trials by cost and objective, and of their Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from refinevad.config.costs import CostEntry
from study.ledger.records import TrialRecord
from study.plots.style import ACCENT, GRID, PALE, figure, styled

_NAMED = 8
"""Trials of the front that are named in the picture, at most."""


def pareto(
    records: Sequence[TrialRecord], front: Sequence[TrialRecord], objective: str, cost: CostEntry
) -> Figure:
    """Every trial as a dot; the front as steps."""
    with styled():
        picture = figure(7.2, 3.8)
        axes = picture.subplots()
        axes.plot(*_places(records, cost), ".", color=PALE, markersize=5, label="trial")
        x, y = _places(front, cost)
        axes.step(
            x, y, where="post", color=ACCENT, linewidth=1.4, marker="D", markersize=4.5,
            label="Pareto front",
        )  # fmt: skip
        if len(front) <= _NAMED:
            for record, place in zip(front, zip(x, y, strict=True), strict=True):
                axes.annotate(
                    str(record.number), place, xytext=(-3, 4), textcoords="offset points",
                    ha="right", fontsize=8, color=ACCENT,
                )  # fmt: skip
        every, _ = _places(records, cost)
        if min(every) > 0 and max(every) > 8 * min(every):
            axes.set_xscale("log")
        axes.set(xlabel=cost.title, ylabel=objective)
        axes.grid(color=GRID, linewidth=0.6)
        picture.legend(loc="outside upper left", ncols=2)
    return picture


def _places(records: Sequence[TrialRecord], cost: CostEntry) -> tuple[list[float], list[float]]:
    return (
        [cost.scale * (r.cost or 0.0) for r in records],
        [r.objective or 0.0 for r in records],
    )
