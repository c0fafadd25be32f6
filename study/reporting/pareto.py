"""The card of a study whose objective has a cost."""

from __future__ import annotations

import pandas as pd

from refinevad.cli import SHORT_NAMES
from refinevad.config.costs import COSTS
from study.analysis.pareto import front_sentence, pareto_front
from study.ledger.records import ranked
from study.ledger.study import StudyView
from study.plots.pareto import pareto
from study.reporting.card import Card
from study.text import plain


def pareto_card(view: StudyView) -> Card | None:
    """Every trial by its cost; None where the objective has no cost, or no trial a result."""
    name = view.file.objective.cost
    front = pareto_front(view.records)
    if name is None or not front:
        return None
    cost = COSTS[name]
    rows = []
    for record in reversed(front):
        cells: dict[str, object] = {
            "trial": record.number,
            view.objective: round(record.objective or 0.0, 4),
            cost.title: float(f"{cost.scale * (record.cost or 0.0):.4g}"),
        }
        for key in ("test/auc", "test/ano_auc", "test/ap"):
            if (value := record.metrics.get(f"selected/{key}")) is not None:
                cells[SHORT_NAMES[key]] = round(value, 4)
        rows.append(cells | {"hyperparameters": plain(view.file.active(record.params))})
    note = (
        "The front was chosen by noisy values: a trial on it may be there by luck. `study.confirm` "
        "trains configurations again."
    )
    if cost.measured:
        note += " A clock says the cost, so that another run has another front."
    weighed = [r for r in ranked(view.records) if r.cost is not None]
    doc = cost.doc.replace("`", "")
    return Card(
        "Objective against cost",
        front_sentence(view.records, view.objective, cost),
        pd.DataFrame(rows),
        pareto(weighed, front, view.objective, cost),
        f"One dot per trial; numbers are of trials on the front. Cost: {doc}. {view.caption()}.",
        note,
    )
