"""What a study's page in MLflow opens with: its description, its first columns, its first chart,
its pictures, its data set and its best model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinevad.errors import InputError
from study.ledger.records import StudyMeta, TrialRecord, best, ranked
from study.tracking.mapping import selection, synthetic, trial_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

VIEW = "study"
"""Key of the shared view: ``…?viewStateShareKey=study`` opens it."""
PICTURES = "pictures"
CHECKPOINT_OF = "trial_key"
"""Tag of a logged model: the trial that it is of."""


def experiment_tags(
    meta: StudyMeta, trials: Sequence[TrialRecord], experiment_id: str, parent_id: str
) -> dict[str, str]:
    """Tags of the experiment: description, kind, first chart, and the view of the trials."""
    return {
        "mlflow.note.content": _description(meta, trials, experiment_id),
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "objective",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "true",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(_view(trials, parent_id)),
    }


def page(experiment_id: str) -> str:
    """Path of the trials in MLflow's pages, best first; without the key it has its own columns."""
    return (
        f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
        f"&viewStateShareKey={VIEW}"
    )


def _view(trials: Sequence[TrialRecord], parent_id: str) -> dict[str, Any]:
    """Columns and order of the runs' table, as MLflow's page keeps them: the objective, what was
    searched, the best first, the study unfolded."""
    searched = list(dict.fromkeys(name for trial in trials for name in trial.params))
    columns = ["metrics.`objective`", *(f"params.`{name}`" for name in searched)]
    columns += ["metrics.`selected_epoch`", "metrics.`selected/test/auc`", "tags.`state`"]
    return {
        "selectedColumns": columns,
        "orderByKey": "metrics.`objective`",
        "orderByAsc": False,
        "runsExpanded": {parent_id: True},
    }


def _description(meta: StudyMeta, trials: Sequence[TrialRecord], experiment_id: str) -> str:
    leader = best(trials)
    view = f"[all trials, the best first]({page(experiment_id).removeprefix('/')})"
    first = f"**{meta.name}**: {meta.trials} trials for `{meta.metric}`, {selection(meta)}"
    if leader is not None:
        first += f"; best `{trial_name(leader.number)}` with {leader.objective:.4f}"
    if kind := synthetic(meta):
        first += f"; **synthetic data ({kind}): its numbers say nothing of real videos**"
    return f"{first}: {view}"


def log_data_set(client: MlflowClient, run_id: str, meta: StudyMeta) -> None:
    """The training data as MLflow's data set of the study's run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = meta.config.get("data", {})
    source = {name: value for name, value in data.items() if value not in (None, "", [], {})}
    name = str(synthetic(meta) or data.get("taxonomy") or "features")
    found = Dataset(
        name=name,
        digest=meta.fingerprint[:8],  # MLflow shows it whole; the run has all of it as a tag
        source_type="features",
        source=json.dumps(source, default=str)[:60_000],
        profile=json.dumps({"fingerprint": meta.fingerprint}),
    )
    client.log_inputs(run_id, [DatasetInput(found, [InputTag("mlflow.data.context", "training")])])


def log_pictures(client: MlflowClient, run_id: str, folder: Path) -> None:
    """How the study went, the parameters of all trials on their own scales, the best curves."""
    from study.ledger.study import read_study
    from study.plots.style import save
    from study.plots.trials import history, learning_curves, parallel

    try:
        view = read_study(folder)
    except InputError:  # of another version: it has its tables
        return
    used = ranked(view.records)
    if not used:
        return
    caption = view.caption()
    pictures = {}
    if any(r.curve for r in used):
        pictures["learning_curves"] = learning_curves(view.records, view.objective)
    if not view.file.variants:
        filling = view.file.search.sobol
        pictures["history"] = history(view.records, filling, view.objective)
        if len(used) > 1 and view.encoder.scales:
            pictures["parallel"] = parallel(view.records, view.encoder, view.objective)
    with tempfile.TemporaryDirectory() as place:
        for name, picture in pictures.items():
            for written in save(picture, Path(place) / name, caption):
                if written.suffix == ".png":
                    client.log_artifact(run_id, str(written), PICTURES)


def _models(
    client: MlflowClient, experiment_id: str, filter_string: str | None = None
) -> list[LoggedModel] | None:
    """Logged models of an experiment; None: the server is older than MLflow 3 and has none."""
    from mlflow.exceptions import MlflowException

    try:
        return list(client.search_logged_models([experiment_id], filter_string=filter_string))
    except MlflowException as error:
        if error.error_code in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"):
            return None
        raise


def delete_models(client: MlflowClient, experiment_id: str, runs: Collection[str]) -> None:
    """Deletes the models of a study's runs."""
    for model in _models(client, experiment_id) or ():
        if model.source_run_id in runs:
            client.delete_logged_model(model.model_id)


def log_best_model(
    client: MlflowClient,
    experiment_id: str,
    run_id: str,
    leader: TrialRecord,
    weights: Path,
    meta: StudyMeta,
) -> None:
    """The best trial's checkpoint as a model that MLflow loads and serves; once per best trial."""
    import mlflow
    import numpy as np
    from mlflow.entities import LoggedModelStatus
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    import refinevad
    from refinevad.models import checkpoint

    shown = _models(client, experiment_id, f"tags.{CHECKPOINT_OF} = '{leader.key}'")
    if shown is None or any(
        m.source_run_id == run_id and m.status == LoggedModelStatus.READY for m in shown
    ):
        return
    _, facts = checkpoint.load(weights)
    width = sum(facts.widths.values())
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.float32), (-1, width))]),
        Schema([ColSpec("float", "score")]),
    )
    model = client.create_logged_model(
        experiment_id,
        name=f"{meta.name}-{trial_name(leader.number)}",
        source_run_id=run_id,
        model_type="video anomaly detector",
        tags={CHECKPOINT_OF: leader.key, "selection": selection(meta)},
        params={name: str(value) for name, value in leader.params.items()},
    )
    with tempfile.TemporaryDirectory() as place:
        mlflow.pyfunc.save_model(
            place + "/model",
            loader_module="study.tracking.served",
            data_path=str(weights),
            signature=signature,
            input_example=np.zeros((2, width), dtype=np.float32),
            pip_requirements=[f"refinevad-study[study]=={refinevad.__version__}"],
        )
        client.log_model_artifacts(model.model_id, place + "/model")
    client.finalize_logged_model(model.model_id, "READY")
