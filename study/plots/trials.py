"""Pictures of trials: best objective by value, the history, the curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.ledger.records import TrialRecord, best
from study.plots.style import (
    ACCENT,
    GRID,
    INK,
    PALE,
    SHADE,
    figure,
    scale_ticks,
    styled,
    value_axis,
)
from study.space.encoding import Encoder, Floats, Scale

_INTERVALS = 12
_AS_PIXELS = 2000
"""Number of lines from which an image is smaller than vector graphics."""
_BEHIND_TEXT = {"facecolor": "white", "alpha": 0.75, "pad": 0.6, "linewidth": 0}


def best_by_value(
    records: Sequence[TrialRecord], encoder: Encoder, names: Sequence[str], objective: str
) -> Figure:
    """The best objective against each hyperparameter, and all trials as points (Figure 9).

    Args:
        records: Trials; those without a result are left out, diverged ones stay below.
        encoder: The space.
        names: Hyperparameters, one panel each.
        objective: Axis label, such as ``ap on val``.
    """
    used = _with_result(records)
    y = np.array([r.objective for r in used], dtype=float)
    with styled():
        picture = figure(3.3 * len(names) + 0.6, 3.6)
        panels = picture.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            scale = next(s for s in encoder.scales if s.name == name)
            x = scale.codes([r.params[name] for r in used])
            pruned = np.array([r.state == "PRUNED" for r in used])
            axes.plot(x[~pruned], y[~pruned], ".", color=PALE, markersize=4, label="trial")
            axes.plot(x[pruned], y[pruned], "x", color=PALE, markersize=4, label="pruned trial")
            _draw_best(axes, scale, x, y)
            value_axis(axes, scale)
            axes.grid(axis="y", color=GRID, linewidth=0.6)
        panels[0].set_ylabel(objective)
        panels[0].set_ylim(*_view(y))
        handles, labels = panels[0].get_legend_handles_labels()
        picture.legend(handles, labels, loc="outside upper left", ncols=3)
    return picture


def _draw_best(axes: Axes, scale: Scale, x: Floats, y: Floats) -> None:
    style: Any = {"color": ACCENT, "linewidth": 1.6, "label": "best"}
    if scale.values is not None and len(scale.values) <= _INTERVALS:
        found = [(c, y[np.isclose(x, c)].max()) for c in np.unique(x)]
        axes.plot([c for c, _ in found], [b for _, b in found], "-D", markersize=5, **style)
        return
    edges = np.linspace(0, 1, _INTERVALS + 1)
    cell = np.clip(np.digitize(x, edges) - 1, 0, _INTERVALS - 1)
    tops = [y[cell == i].max() if (cell == i).any() else np.nan for i in range(_INTERVALS)]
    axes.stairs(tops, edges, baseline=None, **style)


def history(records: Sequence[TrialRecord], space_filling: range, objective: str) -> Figure:
    """Every trial's objective in order, and the best so far; the space-filling part is shaded."""
    used = _with_result(records)
    y = np.array([r.objective for r in used], dtype=float)
    low, high = _view(y)
    with styled():
        picture = figure(9, 3.6)
        axes = picture.subplots()
        end = min(space_filling.stop, 1 + max((r.number for r in records), default=-1))
        if end > space_filling.start:
            axes.axvspan(space_filling.start - 0.5, end - 0.5, color=SHADE, label="space-filling")
        for label, chosen, style in (
            ("complete", [r for r in used if r.state == "COMPLETE" and not r.diverged], "."),
            ("pruned", [r for r in used if r.state == "PRUNED" and not r.diverged], "x"),
        ):
            axes.plot(
                [r.number for r in chosen],
                [_value(r) for r in chosen],
                style,
                color=INK if style == "." else PALE,
                markersize=4.5,
                label=label,
            )
        below = [r.number for r in used if (r.objective or 0.0) < low]
        if below:
            axes.plot(
                below, [low] * len(below), "v", color="#8a6d00", markersize=5, clip_on=False,
                label="below this view (diverged, or far off)",
            )  # fmt: skip
        failed = [r.number for r in records if r.state == "FAILED"]
        if failed:
            axes.plot(failed, [low] * len(failed), "|", color="black", markersize=9, clip_on=False,
                      label="failed")  # fmt: skip
        axes.step(
            [r.number for r in used],
            np.maximum.accumulate(y),
            where="post",
            color=ACCENT,
            linewidth=1.5,
            label="best so far",
        )
        axes.set(xlabel="trial", ylabel=objective, ylim=(low, high))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        picture.legend(loc="outside upper left", ncols=6)
    return picture


