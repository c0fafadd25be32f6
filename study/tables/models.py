"""Tables and figures that are made of the models which the ablation kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinevad.errors import Stopped
from study.tables.scored import score_arms
from study.tables.videos import bars_card, curves_card, map_card

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.reporting.card import Card
    from study.studied import Studied

ARM = "refinevad"
_FIGURES = {"tsne": map_card, "curves": curves_card, "bars": bars_card}


def model_card(table: str, studied: Studied, store: Store) -> Card:
    """One of the tables or figures; figures show the model of the first seed.

    Raises:
        Stopped: No model was kept.
    """
    scored = score_arms(studied, store, [ARM])
    if not scored:
        raise Stopped(
            f"{studied.folder}: no model of the arm {ARM} was kept (its trials failed or "
            f"diverged); see python -m study.report --study {studied.folder}"
        )
    return _FIGURES[table](studied, store, scored[0])
