"""A picture of a confirmation: what the search said, and what came out again."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from study.analysis.confirmation import Confirmation
from study.plots.style import ACCENT, GRID, INK, PALE, figure, styled

_JITTER = 0.16


def confirmed(found: Confirmation, objective: str) -> Figure:
    """One row per configuration: the search's number, every seed again, their mean and interval."""
    rows = [row for row in found.rows if row.values]
    with styled():
        picture = figure(6.4, 1.4 + 0.45 * len(rows))
        axes = picture.subplots()
        for place, row in enumerate(rows):
            values = [row.values[seed] for seed in sorted(row.values)]
            spread = np.linspace(-_JITTER, _JITTER, len(values)) if len(values) > 1 else [0.0]
            first = place == 0
            axes.plot(
                values, place + np.asarray(spread), ".", color=PALE, markersize=6,
                label="one seed, new splits" if first else None,
            )  # fmt: skip
            if not math.isnan(row.mean.low):
                axes.hlines(place, row.mean.low, row.mean.high, color=INK, linewidth=1.8)
            axes.plot(
                row.mean.value, place, "o", color=INK, markersize=5.5,
                label="mean, 95% interval" if first else None,
            )  # fmt: skip
            axes.plot(
                row.searched, place, "D", color=ACCENT, markersize=5.5,
                label="in the search" if first else None,
            )  # fmt: skip
        trusted = found.trusted
        axes.set_yticks(
            range(len(rows)),
            [f"trial {row.trial}{' ←' if row is trusted else ''}" for row in rows],
        )
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(objective)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        picture.legend(loc="outside upper left", ncols=3)
    return picture
