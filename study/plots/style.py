"""The common style of all pictures of a study: ink, marks, axes of hyperparameters, files."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from refinevad.files import write_whole
from study.space.encoding import Scale

INK, ACCENT, PALE, SHADE, GRID = "#1b3a5b", "#b3401f", "#9aa7b4", "#ececec", "#e4e4e4"
LINES = ["#1b3a5b", "#b3401f", "#3f7f4c", "#7a5195", "#8a6d00", "#00747a", "#8c2d5a", "#555555"]
DASHES: list[Any] = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), "-"]
MARKS = ["o", "s", "^", "D", "v", "P", "X", "*"]
"""Styles of lines. They differ in colour, dash and mark, so that they differ in grey too."""

_RC: Any = {
    "svg.hashsalt": "study",  # the same picture is the same file
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; draw within :func:`styled`."""
    return Figure(figsize=(width, height), layout="constrained")


def styled() -> Any:
    """A context in which pictures are drawn and written."""
    return mpl.rc_context(_RC)


def value_axis(axes: Axes, scale: Scale) -> None:
    """Labels an x-axis of a hyperparameter's codes with its values."""
    ticks = scale_ticks(scale)
    axes.set_xticks([code for code, _ in ticks], [label for _, label in ticks])
    first, last = scale.bounds
    margin = 0.04 * (last - first)
    axes.set_xlim(first - margin, last + margin)
    axes.set_xlabel(f"{scale.name} (log)" if scale.logarithmic else scale.name)


def scale_ticks(scale: Scale) -> list[tuple[float, str]]:
    """(code, label) of a few values of a hyperparameter."""
    if scale.values is not None and len(scale.values) <= 8:
        return [(scale.code(value), short(value)) for value in scale.values]
    distribution: Any = scale.distribution
    low, high = distribution.low, distribution.high
    if scale.logarithmic:
        exponents = range(-12, 13)
        decades = [10.0**e for e in exponents if low * 0.999 <= 10.0**e <= high * 1.001]
        values = decades if len(decades) >= 2 else [low, (low * high) ** 0.5, high]
    else:
        values = [low + (high - low) * part / 4 for part in range(5)]
        if scale.values is not None or isinstance(low, int):
            values = sorted({round(value) for value in values})
    return [(scale.code(value), short(value)) for value in values]


def svg(picture: Figure) -> str:
    """The picture as an SVG element, to stand in a page."""
    content = io.StringIO()
    with styled():
        picture.savefig(content, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    text = content.getvalue()
    return text[text.index("<svg") :]


def save(picture: Figure, path: Path, caption: str) -> list[Path]:
    """Writes ``path`` with .png and .svg, the caption below the picture."""
    width = int(picture.get_figwidth() * 15)
    with styled():
        picture.supxlabel(
            "\n".join(textwrap.wrap(caption, width)),
            **{"x": 0.01, "ha": "left", "size": 8, "color": "#444444", "parse_math": False},
        )
        written = []
        for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
            content = io.BytesIO()
            picture.savefig(content, format=suffix[1:], dpi=150, metadata=metadata)
            written.append(path.with_suffix(suffix))
            write_whole(written[-1], content.getvalue())
    return written


def short(value: Any) -> str:
    """A hyperparameter's value in three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def heat_map(table: pd.DataFrame, *, across: str, down: str, label: str) -> Figure:
    """Rows x columns of numbers from 0 up, each written in its cell."""
    values = table.to_numpy(dtype=float)
    top = max(0.01, float(values.max()))
    with styled():
        picture = figure(2.4 + 0.55 * values.shape[1], 1.6 + 0.33 * values.shape[0])
        axes = picture.subplots()
        image = axes.imshow(values, cmap="cividis", vmin=0, vmax=top, aspect="auto")
        axes.set_xticks(range(values.shape[1]), list(table.columns), rotation=45, ha="right")
        axes.set_yticks(range(values.shape[0]), list(table.index))
        axes.set(xlabel=across, ylabel=down)
        for (i, j), value in np.ndenumerate(values):
            text = f"{value:.2f}".removeprefix("0")
            colour = "black" if value > 0.55 * top else "white"
            axes.text(j, i, text, ha="center", va="center", size=7, color=colour)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0)
        picture.colorbar(image, ax=axes, label=label)
    return picture
