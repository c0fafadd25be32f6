"""The card of a confirmation."""

from __future__ import annotations

import pandas as pd

from study.analysis.confirmation import Confirmation, sentences
from study.analysis.ensemble import Ensemble
from study.analysis.paired import interval, signed
from study.ledger.study import StudyView
from study.plots.confirmation import confirmed
from study.reporting.card import Card


def confirmation_card(
    found: Confirmation, view: StudyView, ensemble: Ensemble | None = None
) -> Card:
    """What came out again, beside what the search said.

    Args:
        found: The configurations, trained again.
        view: The comparison study that trained them.
        ensemble: The mean of the members' scores, where it was computed.
    """
    objective = view.objective
    rows = []
    for row in found.rows:
        cells: dict[str, object] = {
            "configuration": f"trial {row.trial}",
            "in the search": round(row.searched, 4),
            f"{objective}, again": interval(row.mean) if row.values else "",
            "luck": signed(row.luck) if row.values else "",
        }
        cells |= {title: interval(estimate) for title, estimate in row.test.items()}
        rows.append(cells)
    finding, *others = sentences(found, objective)
    if ensemble is not None:
        others.append(ensemble.sentence)
    return Card(
        "Confirmed on new seeds and splits",
        finding,
        pd.DataFrame(rows),
        confirmed(found, objective),
        f"The best {len(found.rows)} configurations of study {found.study}, each trained again "
        f"with {found.seeds} seeds on {found.splits} new splits of the training videos. "
        f"{view.caption()}.",
        " ".join(
            [
                *others,
                "The mean of the chosen one is the largest of "
                f"{len(found.rows)} and still a little high. Intervals are over seeds.",
            ]
        ),
    )