def parallel(records: Sequence[TrialRecord], encoder: Encoder, objective: str) -> Figure:
    """Parallel coordinates: one line per trial, the darker the better; the best ten on top."""
    used = sorted(_with_result(records), key=lambda r: r.objective or 0.0)
    codes = encoder.encode([r.params for r in used])
    ends = np.array([scale.bounds for scale in encoder.scales])
    heights = (codes - ends[:, 0]) / np.maximum(ends[:, 1] - ends[:, 0], 1e-12)
    y = np.array([r.objective for r in used], dtype=float)
    low, high = _view(y)
    last = np.clip((y - low) / (high - low), 0, 1)
    lines = np.hstack([heights, last[:, None]])
    with styled():
        picture = figure(9.6, 4.2)
        axes = picture.subplots()
        places = np.arange(lines.shape[1])
        jitter = np.random.default_rng(0).uniform(-0.012, 0.012, lines.shape)  # choices overlap
        for rank, line in enumerate(lines + jitter):
            among_best = rank >= len(lines) - 10
            part = rank / max(1, len(lines) - 1)
            axes.plot(
                places,
                line,
                color=ACCENT if among_best else INK,
                alpha=0.95 if among_best else 0.04 + 0.3 * part**2,
                linewidth=1.5 if among_best else 0.8,
                rasterized=len(lines) > _AS_PIXELS and not among_best,
            )
        for place, scale in enumerate(encoder.scales):
            axes.axvline(place, color="black", linewidth=0.8)
            start, end = scale.bounds
            for code, label in scale_ticks(scale):
                height = (code - start) / (end - start or 1.0)
                axes.text(place + 0.03, height, label, size=7.5, va="center", bbox=_BEHIND_TEXT)
        axes.axvline(places[-1], color="black", linewidth=0.8)
        for part in np.linspace(0, 1, 5):
            axes.text(
                places[-1] + 0.03, part, f"{low + part * (high - low):.3f}", size=7.5, va="center"
            )
        names = [f"{s.name}\n(log)" if s.logarithmic else s.name for s in encoder.scales]
        axes.set_xticks(places, [*names, objective])
        axes.set(yticks=[], xlim=(-0.1, places[-1] + 0.35), ylim=(-0.03, 1.03))
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(axis="x", length=0)
    return picture


def learning_curves(records: Sequence[TrialRecord], objective: str, *, count: int = 10) -> Figure:
    """The objective per epoch: the best trials, and the pruned ones until they were stopped."""
    used = [r for r in _with_result(records) if r.curve and not r.diverged]
    leaders = sorted(used, key=lambda r: (-(r.objective or 0.0), r.number))[:count]
    pruned = [r for r in used if r.state == "PRUNED"]
    with styled():
        picture = figure(9, 4.0)
        axes = picture.subplots()
        shown: list[float] = []
        for index, record in enumerate(pruned):
            epochs, values = _curve(record)
            shown += values
            axes.plot(epochs, values, color=PALE, linewidth=0.7, rasterized=True)
            label = f"{len(pruned)} pruned, stopped here" if index == 0 else None
            end = (epochs[-1], values[-1])
            axes.plot(*end, "x", color=PALE, markersize=4, rasterized=True, label=label)
        winner = best(records)
        for index, record in enumerate(reversed(leaders)):
            epochs, values = _curve(record)
            shown += values
            first = winner is not None and record.number == winner.number
            colour, width = (ACCENT, 2.2) if first else (INK, 1.1)
            label = f"best: trial {record.number}" if first else None
            if index == 0 and not first:
                label = f"the next {len(leaders) - 1}"
            axes.plot(epochs, values, color=colour, linewidth=width, label=label)
            top = int(np.argmax(values))
            axes.plot(epochs[top], values[top], "D", markersize=4, color=colour)
        axes.set(xlabel="epoch", ylabel=objective, ylim=_view(np.array(shown or [0.0, 1.0])))
        axes.set_xlim(left=0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        if leaders or pruned:
            picture.legend(loc="outside upper left", ncols=4)
    return picture


def _with_result(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [r for r in records if r.ended and r.objective is not None]


def _value(record: TrialRecord) -> float:
    assert record.objective is not None
    return record.objective


def _curve(record: TrialRecord) -> tuple[list[int], list[float]]:
    return [int(row["epoch"]) for row in record.curve], [row["objective"] for row in record.curve]


def _view(values: Floats) -> tuple[float, float]:
    """Limits of an objective's axis: a few trials far below must not flatten the others."""
    if len(values) == 0:
        return 0.0, 1.0
    high, middle = float(values.max()), float(np.median(values))
    low = float(values.min())
    if high > middle:
        low = max(low, high - 4 * (high - min(middle, float(np.percentile(values, 25)))))
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin
