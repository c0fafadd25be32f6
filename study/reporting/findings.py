"""Cards of a study's importances."""

from __future__ import annotations

import pandas as pd

from study.analysis import sentences
from study.analysis.answer import METHOD_HEADS, describe, paper_of, pictures
from study.analysis.importance import METHODS, PROBE, Importance
from study.ledger.study import Studied
from study.reporting.card import Card

_STRONGEST = 6


def importance_cards(studied: Studied, found: Importance) -> list[Card]:
    """Which hyperparameters matter, at which values, whether they interact, whether it settled."""
    drawn = pictures(studied, found)
    text = sentences.finding(found)
    if found.gate.open:
        text = f"{text} {sentences.best_tenth(found)} {sentences.sentence(sentences.gate(found))}."
    by_value, by_value_caption = drawn["best_by_value"]
    stability, stability_caption = drawn["stability"]
    forest, forest_caption = drawn["importance"]
    caption = studied.caption()
    cards = [
        Card(
            "Which hyperparameters matter",
            text,
            _shares(studied, found),
            forest,
            f"{forest_caption}. {caption}.",
            "Permutation is the headline: how much the forest's prediction changes when one "
            "hyperparameter is drawn anew, over the whole space. Impurity (MDI) is the paper's "
            "measure and weighs places by the trials that were there. PED-ANOVA tells what "
            "separates the best tenth. The probe is a random column: what overlaps it cannot be "
            "told from noise. P(first): probability of being the most important. "
            + describe(studied),
        ),
        Card(
            "The best values",
            "Best objective by value of the first three: "
            + ", ".join(p.name for p in found.parameters[:3])
            + ".",
            picture=by_value,
            caption=f"{by_value_caption}. {caption}.",
        ),
    ]
    if "interaction" in drawn:
        picture, picture_caption = drawn["interaction"]
        cards.append(
            Card(
                "Do they act together?",
                sentences.interactions(found),
                _pairs(found),
                picture,
                f"{picture_caption}. {caption}.",
            )
        )
    cards.append(
        Card(
            "Has it settled?",
            sentences.settled(found).removeprefix("Has it settled? "),
            _stages(found),
            stability,
            f"{stability_caption}. {caption}.",
        )
    )
    return cards


def _shares(studied: Studied, found: Importance) -> pd.DataFrame:
    paper = paper_of(studied)
    rows: list[dict[str, object]] = []
    for parameter in found.parameters:
        row: dict[str, object] = {"hyperparameter": parameter.name}
        row |= {METHOD_HEADS[m]: sentences.interval(parameter.shares[m]) for m in METHODS}
        row["P(first)"] = f"{parameter.first:.2f}"
        if paper:
            row["paper, Table 7"] = (
                f"{paper[parameter.name]:.2f}" if parameter.name in paper else ""
            )
        row[""] = "" if parameter.above_noise else "≈ noise"
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
