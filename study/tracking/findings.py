"""A study's findings, added to its run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from study.tracking.connection import connect, reaching, sqlite_file
from study.tracking.mapping import milliseconds, study_key
from study.tracking.publisher import upload_findings

if TYPE_CHECKING:
    from study.ledger.study import StudyView


def show_analysis(view: StudyView, uri: str, numbers: Mapping[str, float]) -> bool:
    """Uploads the study's findings and logs ``numbers`` at the number of trials behind them.

    The study's run is never created and its state never changes, so that this may run beside the
    study's own publisher.

    Returns:
        False if MLflow does not show this study.

    Raises:
        TrackingUnavailable: MLflow cannot be reached.
    """
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return False
    client = connect(uri)
    with reaching(uri):
        from mlflow.entities import Metric

        experiment = client.get_experiment_by_name(view.name)
        runs = client.search_runs(
            [experiment.experiment_id] if experiment else [],
            filter_string=f"tags.study_key = '{study_key(view.meta)}' "
            "and tags.`mlflow.source.name` = 'study.run'",
            max_results=1,
        )
        if not runs:
            return False
        run_id = runs[0].info.run_id
        ended = view.ended
        # The same answer again is the same point again, and changes nothing.
        when = max((r.finished for r in ended if r.finished), default=view.meta.created)
        client.log_batch(
            run_id,
            metrics=[
                Metric(name, value, milliseconds(when), len(ended))
                for name, value in numbers.items()
            ],
        )
        upload_findings(client, run_id, view.folder)
    return True
