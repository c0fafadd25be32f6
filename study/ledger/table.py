"""The trials of a study as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.ledger.records import TrialRecord


def trials_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row per ended trial, in order, without times or places: the same bytes whenever and
    wherever the study ran."""
    rows = [
        {
            "number": r.number,
            "state": r.state,
            "objective": r.objective,
            "selected_epoch": r.selected_epoch,
            "last_objective": r.last_objective,
            "epochs_run": len(r.curve),
            "diverged": r.diverged,
            "seed": r.seed,
        }
        | {f"params/{name}": value for name, value in r.params.items()}
        | {f"metrics/{name}": r.metrics[name] for name in sorted(r.metrics)}
        for r in records
        if r.ended
    ]
    frame = pd.DataFrame(rows)
    for column in ("number", "selected_epoch", "epochs_run"):
        if column in frame:
            frame[column] = frame[column].astype("Int64")
    return frame
