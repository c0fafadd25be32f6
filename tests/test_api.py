"""The Python API does what the commands do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import refinevad
import study
from refinevad.errors import InputError
from refinevad.models import checkpoint
from tests.support.small_data import study_text
from tests.support.workspace import Undisturbed, Workspace


@pytest.fixture
def space(tmp_path: Path, data: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(study_text(data))
    return path


SMALL = ["d_proj=8", "epochs=2", "lambda_cat=0.3", "lr=1e-3"]


def test_a_detector_is_trained_saved_loaded_and_scores(
    space: Path, tmp_path: Path, stores: Path
) -> None:
    config = refinevad.load_config(space, SMALL)
    store = refinevad.prepare_data(config, stores)
    epochs: list[int] = []
    threads = torch.get_num_threads()
    trained = refinevad.train_detector(
        config, store, seed=3, precision="fp32", on_epoch=lambda record: epochs.append(record.epoch)
    )
    assert torch.get_num_threads() == threads
    assert epochs == [1, 2]
    assert [record.epoch for record in trained.curve] == epochs
    path = tmp_path / "detector.safetensors"
    trained.save(path)
    detector = refinevad.load_checkpoint(path)
    assert path.stat().st_mode & 0o777 == space.stat().st_mode & 0o777  # as any other file
    assert detector.task.categories == store.categories
    assert checkpoint.load(path)[1].extra["seed"] == 3
    found = refinevad.evaluate_detector(detector, store)
    assert found["test/auc"] == trained.metrics["test/auc"]
    assert found["floor/auc"] == trained.metrics["floor/auc"]
    video = store.test.features[: store.test.offsets[1]]
    scored = refinevad.score_video(detector, video, segments=8)
    assert scored.scores.shape == (len(video),)
    assert scored.categories is not None
    assert list(scored.categories) == list(store.categories)
    flat = refinevad.score_video(detector, np.asarray(video)[:, 0], segments=8)
    np.testing.assert_array_equal(flat.scores, scored.scores)
    with pytest.raises(InputError, match="expected \\(n, width\\)"):
        refinevad.score_video(detector, np.zeros(8))
    with pytest.raises(InputError, match="5 wide"):
        refinevad.score_video(detector, np.zeros((4, 5)))


def test_what_diverges_is_said(space: Path, stores: Path) -> None:
    config = refinevad.load_config(space, [*SMALL, "lr=1e30"])
    with pytest.raises(InputError, match="training diverged in epoch"):
        refinevad.train_detector(config, refinevad.prepare_data(config, stores), precision="fp32")


def test_a_study_in_this_process_has_the_digest_of_the_command(
    space: Path, tmp_path: Path, stores: Path, undisturbed: Undisturbed
) -> None:
    options: dict[str, Any] = {"runs": tmp_path / "runs", "stores": stores, "quiet": True}
    first = study.run_study(space, ["study.trials=4"], **options)
    assert len(first.trials) == 4
    results = study.run_study(space, **options)
    assert results.digest == undisturbed.digest
    again = study.run_study(yaml.safe_load(space.read_text()), **options)
    assert again.digest == undisturbed.digest
    assert study.run_study(study.load_study_file(space), **options).digest == undisturbed.digest


def test_a_study_leaves_the_callers_torch_as_it_was(
    space: Path, tmp_path: Path, stores: Path
) -> None:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(2)  # a trial has one
        torch.use_deterministic_algorithms(False)  # a trial has them
        study.run_study(
            space, ["study.trials=1"], runs=tmp_path / "runs", stores=stores, quiet=True
        )
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def test_a_study_is_opened_as_tables_and_pictures(
    calm: Workspace, undisturbed: Undisturbed
) -> None:
    results = study.open_study(calm.study)
    assert results.digest == undisturbed.digest
    assert results.name == "small"
    table = results.trials
    assert list(table["number"]) == list(range(10))
    assert (table["duration_s"] > 0).all()
    assert (table["finished"] >= table["started"]).all()
    curves = results.curves
    assert len(curves) == int(table["epochs_run"].sum())
    assert curves.groupby("trial")["objective"].max().max() == table["objective"].max()
    assert results.best is not None
    assert results.best.objective == table["objective"].max()
    config = results.best_config
    assert config.train.epochs == results.best.params["epochs"]
    detector = refinevad.load_checkpoint(results.best_checkpoint)
    assert detector.config == config.model
    for picture in (results.plot_history(), results.plot_curves(count=3)):
        assert picture.axes


def test_a_study_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no study here"):
        study.open_study(tmp_path / "nothing")


def test_a_study_shows_itself_in_a_line_and_asks_for_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calm: Workspace, undisturbed: Undisturbed
) -> None:
    shown = repr(study.open_study(calm.study))
    assert len(shown) < 200
    assert undisturbed.digest[:12] in shown
    (tmp_path / "runs" / "other").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"open_study\('runs/other'\)"):
        study.open_study("other")


def test_every_name_of_the_api_is_there_and_documented() -> None:
    for package in (refinevad, study):
        for name in package.__all__:
            value = getattr(package, name)
            assert name == "__version__" or (value.__doc__ or "").strip(), name
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = package.nothing


def test_importing_the_packages_imports_nothing_heavy() -> None:
    heavy = {"torch", "ray", "optuna", "mlflow"}
    code = f"import sys, refinevad, study; print({heavy!r} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_what_the_caller_gave_stays_as_it_is(space: Path, tmp_path: Path, stores: Path) -> None:
    content = yaml.safe_load(space.read_text())
    before = yaml.safe_dump(content)
    options: dict[str, Any] = {"runs": tmp_path / "runs", "stores": stores, "quiet": True}
    results = study.run_study(content, ["study.trials=2"], **options)
    assert len(results.trials) == 2
    assert yaml.safe_dump(content) == before
    file = study.load_study_file(space, ["trial_timeout=none", "study.name=other"])
    results = study.run_study(file, ["study.trials=2"], **options)
    assert results.file.execution.trial_timeout is None
    assert results.file.model == file.model
