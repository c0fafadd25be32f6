"""Cards of a study's importances."""

from __future__ import annotations

from study.analysis import words
from study.analysis.importance import Importance
from study.answers import (
    describe,
    importance_table,
    interactions_table,
    paper_of,
    pictures,
    stages_table,
)
from study.reporting.card import Card
from study.studied import Studied

_STRONGEST = 6


def importance_cards(studied: Studied, found: Importance) -> list[Card]:
    """Which hyperparameters matter, at which values, whether they interact, whether it settled."""
    drawn = pictures(studied, found)
    text = words.finding(found)
    if found.gate.open:
        text = f"{text} {words.sentence(words.gate(found))}."
    by_value, by_value_caption = drawn["best_by_value"]
    stability, stability_caption = drawn["stability"]
    forest, forest_caption = drawn["importance"]
    caption = studied.caption()
    cards = [
        Card(
            "Which hyperparameters matter",
            text,
            importance_table(found, paper_of(studied)),
            forest,
            f"{forest_caption}. {caption}.",
            "Permutation is the headline: how much the forest's prediction changes when one "
            "hyperparameter is drawn anew, over the whole space. Impurity (MDI) is the paper's "
            "measure and weighs places by the trials that were there. PED-ANOVA tells what "
            "separates the best tenth. The probe is a random column: what overlaps it cannot be "
            "told from noise. p first: probability of being the most important. "
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
                words.interactions(found),
                interactions_table(found).head(_STRONGEST),
                picture,
                f"{picture_caption}. {caption}.",
            )
        )
    table = stages_table(found).pivot_table(index="hyperparameter", columns="trials", sort=False)
    shares = table["permutation"].reset_index()
    shares.columns = [str(c) if c == "hyperparameter" else f"{c} trials" for c in shares.columns]
    cards.append(
        Card(
            "Has it settled?",
            words.settled(found).removeprefix("Has it settled? "),
            shares,
            stability,
            f"{stability_caption}. {caption}.",
        )
    )
    return cards
