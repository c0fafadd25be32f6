"""Figures of a run: arrays in, matplotlib figures out. No window is ever opened.

Readable in grey: lines differ by dash as well as by colour, and areas by hatching.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Array = NDArray[Any]

_INK, _ACCENT, _SHADE = "#1b3a5b", "#b3401f", "#c9c9c9"
_DASHES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]


def score_curve(
    scores: Array,
    seconds_per_snippet: float,
    *,
    title: str,
    note: str = "",
    events: Sequence[tuple[float, float]] | None = None,
) -> Figure:
    """Anomaly score over time.

    Args:
        scores: (n,) in [0, 1], one per snippet.
        seconds_per_snippet: Length of a snippet.
        title: The video.
        note: A second line under the title, such as the categories found.
        events: Annotated (start, end) in seconds, shaded; None: no annotation is known; an empty
            sequence: annotated as normal.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    edges = np.arange(len(scores) + 1) * seconds_per_snippet
    for index, (start, end) in enumerate(events or []):
        axes.axvspan(
            start,
            end,
            facecolor=_SHADE,
            edgecolor="white",
            hatch="///",
            linewidth=0,
            label="annotated anomaly" if index == 0 else None,
        )
    axes.stairs(scores, edges, color=_INK, linewidth=1.6, label="score", baseline=None)
    axes.set(xlim=(0, edges[-1]), ylim=(-0.02, 1.02), xlabel="time (s)", ylabel="anomaly score")
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    if events is not None and not events:
        note = f"{note}; annotated as normal" if note else "annotated as normal"
    axes.set_title(f"{title}\n{note}" if note else title, loc="left", fontsize=10, parse_math=False)
    if events:
        figure.legend(loc="outside upper right", frameon=False, fontsize=9, ncols=2)
    return figure


def training_curves(
    objective: Sequence[float],
    losses: Mapping[str, Sequence[float]],
    *,
    objective_name: str,
    selected_epoch: int,
    note: str = "",
) -> Figure:
    """Objective and losses per epoch, with the selected epoch marked.

    Args:
        objective: One value per epoch, epoch 1 first.
        losses: Name -> one value per epoch; NaN where there is none. Drawn on a log axis, because
            the parts of the loss differ by orders of magnitude.
        objective_name: Axis label, such as ``val/ap``.
        selected_epoch: 1-based; 0 marks nothing.
        note: A line above both panels.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    if note:
        figure.suptitle(note, x=0.01, ha="left", fontsize=10, color=_ACCENT)
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(objective) + 1)
    left.plot(epochs, objective, color=_INK, marker="o", markersize=3.5, linewidth=1.4)
    left.set(title="objective", xlabel="epoch", ylabel=objective_name)
    colours = ["black", _ACCENT, "#3f7f4c", "#7a5195", "#8a6d00"]
    for index, (name, values) in enumerate(losses.items()):
        positive = np.where(np.asarray(values, dtype=float) > 0, values, np.nan)
        right.plot(
            epochs,
            positive,
            color=colours[index % len(colours)],
            linestyle=_DASHES[index % len(_DASHES)],
            linewidth=1.8 if index == 0 else 1.4,
            label=name,
        )
    right.set(title="training losses", xlabel="epoch", ylabel="loss (log)")
    right.set_yscale("log")
    for axes in (left, right):
        axes.grid(color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if selected_epoch:
            axes.axvline(selected_epoch, color=_ACCENT, linestyle=":", linewidth=1.4)
    if selected_epoch:
        value = objective[selected_epoch - 1]
        left.plot(selected_epoch, value, marker="D", color=_ACCENT, markersize=7, linestyle="",
                  label=f"selected: epoch {selected_epoch}, {value:.3f}")  # fmt: skip
        left.legend(frameon=False, fontsize=9, loc="best")
    right.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Writes a PNG; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
