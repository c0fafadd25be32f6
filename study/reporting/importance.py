"""A study's importances on the terminal, as tables and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.table import Table

from refinevad.config.published import Published
from refinevad.files import write_whole
from study.analysis import sentences
from study.analysis.estimate import Estimate
from study.analysis.importance import METHODS, NEGLIGIBLE, PROBE, Importance
from study.analysis.study_importance import importance_table, interactions_table, stages_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from study.ledger.study import StudyView
if TYPE_CHECKING:
    from rich.console import Console

    from study.analysis.importance import Importance
    from study.ledger.study import StudyView
from study.analysis.importance import Importance
from study.analysis.study_importance import METHOD_HEADS, describe, paper_of
from study.ledger.study import StudyView
from study.reporting.card import Card


def print_importance(console: Console, view: StudyView, found: Importance) -> None:
    """Prints the fit check, the table of importances and the findings."""

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    say(f"{view.name}: which hyperparameters decide {view.objective}? {describe(view)}")
    if view.floor is not None:
        say(f"objectives below {view.floor:g} count as {view.floor:g}")
    say(sentences.fit_check(found), style=None if found.fit.trustworthy else "bold yellow")
    paper = paper_of(view)
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for method in METHODS:
        table.add_column(METHOD_HEADS[method], justify="right", no_wrap=True)
    table.add_column("P(first)", justify="right", overflow="fold")
    if paper:
        table.add_column("paper", justify="right", style="dim", no_wrap=True)
    table.add_column("", overflow="fold", min_width=len("decided"))
    for parameter in found.parameters:
        cells = [_short(parameter.shares[method]) for method in METHODS]
        row = [parameter.name, *cells, f"{parameter.first:.2f}"]
        if paper:
            row.append(_published(paper, parameter.name))
        table.add_row(*row, found.mark(parameter), style=None if parameter.above_noise else "dim")
    probe = [_short(found.probe[method]) for method in METHODS]
    table.add_row(PROBE, *probe, *[""] * (3 if paper else 2), style="dim")
    console.print(table)
    say(
        "shares of importance with 95% intervals; permutation: total effect over the whole space, "
        "the headline; impurity: the paper's; PED-ANOVA: for being among the best 10%, where the "
        f"search's own clusters count too; ≈ noise: below {NEGLIGIBLE:.0%}, whatever is "
        "unexplained; not decided: the unexplained variance may be noise or may be its; best tenth "
        "only: it matters little over the space, but the best tenth differs in it",
        style="dim",
    )
    if found.single:
        say(f"no importance, because there is one value only: {', '.join(found.single)}")
    say(sentences.finding(found), style="bold")
    say(sentences.best_tenth(found))
    say(sentences.interactions(found))
    say(sentences.settled(found))


def _published(paper: Published, name: str) -> str:
    return f"{paper.numbers[name]:.2f}" if name in paper.numbers else ""


def _short(estimate: Estimate) -> str:
    """``.48 [.46, .52]``: shares, so that four columns fit into a narrow terminal."""
    parts = (
        f"{part:.2f}".removeprefix("0") for part in (estimate.value, estimate.low, estimate.high)
    )
    return "{} [{}, {}]".format(*parts)


def pictures(view: StudyView, found: Importance) -> dict[str, tuple[Figure, str]]:
    """File name -> picture and its caption."""
    from study.plots.importance import importances, interaction, stability
    from study.plots.trials import best_by_value

    top = found.worth_a_picture()
    shown = {
        "importance": (
            importances(found, paper_of(view)),
            "Share of importance of each hyperparameter, 95% intervals by bootstrap over trials. "
            + sentences.sentence(sentences.fit_check(found)),
        ),
        "best_by_value": (
            best_by_value(view.records, view.encoder, top, view.objective),
            f"Best objective by value of {', '.join(top)}; all trials as points",
        ),
        "stability": (
            stability(found.stages),
            "Share of importance computed from the first trials only, 95% intervals",
        ),
    }
    if found.interactions:
        shown["interaction"] = (
            interaction(found, view.encoder, view.objective),
            "Prediction of the surrogate model for the pair that interacts most, the others "
            "averaged out",
        )
    return shown


def write_importance(view: StudyView, found: Importance, folder: Path) -> list[Path]:
    """Writes tables as CSV and pictures as PNG and SVG into ``folder``; returns the files."""
    from study.plots.style import save

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in (
        ("importance.csv", importance_table(found, paper_of(view))),
        ("interactions.csv", interactions_table(found)),
        ("stages.csv", stages_table(found)),
    ):
        content: str = table.to_csv(index=False)
        write_whole(folder / name, content.encode())
        written.append(folder / name)
    for name, (picture, caption) in pictures(view, found).items():
        written += save(picture, folder / name, f"{caption}. {view.caption()}.")
    return written


def with_progress(console: Console, view: StudyView, bootstraps: int) -> Importance:
    """The study's importances, with a bar while they are computed."""
    from study.analysis.study_importance import importance_of
    from study.progress.screen import progress_bar

    with progress_bar(console) as progress:
        task = progress.add_task(f"{view.name}: forests", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return importance_of(view, bootstraps=bootstraps, progress=show)


_STRONGEST = 6


def importance_cards(view: StudyView, found: Importance) -> list[Card]:
    """Cards of importances, best values, interactions and ranking stability."""
    drawn = pictures(view, found)
    text = sentences.finding(found)
    if found.fit.trustworthy:
        fit = sentences.sentence(sentences.fit_check(found))
        text = f"{text} {sentences.best_tenth(found)} {fit}."
    by_value, by_value_caption = drawn["best_by_value"]
    stability, stability_caption = drawn["stability"]
    forest, forest_caption = drawn["importance"]
    caption = view.caption()
    cards = [
        Card(
            "Which hyperparameters matter",
            text,
            _shares(view, found),
            forest,
            f"{forest_caption}. {caption}.",
            "Permutation is the headline: the change of the surrogate model's prediction when one "
            "hyperparameter is redrawn, over the whole space. Impurity (MDI) is the paper's "
            "measure and weighs regions by their number of trials. PED-ANOVA is the importance for "
            "being among the best tenth, where the search's own clusters count too. Intervals of "
            "the headline leave room for what the model does not explain: ≈ noise is below "
            f"{NEGLIGIBLE:.0%} even so; of what is not decided, the trials do not tell; best "
            "tenth only: it matters little over the space, but the best tenth differs in it. The "
            "probe is a random column. P(first): probability of being the most important. "
            + describe(view),
        ),
        Card(
            "The best values",
            "Best objective by value of the hyperparameters that matter, or may matter, most: "
            + ", ".join(found.worth_a_picture())
            + ".",
            picture=by_value,
            caption=f"{by_value_caption}. {caption}.",
        ),
    ]
    if "interaction" in drawn:
        picture, picture_caption = drawn["interaction"]
        cards.append(
            Card(
                "Interactions",
                sentences.interactions(found),
                _pairs(found),
                picture,
                f"{picture_caption}. {caption}.",
            )
        )
    cards.append(
        Card(
            "Ranking stability",
            sentences.sentence(sentences.settled(found).removeprefix("Ranking stability: ")),
            _stages(found),
            stability,
            f"{stability_caption}. {caption}.",
        )
    )
    return cards


def _shares(view: StudyView, found: Importance) -> pd.DataFrame:
    paper = paper_of(view)
    rows: list[dict[str, object]] = []
    for parameter in found.parameters:
        row: dict[str, object] = {"hyperparameter": parameter.name}
        row |= {METHOD_HEADS[m]: sentences.interval(parameter.shares[m]) for m in METHODS}
        row["P(first)"] = f"{parameter.first:.2f}"
        if paper:
            row[f"paper, {paper.where}"] = _published(paper, parameter.name)
        row[""] = found.mark(parameter)
        rows.append(row)
    probe: dict[str, object] = {
        METHOD_HEADS[m]: sentences.interval(found.probe[m]) for m in METHODS
    }
    rows.append({"hyperparameter": PROBE} | probe)
    rows += [{"hyperparameter": name, "": "one value only"} for name in found.single]
    return pd.DataFrame(rows).fillna("")


def _pairs(found: Importance) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "pair": " and ".join(pair.names),
                "share of variance": sentences.interval(pair.share),
                "": "" if pair.above_noise else "≈ noise",
            }
            for pair in found.interactions[:_STRONGEST]
        ]
    )


def _stages(found: Importance) -> pd.DataFrame:
    names = [*(p.name for p in found.parameters), PROBE]
    columns = {
        f"{stage.trials} trials": [sentences.interval(stage.shares[name]) for name in names]
        for stage in found.stages
    }
    return pd.DataFrame({"hyperparameter": names} | columns)
