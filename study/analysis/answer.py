"""A study's importances: computed, printed, written as tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.table import Table

from refinevad.files import write_whole
from study.analysis import sentences
from study.analysis.importance import BOOTSTRAPS, METHODS, PROBE, Estimate, Importance, importance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from study.ledger.study import Studied

METHOD_HEADS = {
    "permutation": "permutation",
    "mdi": "impurity (MDI)",
    "ped_anova": "PED-ANOVA",
}


def answer(
    studied: Studied,
    *,
    bootstraps: int = BOOTSTRAPS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Importance:
    """The importances of a study: the same trials give the same answer.

    Raises:
        Unanswerable: The trials cannot say anything.
    """
    return importance(
        studied.records,
        studied.file.distributions(),
        space_filling=studied.file.search.space_filling,
        seed=studied.seed("importance"),
        bootstraps=bootstraps,
        progress=progress,
    )


def paper_of(studied: Studied) -> Mapping[str, float] | None:
    """The paper's importances, where the study is on its data set."""
    data = studied.file.data
    return sentences.PAPER_XD if data.taxonomy == "xd" and data.synthetic is None else None


def importance_table(found: Importance, paper: Mapping[str, float] | None) -> pd.DataFrame:
    """One row per hyperparameter, the most important first; then the probe, then those with one
    value only."""
    rows = []
    for parameter in found.parameters:
        row: dict[str, object] = {"hyperparameter": parameter.name}
        for method in METHODS:
            estimate = parameter.shares[method]
            row |= {
                method: estimate.value,
                f"{method}_low": estimate.low,
                f"{method}_high": estimate.high,
            }
        row |= {"p_first": parameter.first, "above_noise": parameter.above_noise}
        if paper:
            row["paper"] = paper.get(parameter.name)
        rows.append(row)
    probe: dict[str, object] = {"hyperparameter": PROBE}
    for method in METHODS:
        noise = found.probe[method]
        probe |= {
            method: noise.value,
            f"{method}_low": noise.low,
            f"{method}_high": noise.high,
        }
    rows.append(probe)
    rows += [{"hyperparameter": name} for name in found.single]
    return pd.DataFrame(rows)


def interactions_table(found: Importance) -> pd.DataFrame:
    """One row per pair of hyperparameters, the strongest first."""
    return pd.DataFrame(
        [
            {
                "one": pair.names[0],
                "other": pair.names[1],
                "share_of_variance": pair.share.value,
                "low": pair.share.low,
                "high": pair.share.high,
                "above_noise": pair.above_noise,
            }
            for pair in found.interactions
        ]
    )


def stages_table(found: Importance) -> pd.DataFrame:
    """The headline from the first trials only: one row per stage and hyperparameter."""
    return pd.DataFrame(
        [
            {
                "trials": stage.trials,
                "hyperparameter": name,
                "permutation": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
            }
            for stage in found.stages
            for name, estimate in stage.shares.items()
        ]
    )


def print_answer(console: Console, studied: Studied, found: Importance) -> None:
    """Prints the gate first, then the table, then what follows from it."""

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    say(f"{studied.name}: which hyperparameters decide {studied.objective}? {describe(studied)}")
    if studied.floor is not None:
        say(f"objectives below {studied.floor:g} count as {studied.floor:g}")
    say(sentences.gate(found), style=None if found.gate.open else "bold yellow")
    paper = paper_of(studied)
    table = Table(box=None, padding=(0, 1), show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for method in METHODS:
        table.add_column(METHOD_HEADS[method], justify="right", no_wrap=True)
    table.add_column("P(first)", justify="right")
    if paper:
        table.add_column("paper", justify="right", style="dim")
    table.add_column("")
    for parameter in found.parameters:
        cells = [_short(parameter.shares[method]) for method in METHODS]
        row = [parameter.name, *cells, f"{parameter.first:.2f}"]
        if paper:
            row.append(f"{paper[parameter.name]:.2f}" if parameter.name in paper else "")
        noise = "" if parameter.above_noise else "≈ noise"
        table.add_row(*row, noise, style=None if parameter.above_noise else "dim")
    probe = [_short(found.probe[method]) for method in METHODS]
    table.add_row(PROBE, *probe, *[""] * (3 if paper else 2), style="dim")
    console.print(table)
    say(
        "shares of importance with 95% intervals; permutation: on a uniform design, the headline; "
        "impurity: the paper's; PED-ANOVA: what separates the best 10%; ≈ noise: cannot be told "
        "from the random probe",
        style="dim",
    )
    if found.single:
        say(f"one value only, so nothing can be said of: {', '.join(found.single)}")
    say(sentences.finding(found), style="bold")
    say(sentences.best_tenth(found))
    say(sentences.interactions(found))
    say(sentences.settled(found))


def _short(estimate: Estimate) -> str:
    """``.48 [.46, .52]``: shares, so that four columns fit into a narrow terminal."""
    parts = (
        f"{part:.2f}".removeprefix("0") for part in (estimate.value, estimate.low, estimate.high)
    )
    return "{} [{}, {}]".format(*parts)


def describe(studied: Studied) -> str:
    """``(300 trials: 270 complete, 30 pruned)``."""
    ended = studied.ended
    counts = {
        "complete": sum(r.state == "COMPLETE" and not r.diverged for r in ended),
        "pruned": sum(r.state == "PRUNED" and not r.diverged for r in ended),
        "diverged, objective 0": sum(r.diverged for r in ended),
        "failed, left out": sum(r.state == "FAILED" for r in ended),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"({len(ended)} trials: {said})"


def pictures(studied: Studied, found: Importance) -> dict[str, tuple[Figure, str]]:
    """File name -> picture, and what it shows."""
    from study.plots.importance import importances, interaction, stability
    from study.plots.trials import best_by_value

    top = [parameter.name for parameter in found.parameters[:3]]
    shown = {
        "importance": (
            importances(found, paper_of(studied)),
            "Share of importance of each hyperparameter, 95% intervals by bootstrap over trials. "
            + sentences.sentence(sentences.gate(found)),
        ),
        "best_by_value": (
            best_by_value(studied.records, studied.encoder, top, studied.objective),
            "Best objective by value of the first three hyperparameters, all trials as points",
        ),
        "stability": (
            stability(found.stages),
            "Share of importance computed from the first trials only, 95% intervals",
        ),
    }
    if found.interactions:
        shown["interaction"] = (
            interaction(found, studied.encoder, studied.objective),
            "What the forest predicts for the pair that interacts most, the others averaged out",
        )
    return shown


def write_answer(studied: Studied, found: Importance, folder: Path) -> list[Path]:
    """Writes tables as CSV and pictures as PNG and SVG into ``folder``; returns the files."""
    from study.plots.style import save

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in (
        ("importance.csv", importance_table(found, paper_of(studied))),
        ("interactions.csv", interactions_table(found)),
        ("stages.csv", stages_table(found)),
    ):
        content: str = table.to_csv(index=False)
        write_whole(folder / name, content.encode())
        written.append(folder / name)
    for name, (picture, caption) in pictures(studied, found).items():
        written += save(picture, folder / name, f"{caption}. {studied.caption()}.")
    return written
