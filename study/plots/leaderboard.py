"""Pictures of a leaderboard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from study.analysis.estimate import Estimate
from study.plots.style import ACCENT, DASHES, GRID, INK, LINES, MARKS, PALE, figure, styled

Array = NDArray[Any]
_JITTER = 0.16


def means(
    found: Mapping[str, tuple[Estimate, Array]],
    label: str,
    floors: Mapping[str, Mapping[str, float]],
    metric: str,
) -> Figure:
    """One row per method: seeds as points, the mean and its interval; baselines as lines."""
    with styled():
        picture = figure(7.2, 1.3 + 0.36 * max(1, len(found)))
        axes = picture.subplots()
        for row, (mean, values) in enumerate(found.values()):
            spread = np.linspace(-_JITTER, _JITTER, len(values)) if len(values) > 1 else [0.0]
            first = row == 0
            axes.plot(
                values, row + np.asarray(spread), ".", color=PALE, markersize=6,
                label="one seed" if first else None,
            )  # fmt: skip
            if not math.isnan(mean.low):
                axes.hlines(row, mean.low, mean.high, color=INK, linewidth=1.8)
            axes.plot(
                mean.value, row, "o", color=INK, markersize=5.5,
                label="mean, 95% interval" if first else None,
            )  # fmt: skip
        for place, (name, values_of) in enumerate(floors.items()):
            if metric in values_of:
                axes.axvline(
                    values_of[metric], color=ACCENT, linewidth=1.1,
                    linestyle=DASHES[1 + place % 3], label=name,
                )  # fmt: skip
        axes.set_yticks(range(len(found)), list(found))
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel(label)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        picture.legend(loc="outside upper left", ncols=2)
    return picture


def best_of_curves(curves: Mapping[str, Mapping[int, float]], label: str) -> Figure:
    """Expected best objective against the number of trials, one line per method."""
    with styled():
        picture = figure(7.2, 3.6)
        axes = picture.subplots()
        for place, (name, points) in enumerate(curves.items()):
            axes.plot(
                list(points), list(points.values()), color=LINES[place % len(LINES)],
                linestyle=DASHES[place // len(LINES) % len(DASHES)],
                marker=MARKS[place % len(MARKS)], markersize=4.5, linewidth=1.3, label=name,
            )  # fmt: skip
        axes.set(xlabel="trials", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID, linewidth=0.6)
        picture.legend(loc="outside right upper")
    return picture


def accuracy_and_cost(points: Mapping[str, tuple[float, Estimate]], label: str) -> Figure:
    """The mean of each method against the operations of scoring a video."""
    with styled():
        picture = figure(7.2, 3.6)
        axes = picture.subplots()
        for name, (cost, mean) in points.items():
            if not math.isnan(mean.low):
                axes.vlines(cost, mean.low, mean.high, color=PALE, linewidth=1.2)
            axes.plot(cost, mean.value, "o", color=INK, markersize=5)
            axes.annotate(
                name, (cost, mean.value), xytext=(5, 3), textcoords="offset points", fontsize=8
            )
        costs = [cost for cost, _ in points.values()]
        if min(costs) > 0 and max(costs) > 8 * min(costs):
            axes.set_xscale("log")
        axes.set(xlabel="MFLOPs of scoring a video", ylabel=label)
        axes.grid(color=GRID, linewidth=0.6)
    return picture
