"""What version 0.3.0 gave, this version gives: hashes, bits of training, checkpoints, ledgers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from refinevad.config.training import ObjectiveConfig, Runtime, TrainConfig
from refinevad.evaluation.scores import score_video
from refinevad.models import checkpoint
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.results import RunResult
from refinevad.training.run import TrainingRun, train
from refinevad.training.runtime import resolve_runtime
from refinevad.training.zero_shot import ZeroShotRun
from study.config.former import as_begun
from study.config.load import load_study
from tests.support.small_data import write_data
from tests.support.workspace import REPOSITORY

FROZEN = Path(__file__).parent / "frozen"
FP32 = Runtime(device="cpu", precision="fp32")


def frozen(name: str) -> Any:
    return json.loads((FROZEN / name).read_text())


def same_processor(hardware: Mapping[str, str]) -> bool:
    """Whether this machine computes the bits of the one that wrote a file."""
    return resolve_runtime(FP32).hardware() == hardware


FORMER_LINES = {
    "ucf_captions.yaml": [
        "objective.epoch=best",
        "search.space_filling=30",
        "pruning={percentile: 25, warmup_epochs: 3, after_trials: 15}",
    ],
    "msad_captions.yaml": [
        "objective.epoch=best",
        "objective.folds=1",
        "search.space_filling=30",
        "pruning={percentile: 25, warmup_epochs: 5, after_trials: 15}",
    ],
}
"""Lines of shipped files that version 0.5 changed, as they were."""


@pytest.mark.parametrize("case", frozen("hashes.json"), ids=lambda c: c["file"] + "".join(c["set"]))
def test_a_shipped_study_file_keeps_its_hash(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (("UCF_ROOT", "/u"), ("XD_ROOT", "/x"), ("REFINEVAD_DATA", "/d")):
        monkeypatch.setenv(name, folder)
    former = FORMER_LINES.get(case["file"], [])
    file = load_study(REPOSITORY / "search_spaces" / case["file"], [*case["set"], *former])
    assert as_begun(file, {}).hash("f") == case["hash"]
    assert file.hash("f") != case["hash"]  # the defaults of version 0.5


def config_of(run: Mapping[str, Any]) -> Config:
    """As version 0.3 wrote it: the losses stand in ``train``."""
    length = run.get("test_length", "segments")
    data = {"synthetic": "ucf-like", "segments": 8, "test_length": length}
    model = {k: v for k, v in RefineVADConfig.former.items() if k not in run["train"]} | run[
        "model"
    ]
    train = TrainConfig.former | run["train"]
    return Config.model_validate({"data": data, "model": model, "train": train})


def judged_by(metric: str = "ap", split: str = "val") -> ObjectiveConfig:
    """The objective as version 0.3 had it."""
    values = {**ObjectiveConfig.former, "metric": metric, "split": split}
    return ObjectiveConfig.model_validate(values)


def bits(values: Mapping[str, float]) -> dict[str, str]:
    return {name: value.hex() for name, value in values.items()}


def require_equal(result: RunResult, run: Mapping[str, Any]) -> None:
    """Equal bits on the same processor; elsewhere about equal losses in the first epoch."""
    if not same_processor(frozen("runs.json")["hardware"]):
        assert len(result.curve) == len(run["curve"])
        assert result.curve[0].metrics.keys() | {"objective"} == run["curve"][0].keys()
        for name, value in result.curve[0].metrics.items():
            if name.startswith("train/"):
                assert value == pytest.approx(float.fromhex(run["curve"][0][name]), rel=0.02)
        return
    curve = [bits(r.metrics) | {"objective": r.objective.hex()} for r in result.curve]
    assert curve == run["curve"]
    assert result.selected_epoch == run["selected_epoch"]
    assert bits(result.selected) == run["selected"]
    assert bits(result.last) == run["last"]
    if run["weights"] is None:
        assert result.model_state is None
        return
    assert result.model_state is not None
    hasher = hashlib.sha256()
    for name, tensor in sorted(result.model_state.items()):
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hasher.update(tensor.contiguous().numpy().tobytes())
    assert hasher.hexdigest() == run["weights"]


TRAINED = [name for name in frozen("runs.json")["runs"] if name not in ("frozen_core", "zero_shot")]


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_run_keeps_every_bit(name: str) -> None:
    run = frozen("runs.json")["runs"][name]
    objective = judged_by(split=run["split"])
    result = train(
        tiny_store(), config_of(run), seed=5, split_seed=11, objective=objective, runtime=FP32
    )
    require_equal(result, run)


def test_a_run_with_frozen_categories_keeps_every_bit() -> None:
    run = frozen("runs.json")["runs"]["frozen_core"]
    source, _ = checkpoint.load(FROZEN / "checkpoint.safetensors")
    training = TrainingRun(
        tiny_store(seed=3), config_of(run), seed=6, split_seed=11, runtime=FP32,
        objective=judged_by(), frozen_from=source,
    )  # fmt: skip
    while not training.done:
        training.run_epoch()
    require_equal(training.result(), run)


def test_a_zero_shot_run_keeps_every_bit() -> None:
    run = frozen("runs.json")["runs"]["zero_shot"]
    source, meta = checkpoint.load(FROZEN / "checkpoint.safetensors")
    zero_shot = ZeroShotRun(
        tiny_store(seed=3), source, meta, config_of(run), split_seed=11,
        objective=judged_by(), runtime=FP32,
    )  # fmt: skip
    zero_shot.run_epoch()
    require_equal(zero_shot.result(), run)


@pytest.mark.parametrize("length", ["segments", "full"])
def test_a_checkpoint_keeps_its_scores(length: Any) -> None:
    model, meta = checkpoint.load(FROZEN / "checkpoint.safetensors")
    assert meta.extra["selected_epoch"] == frozen("runs.json")["runs"]["default"]["selected_epoch"]
    torch.set_num_threads(1)
    features = np.random.default_rng(17).standard_normal((21, 2, 12)).astype(np.float32)
    found = score_video(model, features, segments=8, length=length)
    content = frozen("scores.json")
    for values, name in zip(found, ("scores", "categories"), strict=True):
        expected = np.array([float.fromhex(value) for value in content[length][name]])
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
        if same_processor(content["hardware"]):
            np.testing.assert_array_equal(values, expected.astype(np.float32))


def run_module(folder: Path, *words: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["small", "arms"])
def test_a_ledger_resumes_verifies_and_publishes(name: str, tmp_path: Path) -> None:
    content = frozen("digests.json")
    write_data(tmp_path / "data")
    text = (FROZEN / f"{name}.yaml").read_text().replace("{root}", str(tmp_path / "data"))
    (tmp_path / "study.yaml").write_text(text)
    shutil.copytree(FROZEN / name, tmp_path / "runs" / name)
    printed = run_module(
        tmp_path,
        *("study.run", "--space", "study.yaml", "--tracking-uri", "none", "--backend", "serial"),
        "--no-baselines",
    )
    assert f"resuming {name}: " in printed
    table = (tmp_path / "runs" / name / "trials.csv").read_text()
    sample = "0"  # elsewhere trials come out with other bits, but the recorded ones stay
    if same_processor(content["hardware"]):
        assert f"digest {content[name]}" in printed
        assert table == (FROZEN / f"{name}.csv").read_text()
        sample = "2"
    assert table.startswith((FROZEN / name / "trials.csv").read_text())
    verified = run_module(tmp_path, "study.verify", "--study", name, "--sample", sample)
    assert "verified: " in verified
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    trials = len((FROZEN / f"{name}.csv").read_text().splitlines()) - 1
    shown = run_module(tmp_path, "study.publish", "--study", name, "--tracking-uri", uri)
    assert f"published {trials} of {trials} ended trials" in shown
    assert MlflowClient(uri).get_experiment_by_name(name) is not None


def test_the_demo_study_keeps_its_digest(tmp_path: Path) -> None:
    hardware = resolve_runtime(FP32).hardware()
    digests = frozen("digests.json")["demo"]
    if hardware["processor"] not in digests:
        pytest.skip(f"no digest is known of {hardware['processor']}")
    space = str(REPOSITORY / "search_spaces" / "demo.yaml")
    former = (
        *("objective.top_k=loss", "objective.monitor=false", "model.label_prototype=true"),
        *("model.class_weights=none", "model.category_outputs=mean", "train.warmup_epochs=0"),
    )  # lambda_cat is searched
    settings = [word for setting in former for word in ("--set", setting)]
    printed = run_module(
        tmp_path, "study.run", "--space", space, "--tracking-uri", "none", "--workers", "2",
        "--no-baselines", *settings,
    )  # fmt: skip
    assert f"digest {digests[hardware['processor']]}" in printed
