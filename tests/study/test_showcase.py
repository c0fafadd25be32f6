"""What a study's page in MLflow opens with: description, columns, pictures, data set, model."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from refinevad.api import load_checkpoint, score_video
from refinevad.errors import InputError
from refinevad.models import checkpoint
from refinevad.models.linear.config import LinearConfig
from refinevad.models.linear.model import Linear
from study.ledger.reader import LedgerReader
from study.ledger.records import best
from study.tracking import Publisher
from study.tracking.served import ServedDetector
from study.tracking.showcase import page
from tests.support.detectors import task
from tests.support.studies import made_study
from tests.support.workspace import Undisturbed, Workspace


@pytest.fixture(scope="module")
def published(
    calm: Workspace, undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory
) -> tuple[MlflowClient, str]:
    """A real study in MLflow: the client, the experiment's id."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    Publisher(LedgerReader(calm.study), uri).finish()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return client, experiment.experiment_id


def test_the_page_says_what_was_searched_and_what_was_best(
    published: tuple[MlflowClient, str], calm: Workspace
) -> None:
    client, number = published
    tags = client.get_experiment(number).tags
    leader = best(LedgerReader(calm.study).trials())
    assert leader is not None
    text = tags["mlflow.note.content"]
    assert f"best `trial-{leader.number:04d}` with {leader.objective:.4f}" in text
    assert page(number).removeprefix("/") in text
    assert "viewStateShareKey=study" in page(number)
    assert tags["mlflow.experiment.primaryMetric.name"] == "objective"
    view = json.loads(tags["mlflow.sharedViewState.study"])
    assert view["selectedColumns"][0] == "metrics.`objective`"
    searched = [f"params.`{name}`" for name in leader.params]
    assert view["selectedColumns"][1 : 1 + len(searched)] == searched
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`objective`", False)
    (parent,) = client.search_runs([number], "tags.`mlflow.source.name` = 'study.run'")
    assert view["runsExpanded"] == {parent.info.run_id: True}
    assert parent.data.metrics["objective"] == leader.objective


def test_the_study_has_its_pictures_and_its_data(published: tuple[MlflowClient, str]) -> None:
    client, number = published
    (parent,) = client.search_runs([number], "tags.`mlflow.source.name` = 'study.run'")
    there = [info.path for info in client.list_artifacts(parent.info.run_id, "pictures")]
    names = ("history", "learning_curves", "parallel")
    assert there == [f"pictures/{name}.png" for name in names]
    (data,) = parent.inputs.dataset_inputs
    assert parent.data.tags["fingerprint"].startswith(data.dataset.digest)
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]


def test_mlflow_loads_the_best_model_and_it_gives_our_scores(
    published: tuple[MlflowClient, str], calm: Workspace
) -> None:
    client, number = published
    (model,) = client.search_logged_models([number])
    leader = best(LedgerReader(calm.study).trials())
    assert leader is not None
    assert model.tags["trial_key"] == leader.key
    mlflow.set_tracking_uri(client.tracking_uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    weights = calm.study / "checkpoints" / f"trial-{leader.number:04d}.safetensors"
    detector = load_checkpoint(weights)
    width = detector.task.width
    features = np.random.default_rng(0).standard_normal((40, width)).astype(np.float32)
    segments = ServedDetector(weights).segments
    expected = score_video(detector, features, segments=segments)
    found = loaded.predict(features)
    np.testing.assert_array_equal(found["score"], expected.scores)
    assert expected.categories is not None
    assert found["category"][0] == max(expected.categories.items(), key=lambda item: item[1])[0]
    stored = [path.suffix for path in Path(model.artifact_location).rglob("*") if path.is_file()]
    assert ".safetensors" in stored
    assert not {".pkl", ".pickle", ".pt"} & set(stored)


def test_a_model_is_logged_once_and_erased_with_its_study(
    published: tuple[MlflowClient, str], calm: Workspace
) -> None:
    client, number = published
    publisher = Publisher(LedgerReader(calm.study), client.tracking_uri)
    publisher.finish()
    assert len(client.search_logged_models([number])) == 1
    publisher.erase()
    assert client.search_logged_models([number]) == []


def test_features_of_another_width_are_refused(calm: Workspace, undisturbed: Undisturbed) -> None:
    weights = next((calm.study / "checkpoints").glob("*.safetensors"))
    with pytest.raises(InputError, match="7"):
        ServedDetector(weights).predict(np.zeros((3, 7)))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_young_study_has_the_pictures_that_can_be_drawn(tmp_path: Path, count: int) -> None:
    folder = made_study(tmp_path / "young", count, trials=30)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    Publisher(LedgerReader(folder), uri).publish_new()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("young")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`mlflow.source.name` = 'study.run'")
    there = {
        Path(info.path).stem for info in client.list_artifacts(runs[0].info.run_id, "pictures")
    }
    drawn = [set(), {"history", "learning_curves"}, {"history", "learning_curves", "parallel"}]
    assert there == drawn[count]


@pytest.mark.parametrize("segments", [10**12, 0, "many"])
def test_a_header_that_asks_for_too_much_is_refused(tmp_path: Path, segments: object) -> None:
    torch.manual_seed(0)
    config = LinearConfig()
    state = Linear(config, task({"visual": 4}, 2)).state_dict()
    checkpoint.save(
        tmp_path / "x", state, model=config, categories=("a", "b"), widths={"visual": 4},
        extra={"segments": segments},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"its header says segments = .*, not a number from 1 to"):
        ServedDetector(tmp_path / "x")
