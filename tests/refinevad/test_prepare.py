from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from refinevad import cli, prepare
from tests.support.datasets import benchmark


def study_file(folder: Path, text: str) -> str:
    path = folder / "study.yaml"
    path.write_text(text)
    return str(path)


def test_it_says_what_is_in_the_store_and_that_it_is_synthetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = study_file(tmp_path, "data: {synthetic: xd-like}\n")
    prepare.main(["--config", config, "--stores", str(tmp_path / "stores"), "--verify"])
    out = capsys.readouterr().out
    assert "SYNTHETIC" in out
    assert "200 (100 abnormal), crops: 2, segments: 32" in out
    assert "64 visual + 32 text" in out


def test_a_second_call_packs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = benchmark(tmp_path / "data")
    config = study_file(
        tmp_path,
        f"data:\n  taxonomy: ucf\n  annotations: {bench.annotations}\n  visual:\n"
        f"    layout: csv\n    root: {bench.root}\n    train_list: {bench.list_of('train')}\n"
        f"    test_list: {bench.list_of('test')}\n",
    )
    arguments = ["--config", config, "--stores", str(tmp_path / "stores")]
    prepare.main(arguments)
    first = capsys.readouterr()
    assert "packing" in first.err
    prepare.main(arguments)
    second = capsys.readouterr()
    assert second.err == ""
    assert second.out == first.out
    assert "SYNTHETIC" not in second.out


def test_missing_data_end_with_status_2_and_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = study_file(
        tmp_path,
        "data:\n  taxonomy: xd\n  annotations: /nowhere/annotations.txt\n  visual:\n"
        "    layout: vadclip\n    root: /nowhere/xd\n    train_list: /nowhere/train.csv\n"
        "    test_list: /nowhere/test.csv\n",
    )
    with pytest.raises(SystemExit) as stopped:
        cli.run(prepare.main, ["--config", config, "--stores", str(tmp_path)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    for key in ("visual.root", "visual.train_list", "visual.test_list", "annotations"):
        assert f"data.{key}: no " in error
    assert "environment variable" in error
    assert "docs/data.md" in error


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; import refinevad.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
