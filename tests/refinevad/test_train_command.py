"""``refinevad.train`` from the shell's side: files, table, exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from refinevad import cli, train
from refinevad.config.data import DataConfig
from refinevad.config.training import TrainConfig
from refinevad.data import prepare
from refinevad.evaluation.scores import score_test
from refinevad.evaluation.splits import test_metrics as metrics_of_test_set
from refinevad.models import checkpoint
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.run_config import load_config

STUDY = """\
data: {synthetic: ucf-like}
model: {d_model: 16, d_proj: 8, d_emb: 8, encoder_feedforward: 16, shift_groups: 4}
train: {epochs: 2, batch_size: 32, lr: 1e-3}
"""


def _run(argv: list[str]) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.run(train.main, argv)
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file and its packed store."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "tiny.yaml").write_text(STUDY)
    prepare(load_config(folder / "tiny.yaml").data, folder / "stores", progress=False)
    return folder


def _flags(folder: Path, out: str = "out") -> list[str]:
    return [
        *("--config", str(folder / "tiny.yaml")),
        *("--stores", str(folder / "stores")),
        *("--out", str(folder / out)),
        *("--device", "cpu", "--precision", "fp32"),
    ]


def test_a_run_writes_what_it_found_and_says_what_to_do_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(_flags(folder)) == 0
    out, err = capsys.readouterr()
    facts = json.loads((folder / "out" / "metrics.json").read_text())
    assert facts["seed"] == facts["split_seed"] == 42
    assert facts["selection"] == "validation"
    assert facts["config"]["train"]["lr"] == 1e-3
    assert facts["hardware"]["precision"] == "fp32"
    assert facts["synthetic"] is True

    with (folder / "out" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    best = max(float(row["objective"]) for row in rows)
    assert facts["selected"]["val/ap"] == best
    assert (folder / "out" / "training.png").read_bytes()[:4] == b"\x89PNG"

    assert len([line for line in err.splitlines() if line.startswith("epoch ")]) == 2
    assert out.startswith("SYNTHETIC DATA")
    assert f"{facts['selected']['test/auc']:.4f}" in out
    assert f"{facts['selected']['floor/auc']:.4f}" in out
    assert "selected on validation" in out
    assert f"refinevad.evaluate --checkpoint {folder}/out/checkpoint.safetensors" in out


def test_the_checkpoint_is_the_selected_epochs_and_gives_its_test_metrics(folder: Path) -> None:
    assert _run([*_flags(folder), "--set", "epochs=3"]) == 0
    facts = json.loads((folder / "out" / "metrics.json").read_text())
    model, meta = checkpoint.load(folder / "out" / "checkpoint.safetensors")
    store = prepare(DataConfig(synthetic="ucf-like"), folder / "stores", progress=False)
    found = metrics_of_test_set(score_test(model, store, length="segments"), store)
    for name, value in found.items():
        assert value == pytest.approx(facts["selected"][name], abs=1e-7)
    assert meta.extra["fingerprint"] == store.fingerprint
    assert meta.extra["segments"] == 32


def test_the_same_command_gives_the_same_bytes(folder: Path) -> None:
    weights = []
    for out in ("a", "b"):
        assert _run(_flags(folder, out)) == 0
        weights.append((folder / out / "checkpoint.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert _run([*_flags(folder, "c"), "--set", "train.seed=7"]) == 0
    assert (folder / "c" / "checkpoint.safetensors").read_bytes() != weights[0]


def test_a_run_selected_on_test_says_so_everywhere(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run([*_flags(folder), "--split", "test", "--metric", "ano_auc"]) == 0
    assert "selected on test, by ano_auc" in capsys.readouterr().out
    assert json.loads((folder / "out" / "metrics.json").read_text())["selection"] == (
        "selected on test"
    )
    _, meta = checkpoint.load(folder / "out" / "checkpoint.safetensors")
    assert meta.extra["selection"] == "selected on test"


def test_divergence_fails_with_advice_and_leaves_no_weights(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(_flags(folder)) == 0
    flags = ["--set", "lr=1e38", "--set", "clip_norm=0"]
    assert _run([*_flags(folder), *flags]) == 1
    assert "training diverged in epoch 1" in capsys.readouterr().err
    assert not (folder / "out" / "checkpoint.safetensors").exists()
    assert json.loads((folder / "out" / "metrics.json").read_text())["diverged"] is True


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--metric", "ano_auc"], "--metric ano_auc --split val: ano_auc needs frame labels"),
        (["--set", "epoch=3"], "did you mean `epochs`"),
        (["--set", "fusion=visual", "--set", "d_model=15"], "not divisible"),
        (["--out", "/dev/null/out"], "--out /dev/null/out: cannot make this folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    folder: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run([*_flags(folder), *flags]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_lists_every_key_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["--help"]) == 0
    text = capsys.readouterr().out
    for section, model in (
        ("data", DataConfig),
        ("model", RefineVADConfig),
        ("train", TrainConfig),
    ):
        for name in model.model_fields:
            assert f"\n  {section}.{name}" in text
    assert "model.lambda_reg = 8e-05  (refinevad)\n      [g] Weight of smoothness" in text


def test_a_table_aligns_numbers_to_the_right() -> None:
    text = train.table(["", "a"], [["x", "1.0"], ["long", train.number(np.nan)]])
    assert text.splitlines() == ["        a", "---------", "x     1.0", "long    -"]
