"""Pictures of single videos: score curves over the ground truth, category bars, a map of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from study.plots.style import ACCENT, GRID, INK, MARKS, PALE, figure, styled
from study.space.encoding import Floats

_COLUMNS = 3
_CATEGORY_COLOURS = ("#1b3a5b", "#b3401f", "#3f7f4c", "#8a6d00", "#7a5195")


@dataclass(frozen=True)
class VideoCurve:
    """A test video: title, scores per snippet, frames of a snippet, events in frames."""

    title: str
    scores: Floats
    snippet: int
    events: Sequence[tuple[int, int]]


def score_curves(videos: Sequence[VideoCurve]) -> Figure:
    """Scores over frames, one panel a video; annotated events are shaded (Figures 5, 7, 8)."""
    rows = -(-len(videos) // _COLUMNS)
    with styled():
        picture = figure(3.2 * _COLUMNS, 1.55 * rows + 0.5)
        panels = picture.subplots(rows, _COLUMNS, sharey=True, squeeze=False).flatten()
        for panel, video in zip(panels, videos, strict=False):
            end = len(video.scores) * video.snippet
            for index, (start, stop) in enumerate(video.events):
                label = "annotated" if index == 0 else None
                panel.axvspan(start, min(stop, end), color="#f0c9bd", label=label)
            edges = np.arange(len(video.scores) + 1) * video.snippet
            panel.stairs(
                video.scores, edges, baseline=None, color=INK, linewidth=1.3, label="score"
            )
            panel.set_xlim(0, end)
            panel.set_ylim(-0.03, 1.03)
            panel.set_title(video.title, size=8.5)
            panel.tick_params(labelsize=7.5)
            panel.grid(axis="y", color=GRID, linewidth=0.6)
        for panel in panels[len(videos) :]:
            panel.set_axis_off()
        for panel in panels[max(0, len(videos) - _COLUMNS) : len(videos)]:
            panel.set_xlabel("frame", size=8.5)
        for panel in panels[::_COLUMNS]:
            panel.set_ylabel("score", size=8.5)
        found: dict[str, Any] = {}
        for panel in panels[: len(videos)]:
            for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
                found.setdefault(label, handle)
        picture.legend(list(found.values()), list(found), loc="outside upper left", ncols=2)
    return picture


def category_bars(
    titles: Sequence[str], probs: Floats, categories: Sequence[str], own: Sequence[Sequence[int]]
) -> Figure:
    """Category probabilities of single videos (Figure 6); a video's own labels are filled.

    Args:
        titles: Titles of the M videos.
        probs: (M, C) probabilities.
        categories: Names of the C categories.
        own: Columns of each video's own labels.
    """
    rows = -(-len(titles) // _COLUMNS)
    with styled():
        picture = figure(3.2 * _COLUMNS, (0.5 + 0.145 * len(categories)) * rows + 0.5)
        panels = picture.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
        for panel, title, row, labels in zip(panels, titles, probs, own, strict=False):
            colours = [ACCENT if i in labels else PALE for i in range(len(categories))]
            bars = panel.barh(range(len(categories)), row, color=colours, height=0.75)
            for i in labels:
                bars[i].set_hatch("////")
                bars[i].set_edgecolor("white")
            panel.set_yticks(range(len(categories)), categories)
            panel.set_ylim(len(categories) - 0.4, -0.6)
            panel.set_xlim(0, 1)
            panel.set_title(title, size=8.5)
            panel.tick_params(labelsize=7)
            panel.grid(axis="x", color=GRID, linewidth=0.6)
        for panel in panels[len(titles) :]:
            panel.set_axis_off()
        for panel in panels[max(0, len(titles) - _COLUMNS) : len(titles)]:
            panel.tick_params(labelbottom=True)
            panel.set_xlabel("probability", size=8.5)
    return picture


def video_map(places: Floats, labels: Sequence[str], order: Sequence[str]) -> Figure:
    """Videos in a plane, one colour and mark a category (Figure 4).

    Args:
        places: (M, 2).
        labels: Category of each video.
        order: Categories, in the order of the legend.
    """
    with styled():
        picture = figure(7.6, 5.0)
        axes = picture.subplots()
        for i, name in enumerate(order):
            chosen = np.array([label == name for label in labels])
            if chosen.any():
                axes.plot(
                    *places[chosen].T,
                    MARKS[i % len(MARKS)],
                    color=_CATEGORY_COLOURS[i % len(_CATEGORY_COLOURS)],
                    markersize=5.5,
                    markerfacecolor=("none" if (i // len(MARKS)) % 2 else _CATEGORY_COLOURS[i % 5]),
                    label=name,
                    linestyle="",
                )
        axes.set(xticks=[], yticks=[])
        picture.legend(loc="outside right upper")
    return picture
