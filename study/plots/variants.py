"""A picture of variants: every seed as a point, means with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from study.analysis.estimate import Estimate
from study.analysis.paired import VariantResult
from study.plots.style import ACCENT, DASHES, GRID, INK, LINES, MARKS, PALE, figure, styled

_JITTER = 0.16


def variants(
    panels: Mapping[str, Sequence[VariantResult]],
    *,
    names: Mapping[str, str],
    marks: Mapping[str, float] | None = None,
    mark: str = "video-label baseline",
) -> Figure:
    """One panel per metric, one row per variant: seeds as points, the mean and its 95% interval.

    Args:
        panels: Label of a metric -> results, in the same order of variants.
        names: Variant -> its title.
        marks: Label of a metric -> a value to draw a line at.
        mark: Label of that line.
    """
    rows = [names.get(r.name, r.name) for r in next(iter(panels.values()))]
    with styled():
        picture = figure(1.7 + 2.6 * len(panels), 1.3 + 0.42 * len(rows))
        axes = picture.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for panel, (label, results) in zip(axes, panels.items(), strict=True):
            for row, result in enumerate(results):
                values = [result.values[k] for k in sorted(result.values)]
                spread = np.linspace(-_JITTER, _JITTER, len(values)) if len(values) > 1 else [0.0]
                panel.plot(
                    values, row + np.asarray(spread), ".", color=PALE, markersize=6,
                    label="one seed" if row == 0 else None,
                )  # fmt: skip
                mean = result.mean
                if not math.isnan(mean.low):
                    panel.hlines(row, mean.low, mean.high, color=INK, linewidth=1.8)
                if not math.isnan(mean.value):
                    panel.plot(
                        mean.value, row, "o", color=INK, markersize=5.5,
                        label="mean, 95% interval" if row == 0 else None,
                    )  # fmt: skip
            if marks and label in marks:
                panel.axvline(
                    marks[label], color=ACCENT, linewidth=1.2, linestyle="--",
                    label=mark,
                )  # fmt: skip
            panel.set_xlabel(label)
            panel.grid(axis="x", color=GRID, linewidth=0.6)
            panel.tick_params(axis="y", length=0)
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        found: dict[str, Any] = {}
        for panel in axes:
            for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
                found.setdefault(label, handle)
        picture.legend(list(found.values()), list(found), loc="outside upper left", ncols=3)
    return picture


def lines(curves: Mapping[str, Mapping[float, Estimate]], *, xlabel: str, ylabel: str) -> Figure:
    """One line per curve, with 95% intervals.

    Args:
        curves: Label -> x -> estimate.
        xlabel: Label of x.
        ylabel: Label of the estimates.
    """
    with styled():
        picture = figure(7, 3.6)
        axes = picture.subplots()
        for i, (label, points) in enumerate(curves.items()):
            x = np.array(list(points)) + 0.004 * (i - (len(curves) - 1) / 2)  # side by side
            values = [e.value for e in points.values()]
            colour = LINES[i % len(LINES)]
            axes.plot(
                x, values, linestyle=DASHES[i % len(DASHES)], marker=MARKS[i % len(MARKS)],
                color=colour, markersize=5, linewidth=1.3, label=label,
            )  # fmt: skip
            for at, e in zip(x, points.values(), strict=True):
                if not math.isnan(e.low):
                    axes.vlines(at, e.low, e.high, color=colour, linewidth=1)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_xticks(sorted({at for points in curves.values() for at in points}))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        picture.legend(loc="outside right upper")
    return picture
