"""Bad input, as a user would give it: exit 2, one clear line, nothing started, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from refinevad.errors import InputError
from refinevad.testing.tiny_store import tiny_store
from study.config.study_file import StudyFile
from study.session.session import SessionOptions, run_session
from tests.support.datasets import Benchmark, benchmark
from tests.support.workspace import REPOSITORY, SMALL_STUDY, Workspace

Spoil = Callable[[Benchmark], object]


def study_on(workspace: Workspace, bench: Benchmark) -> None:
    source = (
        f"{{taxonomy: ucf, annotations: {bench.annotations}, visual: {{layout: csv, "
        f"root: {bench.root}, train_list: train.list, test_list: test.list}}}}"
    )
    workspace.space.write_text(SMALL_STUDY.replace("{synthetic: ucf-like}", source))


def refusal(workspace: Workspace, *arguments: str) -> str:
    """What a refused command says; it must leave no study behind."""
    run = workspace.run(*arguments)
    assert run.returncode == 2, run.stdout + run.stderr
    progress, error, message = run.stderr.partition("error: ")
    assert error
    assert "Traceback" not in run.stderr
    assert not progress or progress.startswith("packing ")
    assert not (workspace.folder / "runs").exists()
    return message


def first_train_file(bench: Benchmark) -> Path:
    line = bench.list_of("train").read_text().splitlines()[-1]
    return bench.file(Path(line.split(",")[0]).stem)


def truncate(bench: Benchmark) -> None:
    path = first_train_file(bench)
    path.write_bytes(path.read_bytes()[:-10])


def pickle(bench: Benchmark) -> None:
    np.save(first_train_file(bench), np.array([{"a": 1}], dtype=object), allow_pickle=True)


def put_nan(bench: Benchmark) -> None:
    path = first_train_file(bench)
    array = np.load(path)
    array[1, 2] = np.nan
    np.save(path, array)


def widen(bench: Benchmark) -> None:
    path = first_train_file(bench)
    array = np.load(path)
    np.save(path, np.concatenate([array, array], axis=-1))


def lose(bench: Benchmark) -> None:
    first_train_file(bench).unlink()


def annotate_a_stranger(bench: Benchmark) -> None:
    with bench.annotations.open("a") as file:
        file.write("\nNobody999_x264  Abuse  0  10  -1  -1\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncate, "truncated"),
        (pickle, "pickle"),
        (put_nan, "NaN"),
        (widen, "width"),
        (lose, "names files that do not exist"),
        (annotate_a_stranger, "Nobody999_x264"),
    ],
)
def test_bad_files_are_named(
    workspace: Workspace, tmp_path: Path, spoil: Spoil, words: str
) -> None:
    bench = benchmark(tmp_path / "features")
    spoiled = first_train_file(bench)
    spoil(bench)
    study_on(workspace, bench)
    message = refusal(workspace)
    assert words.lower() in message.lower()
    assert spoiled.name in message or "annotations.txt" in message


def test_a_missing_folder_is_named(workspace: Workspace, tmp_path: Path) -> None:
    bench = benchmark(tmp_path / "features")
    study_on(workspace, bench)
    bench.root.rename(tmp_path / "moved")
    assert str(bench.root) in refusal(workspace)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("d_modle=3", "did you mean `d_model`?"),
        ("space.lr={log_uniform: [0, 1]}", "the lower bound must be above 0"),
        ("space.d_proj={choice: [4, 9]}", "d_proj = 9 is not divisible by injection_heads = 2"),
        ("study.name=../../elsewhere", "study.name"),
        ("space.d_proj={int: [4, 512]}", "d_proj = 5 is not divisible by injection_heads = 2"),
        ("data.split_seed=-1", "data.split_seed: found -1"),
    ],
)
def test_bad_settings_are_named(workspace: Workspace, override: str, words: str) -> None:
    message = refusal(workspace, "--set", override)
    assert words in message
    assert len(message.splitlines()) == 1


def test_a_modality_the_data_do_not_have_is_named(workspace: Workspace, tmp_path: Path) -> None:
    study_on(workspace, benchmark(tmp_path / "features"))
    message = refusal(workspace, "--set", "fusion=text")
    assert "fusion = text, but the data have only visual features" in message


def test_a_remedy_that_was_advised_is_accepted(workspace: Workspace) -> None:
    run = workspace.run("--set", "device=cuda", "--trials", "1")
    assert run.returncode == 2
    assert "there is no GPU here; use auto or cpu" in run.stderr
    assert workspace.run("--set", "device=cpu", "--trials", "1").returncode == 0


def test_a_flag_that_is_no_number_is_refused(workspace: Workspace) -> None:
    run = workspace.run("--workers", "many")
    assert run.returncode == 2
    assert "'many' is not a whole number from 1" in run.stderr


def test_no_cluster_at_the_address_is_said(workspace: Workspace) -> None:
    assert "--address 127.0.0.1:1: no Ray cluster there" in refusal(
        workspace, "--address", "127.0.0.1:1"
    )


@pytest.mark.parametrize("name", ["xd", "ucf"])
def test_the_papers_setting_without_its_files_says_where_to_put_them(
    workspace: Workspace, name: str, tmp_path: Path
) -> None:
    workspace.space.write_text((REPOSITORY / "search_spaces" / f"{name}.yaml").read_text())
    variable = f"{name.upper()}_ROOT"
    assert f"environment variable {variable} is not set" in refusal(workspace)
    command = [*workspace.command("--tracking-uri", "none")]
    empty = workspace.environment() | {variable: str(tmp_path / "nowhere")}
    run = subprocess.run(command, cwd=tmp_path, env=empty, capture_output=True, text=True)
    assert run.returncode == 2
    assert "nowhere" in run.stderr


@pytest.mark.parametrize(
    "module",
    ["study.run", "study.publish", "study.verify", "refinevad.train", "refinevad.prepare"],
)
def test_help_needs_no_heavy_library(module: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']\n"
        f"import runpy\n"
        f"try: runpy.run_module('{module}', run_name='__main__')\n"
        f"except SystemExit as end: assert end.code == 0\n"
        f"heavy = {{'torch', 'ray', 'optuna', 'mlflow', 'pandas', 'sklearn'}} & set(sys.modules)\n"
        f"assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, capture_output=True)


def test_an_objective_that_is_undefined_is_refused_before_the_ledger_begins(tmp_path: Path) -> None:
    store = tiny_store()
    store.test.truth[:] = 0
    text = SMALL_STUDY.replace("split: val", "split: test")
    file = StudyFile.model_validate(yaml.safe_load(text))
    options = SessionOptions(tmp_path / "runs" / "small", None, 1, None, "serial", False)
    with pytest.raises(InputError, match="no frame in the test set is positive: ap is undefined"):
        run_session(file, store, options, Console())
    assert not (tmp_path / "runs").exists()
