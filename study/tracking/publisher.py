"""The ledger seen in MLflow: one run per study, and nested in it one run per finished trial.

MLflow is a view. Nothing is read back from it but which trials it already shows, so it may be
unreachable, killed or deleted at any time: whatever is missing is published again.

Exactly once: a run is born with the tag `trial_key` in one request, and before anything is
created the runs that carry this study's tag `study_key` are listed. A run that a crash left
half-written still has the status RUNNING and is completed: writing the same values again
changes nothing.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.tracking_store import DEFAULT_URI, connect, reaching, sqlite_file

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

    from study.ledger import LedgerReader, StudyMeta, TrialRecord

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAILED": "FAILED"}
"""As MLflow's own Optuna storage maps them."""
TABLE_SECONDS = 60.0  # how often a running study's trials table is uploaded
PAGE = 1000  # runs per search request


@dataclass
class _Shown:
    """What MLflow shows of the study: listed on connecting, then kept up to date."""

    client: MlflowClient
    parent_id: str
    published: set[str] = field(default_factory=set)  # trial keys
    half_written: dict[str, str] = field(default_factory=dict)  # trial key -> run id
    next_number: int = 0  # the first trial that is not on the parent's curves


class Publisher:
    """Publishes one study. Not for use by two processes at once: see `publish.exclusive`.

    Args:
        reader: the study's ledger.
        tracking_uri: any address MLflow understands.
    """

    def __init__(self, reader: LedgerReader, tracking_uri: str = DEFAULT_URI) -> None:
        self._reader = reader
        self._uri = tracking_uri
        self._shown: _Shown | None = None
        self._tables_due = -math.inf

    def publish_new(self) -> int:
        """Publishes every finished trial that MLflow does not show; returns their number.

        Raises:
            TrackingUnavailable: MLflow cannot be reached. The next call starts by listing what
                has arrived.
        """
        self._reader.refresh()
        trials = self._reader.trials()
        client = self._shown.client if self._shown else connect(self._uri)
        shown, self._shown = self._shown, None  # whatever fails below, look again
        with reaching(self._uri):
            shown = shown or self._look(client)
            new = [t for t in trials if t.state in STATUS and t.key not in shown.published]
            for trial in new:
                self._publish(shown, trial)
            self._extend_curves(shown, trials)
            if new and time.monotonic() >= self._tables_due:
                self._upload_tables(shown, trials)
        self._shown = shown
        return len(new)

    def finish(self, status: str | None = None) -> int:
        """Publishes the rest, the tables and the best checkpoints, and ends the study's run.

        Args:
            status: MLflow's word for how the study ended; by default FINISHED when every planned
                trial is done and KILLED when it was interrupted. Resuming reopens the run.

        Returns:
            The number of trials published by this call.

        Raises:
            TrackingUnavailable: as `publish_new`.
        """
        count = self.publish_new()
        shown, self._shown = self._shown, None
        assert shown is not None
        trials = self._reader.trials()
        meta = self._reader.meta
        if status is None:
            done = sum(trial.state in STATUS for trial in trials) >= meta.trials
            status = "FINISHED" if done else "KILLED"
        with reaching(self._uri):
            self._upload_tables(shown, trials)
            self._upload_files(shown)
            ended = max((t.finished for t in trials if t.finished), default=meta.created)
            shown.client.set_terminated(shown.parent_id, status, _milliseconds(ended))
        self._shown = shown
        return count

    def erase(self) -> int:
        """Deletes every run of this study; returns how many. The ledger is not touched.

        From a database they are removed for good together with their artifacts. A server keeps
        deleted runs out of sight until its own `mlflow gc`.

        Raises:
            TrackingUnavailable: as `publish_new`.
        """
        from mlflow.entities import LifecycleStage, ViewType

        client = connect(self._uri)
        self._shown = None
        with reaching(self._uri):
            experiment = client.get_experiment_by_name(self._reader.meta.name)
            if experiment is None:
                return 0
            runs = self._runs(client, experiment.experiment_id, ViewType.ALL)
            active = [r for r in runs if r.info.lifecycle_stage == LifecycleStage.ACTIVE]
            for run in active:
                client.delete_run(run.info.run_id)
            remove_deleted(self._uri, [run.info.run_id for run in runs])
        return len(active)

    # -- looking ------------------------------------------------------------------------------

    def _look(self, client: MlflowClient) -> _Shown:
        """Finds, or makes, the experiment and the study's run, and lists the trials shown."""
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        runs = self._runs(client, self._experiment(client))
        parents = [run for run in runs if "trial_key" not in run.data.tags]
        parent_id = self._parent(client, parents[0] if parents else None)
        for surplus in parents[1:]:
            client.delete_run(surplus.info.run_id)
        shown = _Shown(client, parent_id)
        for run in runs:
            key = run.data.tags.get("trial_key")
            if key is None:
                continue
            if key in shown.published or key in shown.half_written:
                client.delete_run(run.info.run_id)  # a lost answer to "create run": see ENVIRONMENT
                continue
            if run.data.tags.get(MLFLOW_PARENT_RUN_ID) != parent_id:  # somebody deleted the parent
                client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, parent_id)
            if run.info.status == "RUNNING":
                shown.half_written[key] = run.info.run_id
            else:
                shown.published.add(key)
        counted = client.get_metric_history(parent_id, "trials/finished")
        shown.next_number = max((metric.step + 1 for metric in counted), default=0)
        return shown

    def _experiment(self, client: MlflowClient) -> str:
        name = self._reader.meta.name
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # Beside the database, so that `mlflow ui` in that directory finds both.
            file = sqlite_file(self._uri)
            return client.create_experiment(
                name, artifact_location=str(file.parent / "mlruns" / name) if file else None
            )
        if experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _runs(
        self, client: MlflowClient, experiment_id: str, view_type: int | None = None
    ) -> list[Run]:
        """Every run that carries this study's tag, oldest first."""
        from mlflow.entities import ViewType

        runs: list[Run] = []
        token = None
        while True:
            page = client.search_runs(
                [experiment_id],
                filter_string=f"tags.study_key = '{self._reader.meta.key}'",
                run_view_type=ViewType.ACTIVE_ONLY if view_type is None else view_type,
                max_results=PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def _parent(self, client: MlflowClient, run: Run | None) -> str:
        """The study's run, open: made new, or reopened when the study is resumed or extended."""
        from mlflow.entities import Param, RunTag

        meta = self._reader.meta
        tags = study_tags(meta)
        if run is None:
            experiment_id = self._experiment(client)
            run = client.create_run(
                experiment_id, _milliseconds(meta.created), tags=tags, run_name=meta.name
            )
        elif run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        client.log_batch(
            run.info.run_id,
            params=[
                Param(name, value)
                for name, value in flatten(meta.config).items()
                if name not in run.data.params
            ],
            tags=[RunTag(k, v) for k, v in tags.items() if run.data.tags.get(k) != v],
        )
        return str(run.info.run_id)

    # -- writing ------------------------------------------------------------------------------

    def _publish(self, shown: _Shown, trial: TrialRecord) -> None:
        from mlflow.entities import Param
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        started, finished = trial_times(trial, self._reader.meta.created)
        run_id = shown.half_written.pop(trial.key, None)
        if run_id is None:
            experiment_id = shown.client.get_run(shown.parent_id).info.experiment_id
            run = shown.client.create_run(
                experiment_id,
                _milliseconds(started),
                tags=trial_tags(trial, self._reader.meta) | {MLFLOW_PARENT_RUN_ID: shown.parent_id},
                run_name=f"trial-{trial.number:04d}",
            )
            run_id = run.info.run_id
        shown.client.log_batch(
            run_id,
            metrics=trial_metrics(trial, started, finished),
            params=[Param(name, str(value)) for name, value in trial.params.items()],
        )
        shown.client.set_terminated(run_id, STATUS[trial.state], _milliseconds(finished))
        shown.published.add(trial.key)
