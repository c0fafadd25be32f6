"""Publishes a study's ledger: one run for the study, and nested in it one per finished trial.

Nothing is read back from MLflow but which trials it already shows, so it may be unreachable,
killed or deleted at any time: whatever is missing is published again.

Exactly once: a run is born with its tag `trial_key` in one request, and before any is created
the runs with this study's `study_key` are listed. A run that a crash left half-written still has
the status RUNNING and is completed: writing the same points again changes nothing.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from refinevad.errors import InputError
from study.ledger.records import best, digest
from study.tracking.connection import DEFAULT_URI, connect, reaching, remove_deleted, sqlite_file
from study.tracking.mapping import (
    STATUS,
    Point,
    milliseconds,
    study_key,
    study_params,
    study_points,
    study_tags,
    trial_name,
    trial_points,
    trial_tags,
    trial_times,
)
from study.tracking.showcase import (
    delete_models,
    experiment_tags,
    log_best_model,
    log_data_set,
    log_pictures,
    page,
)
from study.trials.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

    from study.ledger.reader import LedgerReader
    from study.ledger.records import TrialRecord

TABLE_SECONDS = 60.0  # how often a running study's trials table is uploaded
PICTURE_SECONDS = 300.0  # how often its pictures are
PAGE = 1000  # runs per search request
FILES = ("study.yaml", "report.html")  # of the study's folder, kept beside the tables
FOLDERS = ("importance/*.*", "cards/*/*.*")
PARENT = "mlflow.parentRunId"


@dataclass
class _Shown:
    """The study's runs in MLflow: listed on connecting, then kept up to date."""

    client: MlflowClient
    experiment_id: str
    parent_id: str
    published: set[str] = field(default_factory=set)  # trial keys
    half_written: dict[str, str] = field(default_factory=dict)  # trial key -> run id
    next_number: int = 0  # the first trial that is not on the study's curves
    experiment_tags: dict[str, str] = field(default_factory=dict)


