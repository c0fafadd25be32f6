"""Pictures of importances: shares, their stability, the strongest interaction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from refinevad.config.published import Published
from study.analysis.importance import PROBE, Importance, Stage
from study.plots.style import (
    ACCENT,
    DASHES,
    GRID,
    INK,
    LINES,
    MARKS,
    PALE,
    SHADE,
    figure,
    scale_ticks,
    styled,
    value_axis,
)
from study.space.encoding import Encoder, Floats, Scale

METHOD_NAMES = {
    "permutation": "permutation on a uniform design",
    "mdi": "impurity (MDI, the paper's)",
    "ped_anova": "PED-ANOVA (for being among the best 10%)",
}


def importances(answer: Importance, paper: Published | None = None) -> Figure:
    """Every hyperparameter's share by every method, with 95% intervals.

    Args:
        answer: Importances, drawn from the most important down.
        paper: The paper's own importances, where the study is on its data set.
    """
    count = len(answer.parameters)
    with styled():
        picture = figure(9, 1.6 + 0.52 * count)
        axes = picture.subplots()
        noise = answer.probe["permutation"].high
        axes.axvspan(0, noise, color=SHADE, label="noise: up to the random probe's interval")
        marks = (("o", INK, 6.5), ("s", "white", 5.0), ("^", "white", 5.5))
        for (method, name), (mark, fill, size), lower in zip(
            METHOD_NAMES.items(), marks, (-0.22, 0.06, 0.28), strict=True
        ):
            shares = [p.shares[method] for p in answer.parameters]
            rows = np.arange(count) + lower
            main = method == "permutation"
            axes.hlines(
                rows,
                [e.low for e in shares],
                [e.high for e in shares],
                color=INK if main else PALE,
                linewidth=2.4 if main else 1.3,
            )
            axes.plot(
                [e.value for e in shares],
                rows,
                mark,
                markersize=size,
                markerfacecolor=fill,
                markeredgecolor=INK if main else "#5b6b7a",
                label=name,
            )
        if paper:
            known = [
                (paper.numbers[p.name], row)
                for row, p in enumerate(answer.parameters)
                if p.name in paper.numbers
            ]
            axes.plot(
                [share for share, _ in known],
                [row - 0.02 for _, row in known],
                "x",
                color=ACCENT,
                markersize=7,
                markeredgewidth=2,
                label=f"the paper's {paper.where}",
            )
        names = [f"{p.name}\n{answer.mark(p)}".strip() for p in answer.parameters]
        axes.set_yticks(range(count), names)
        axes.set(ylim=(count - 0.4, -0.6), xlim=(0, None), xlabel="share of importance")
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        picture.legend(loc="outside upper left", ncols=2)
    return picture


def stability(stages: Sequence[Stage]) -> Figure:
    """The headline from the first trials only, at each stage, with 95% intervals."""
    with styled():
        picture = figure(9, 4.2)
        axes = picture.subplots()
        order = sorted(stages[-1].shares, key=lambda n: (n == PROBE, -stages[-1].shares[n].value))
        step = (stages[-1].trials - stages[0].trials or 1) * 0.006
        for i, name in enumerate(order):
            shares = [stage.shares[name] for stage in stages]
            x = [stage.trials + (i - len(order) / 2) * step for stage in stages]
            colour = "#888888" if name == PROBE else LINES[i % len(LINES)]
            axes.errorbar(
                x,
                [e.value for e in shares],
                [[e.value - e.low for e in shares], [e.high - e.value for e in shares]],
                color=colour,
                linestyle=DASHES[i % len(DASHES)],
                marker=MARKS[i % len(MARKS)],
                markersize=5,
                linewidth=1.4,
                elinewidth=0.9,
                label=name,
            )
        axes.set(xlabel="trials of the study used", ylabel="share of importance", ylim=(0, None))
        axes.set_xticks([stage.trials for stage in stages])
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        picture.legend(loc="outside right upper")
    return picture


def interaction(answer: Importance, encoder: Encoder, objective: str) -> Figure:
    """The forest's prediction over the pair that interacts most, all other hyperparameters averaged
    out."""
    names = answer.interactions[0].names
    i, j = (answer.names.index(name) for name in names)
    across, up = encoder.scales[i], encoder.scales[j]
    with styled():
        picture = figure(9, 4.4)
        axes = picture.subplots()
        grid = answer.effects.pairs[i, j].T  # rows go up
        edges = [_edges(across, grid.shape[1]), _edges(up, grid.shape[0])]
        mesh = axes.pcolormesh(edges[0], edges[1], grid, cmap="cividis", rasterized=True)
        value_axis(axes, across)
        axes.set_xlim(edges[0][0], edges[0][-1])
        ticks = scale_ticks(up)
        axes.set_yticks([code for code, _ in ticks], [label for _, label in ticks])
        axes.set_ylabel(f"{up.name} (log)" if up.logarithmic else up.name)
        picture.colorbar(mesh, ax=axes, label=f"predicted {objective}")
    return picture


def _edges(scale: Scale, cells: int) -> Floats:
    """Edges of the cells of a range, or of those around each value."""
    if scale.values is None:
        return np.linspace(*scale.bounds, cells + 1)
    codes = scale.codes(scale.values)
    middles = (codes[1:] + codes[:-1]) / 2
    return np.concatenate([[2 * codes[0] - middles[0]], middles, [2 * codes[-1] - middles[-1]]])
