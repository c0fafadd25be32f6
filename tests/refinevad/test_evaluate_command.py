"""``refinevad.evaluate``: the numbers of a checkpoint, the floor beside them, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from refinevad import cli, evaluate
from refinevad.data import Store, prepare
from refinevad.evaluation.metrics import frame_metrics, video_label_floor
from refinevad.evaluation.scores import score_test
from refinevad.models import checkpoint
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from refinevad.run_config import load_config
from refinevad.training import baselines
from tests.support.detectors import task

CONFIG = RefineVADConfig(d_model=16, d_proj=8, d_emb=8, encoder_feedforward=16, shift_groups=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file, its store, and an untrained checkpoint for it."""
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "tiny.yaml").write_text("data: {synthetic: ucf-like}\n")
    store = _store(folder)
    _checkpoint(folder / "weights", store.categories, store.widths)
    return folder


def _store(folder: Path) -> Store:
    return prepare(load_config(folder / "tiny.yaml").data, folder / "stores", progress=False)


def _checkpoint(path: Path, categories: tuple[str, ...], widths: dict[str, int]) -> None:
    torch.manual_seed(0)
    state = RefineVAD(CONFIG, task(widths, len(categories))).state_dict()
    checkpoint.save(path, state, model=CONFIG, categories=categories, widths=widths)


def _run(folder: Path, *flags: str, weights: str = "weights") -> int:
    argv = ["--checkpoint", str(folder / weights), "--config", str(folder / "tiny.yaml")]
    argv += ["--stores", str(folder / "stores"), "--device", "cpu", *flags]
    with pytest.raises(SystemExit) as exit_:
        cli.run(evaluate.main, argv)
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("length", ["segments", "full"])
def test_json_has_the_metrics_of_the_test_set_and_of_each_category(
    folder: Path, length: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(folder, "--json", "--no-baselines", "--set", f"data.test_length={length}") == 0
    facts = json.loads(capsys.readouterr().out)
    store = _store(folder)
    model, _ = checkpoint.load(folder / "weights")
    scores, test = score_test(model, store, length=length), store.test
    abnormal = test.labels.any(axis=1)
    for name, value in frame_metrics(scores, test.truth, test.offsets, abnormal).items():
        assert facts["metrics"][f"test/{name}"] == pytest.approx(value, abs=1e-9)
    floor = video_label_floor(test.truth, test.offsets, abnormal)
    assert facts["metrics"]["floor/auc"] == floor["auc"]
    assert facts["test_length"] == length
    assert sum(found["videos"] for found in facts["categories"].values()) == abnormal.sum()


def test_the_table_shows_the_floor_beside_the_result(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "STEPS", 2)
    assert _run(folder, "--json") == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert _run(folder) == 0
    out = capsys.readouterr().out
    assert out.startswith("SYNTHETIC DATA")
    (line,) = [line for line in out.splitlines() if line.startswith("test AUC of frames")]
    assert line.split()[-4:-2] == [f"{metrics['test/auc']:.4f}", f"{metrics['floor/auc']:.4f}"]


def test_weights_of_other_features_are_refused_and_of_other_categories_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = _store(folder)
    _checkpoint(folder / "wide", store.categories, {"visual": 512})
    assert _run(folder, weights="wide") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: the checkpoint reads visual 512, the data has visual ")
    assert err.count("\n") == 1

    _checkpoint(folder / "other", ("Abuse", "Juggling"), store.widths)
    assert _run(folder, weights="other") == 0
    assert "the model has other categories than these data" in capsys.readouterr().out


def test_a_file_that_is_no_checkpoint_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(folder, weights="tiny.yaml") == 2
    assert "not a readable safetensors file" in capsys.readouterr().err


def test_ucf_crime_has_its_known_ground_truth_and_floor(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = real_data / "ucf-crime-captions"
    (tmp_path / "tiny.yaml").write_text(
        f"data:\n  taxonomy: ucf\n  annotations: {root}/Temporal_Anomaly_Annotation.txt\n"
        f"  text: {{layout: csv, root: {root}, train_list: train.csv, test_list: test.csv}}\n"
    )
    store = _store(tmp_path)
    assert 16 * store.test.offsets[-1] == 1_109_824
    assert store.test.truth.sum(dtype=int) == 84_160
    _checkpoint(tmp_path / "weights", store.categories, store.widths)
    assert _run(tmp_path, "--json", "--no-baselines") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["metrics"]["floor/auc"] == pytest.approx(0.816, abs=5e-4)
    assert sum(found["videos"] for found in facts["categories"].values()) == 140