class Publisher:
    """Publishes one study.

    Only one process may publish a study at a time; `study.publish` holds a lock for that.

    Args:
        reader: The study's ledger.
        tracking_uri: Any address MLflow understands.
    """

    def __init__(self, reader: LedgerReader, tracking_uri: str = DEFAULT_URI) -> None:
        self._reader = reader
        self._uri = tracking_uri
        self._client: MlflowClient | None = None
        self._shown: _Shown | None = None
        self._tables_due = self._pictures_due = -math.inf
        self.page = ""
        """Path of the study in MLflow's pages; they open on their GenAI side unless told."""

    def publish_new(self) -> int:
        """Publishes every finished trial that MLflow does not show yet; returns how many.

        Raises:
            TrackingUnavailable: MLflow cannot be reached. The next call first checks which trials
                have arrived, then publishes the rest.
        """
        self._reader.refresh()
        trials = self._reader.trials()
        client = self._connected()
        shown, self._shown = self._shown, None  # if anything fails below, look again
        with reaching(self._uri):
            first_look = shown is None
            shown = shown or self._look(client)
            new = [t for t in trials if t.ended and t.key not in shown.published]
            for trial in new:
                self._publish(shown, trial)
            if new or first_look:
                self._extend_curves(shown, trials)
            if new and time.monotonic() >= self._tables_due:
                self._upload_tables(shown, trials)
        self._shown = shown
        return len(new)

    def finish(self, status: str | None = None) -> int:
        """Publishes the rest, the tables and the best checkpoints, and ends the study's run.

        Args:
            status: MLflow's status of the ended study. By default FINISHED if every planned trial
                has ended, else KILLED (interrupted). Resuming reopens the run.

        Returns:
            Number of trials that this call has published.

        Raises:
            TrackingUnavailable: As `publish_new`; calling it again is safe.
        """
        count = self.publish_new()
        shown, self._shown = self._shown, None
        assert shown is not None
        trials, meta = self._reader.trials(), self._reader.meta
        done = sum(trial.ended for trial in trials) >= meta.trials
        ended = max((t.finished for t in trials if t.finished), default=meta.created)
        self._pictures_due = -math.inf
        with reaching(self._uri):
            self._upload_tables(shown, trials)
            self._upload_files(shown)
            if done:
                self._show_best(shown, trials)
                shown.client.set_tag(shown.parent_id, "digest", digest(trials))
            shown.client.set_terminated(
                shown.parent_id, status or ("FINISHED" if done else "KILLED"), milliseconds(ended)
            )
        return count

    def erase(self) -> int:
        """Deletes every run of this study from MLflow and returns how many it showed.

        From a database they go for good, artifacts included. A server keeps deleted runs out of
        sight until its own `mlflow gc`.

        Raises:
            TrackingUnavailable: As `publish_new`.
        """
        from mlflow.entities import ViewType

        client = self._connected()
        self._shown = None
        with reaching(self._uri):
            experiment = client.get_experiment_by_name(self._reader.meta.name)
            if experiment is None:
                return 0
            runs = self._runs(client, experiment.experiment_id, ViewType.ALL)
            delete_models(client, experiment.experiment_id, {run.info.run_id for run in runs})
            shown = [run for run in runs if run.info.lifecycle_stage == "active"]
            for run in shown:
                client.delete_run(run.info.run_id)
            for run in runs:
                remove_deleted(client, run)
        return len(shown)

    # -- what is there ------------------------------------------------------------------------

    def _connected(self) -> MlflowClient:
        if self._client is None:
            self._client = connect(self._uri)
        return self._client

    def _look(self, client: MlflowClient) -> _Shown:
        """Finds the study's run, or makes it, and lists the trials that are shown."""
        from mlflow.entities import ViewType

        experiment_id = self._experiment(client)
        self.page = page(experiment_id)
        runs = self._runs(client, experiment_id, ViewType.ACTIVE_ONLY)
        parents = [run for run in runs if "trial_key" not in run.data.tags]
        parent_id = self._parent(client, experiment_id, parents[0] if parents else None)
        shown = _Shown(client, experiment_id, parent_id)
        surplus = parents[1:]  # of a "create run" whose answer was lost on the way
        for run in runs:
            key = run.data.tags.get("trial_key")
            if key is None:
                continue
            if key in shown.published or key in shown.half_written:
                surplus.append(run)
                continue
            if run.data.tags.get(PARENT) != parent_id:  # somebody deleted the study's run
                client.set_tag(run.info.run_id, PARENT, parent_id)
            if run.info.status == "RUNNING":
                shown.half_written[key] = run.info.run_id
            else:
                shown.published.add(key)
        for run in surplus:
            client.delete_run(run.info.run_id)
        on_curve = client.get_metric_history(parent_id, "trials/complete")
        shown.next_number = max((metric.step + 1 for metric in on_curve), default=0)
        return shown

    def _experiment(self, client: MlflowClient) -> str:
        name = self._reader.meta.name
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # Beside the database, where `mlflow ui` run in that directory looks for them.
            file = sqlite_file(self._uri)
            location = str(file.parent / "mlruns" / name) if file else None
            return str(client.create_experiment(name, artifact_location=location))
        if experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _runs(self, client: MlflowClient, experiment_id: str, view_type: int) -> list[Run]:
        """Every run that carries this study's tag, oldest first."""
        runs: list[Run] = []
        token = None
        while True:
            page = client.search_runs(
                [experiment_id],
                filter_string=f"tags.study_key = '{study_key(self._reader.meta)}'",
                run_view_type=view_type,
                max_results=PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs += page
            token = page.token
            if not token:
                return runs

    # -- what is written ----------------------------------------------------------------------

    def _parent(self, client: MlflowClient, experiment_id: str, run: Run | None) -> str:
        """The study's run, open: made, or reopened when the study was resumed or extended."""
        from mlflow.entities import Param, RunTag

        meta = self._reader.meta
        tags = study_tags(meta)
        if run is None:
            run = client.create_run(
                experiment_id, milliseconds(meta.created), tags=tags, run_name=meta.name
            )
        elif run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        client.log_batch(
            run.info.run_id,
            params=[
                Param(name, value)
                for name, value in study_params(meta).items()
                if name not in run.data.params
            ],
            tags=[RunTag(k, v) for k, v in tags.items() if run.data.tags.get(k) != v],
        )
        if run.inputs is None or not run.inputs.dataset_inputs:
            log_data_set(client, run.info.run_id, meta)
        return str(run.info.run_id)

    def _publish(self, shown: _Shown, trial: TrialRecord) -> None:
        """One trial in three requests: born with its tags, filled in one batch, ended."""
        from mlflow.entities import Param

        meta = self._reader.meta
        started, finished = trial_times(trial, meta)
        run_id = shown.half_written.pop(trial.key, None)
        if run_id is None:
            run = shown.client.create_run(
                shown.experiment_id,
                milliseconds(started),
                tags=trial_tags(trial, meta) | {PARENT: shown.parent_id},
                run_name=trial_name(trial.number),
            )
            run_id = run.info.run_id
        shown.client.log_batch(  # the client cuts what exceeds the limits of one request
            run_id,
            metrics=_metrics(trial_points(trial, meta)),
            params=[Param(name, str(value)) for name, value in trial.params.items()],
        )
        shown.client.set_terminated(run_id, STATUS[trial.state], milliseconds(finished))
        shown.published.add(trial.key)

    def _extend_curves(self, shown: _Shown, trials: Sequence[TrialRecord]) -> None:
        points = study_points(trials, self._reader.meta, shown.next_number)
        if points:
            shown.client.log_batch(shown.parent_id, metrics=_metrics(points))
            shown.next_number = points[-1].step + 1

    def _upload_tables(self, shown: _Shown, trials: Sequence[TrialRecord]) -> None:
        from study.ledger.table import trials_table

        table = trials_table(trials)
        with tempfile.TemporaryDirectory() as folder:
            csv, parquet = Path(folder, "trials.csv"), Path(folder, "trials.parquet")
            table.to_csv(csv, index=False)
            for name in table.columns:  # a Parquet column has one type: (64, "auto") become text
                if len({type(value) for value in table[name].dropna()}) > 1:
                    table[name] = table[name].map(str, na_action="ignore")
            table.to_parquet(parquet, index=False)
            for file in (csv, parquet):
                shown.client.log_artifact(shown.parent_id, str(file))
        if leader := best(trials):
            shown.client.set_tag(shown.parent_id, "best_trial", trial_name(leader.number))
        tags = experiment_tags(self._reader.meta, trials, shown.experiment_id, shown.parent_id)
        for name, value in tags.items():
            if shown.experiment_tags.get(name) != value:
                shown.client.set_experiment_tag(shown.experiment_id, name, value)
                shown.experiment_tags[name] = value
        if time.monotonic() >= self._pictures_due:
            log_pictures(shown.client, shown.parent_id, self._reader.folder)
            self._pictures_due = time.monotonic() + PICTURE_SECONDS
        self._tables_due = time.monotonic() + TABLE_SECONDS

    def _show_best(self, shown: _Shown, trials: Sequence[TrialRecord]) -> None:
        """The best trial as a model that can be loaded, where its weights are kept."""
        leader = best(trials)
        if leader is None:
            return
        weights = checkpoint_path(self._reader.folder / "checkpoints", leader.number)
        if weights.is_file():
            with suppress(InputError):  # no checkpoint: it is shown as the file that it is
                log_best_model(
                    shown.client, shown.experiment_id, shown.parent_id, leader, weights,
                    self._reader.meta,
                )  # fmt: skip

    def _upload_files(self, shown: _Shown) -> None:
        """Uploads the study file and the findings. A checkpoint is uploaded once: it is big and,
        named after its trial, never changes. An unfinished one has another name."""
        folder = self._reader.folder
        upload_findings(shown.client, shown.parent_id, folder)
        there = {
            Path(info.path).name
            for info in shown.client.list_artifacts(shown.parent_id, "checkpoints")
        }
        for file in sorted(folder.glob("checkpoints/*.safetensors")):
            if file.is_file() and file.name not in there:
                shown.client.log_artifact(shown.parent_id, str(file), "checkpoints")


def upload_findings(client: MlflowClient, run_id: str, folder: Path) -> None:
    """The small files of a study's folder: its file, its report, its tables and pictures."""
    for name in FILES:
        if (folder / name).is_file():
            client.log_artifact(run_id, str(folder / name))
    for pattern in FOLDERS:
        for file in sorted(folder.glob(pattern)):
            if not file.name.startswith("."):
                client.log_artifact(run_id, str(file), str(file.parent.relative_to(folder)))


def _metrics(points: Sequence[Point]) -> list[Metric]:
    from mlflow.entities import Metric

    return [Metric(p.name, p.value, p.milliseconds, p.step) for p in points]
