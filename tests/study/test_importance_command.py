"""`python -m study.importance`, as a user gives it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from refinevad import cli
from study import publish
from study.importance import main
from study.ledger.study import read_study
from study.ledger.writer import Ledger
from tests.support.studies import diverged, failed, made_study

pytestmark = pytest.mark.usefixtures("quick_forests")

FEW = ["--bootstraps", "20"]
NO_MLFLOW = [*FEW, "--tracking-uri", "none"]
PICTURES = ("importance", "best_by_value", "stability", "interaction")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("runs") / "known", 60)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and the one line of a refused command."""
    with pytest.raises(SystemExit) as exited:
        cli.run(main, list(arguments))
    captured = capsys.readouterr()
    code = exited.value.code
    assert isinstance(code, int)
    assert "Traceback" not in captured.err
    return code, captured.err.strip().splitlines()[-1]


def test_the_answer_in_words_tables_and_pictures(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--study", str(study), *NO_MLFLOW]) == 0
    said = capsys.readouterr().out
    assert said.startswith("known: which hyperparameters decide ap on val? (60 trials: 54 complete")
    assert said.index("R²") < said.index("permutation")  # the gate stands before the table
    assert "no importance, because there is one value only: d_proj" in said
    folder = study / "importance"
    table = pd.read_csv(folder / "importance.csv").set_index("hyperparameter")
    assert list(table.index[-2:]) == ["(probe)", "d_proj"]
    for method in ("permutation", "mdi", "ped_anova"):
        low, value, high = (table[f"{method}{part}"] for part in ("_low", "", "_high"))
        known = value.notna()
        assert (low[known] <= value[known]).all()
        assert (value[known] <= high[known]).all()
        assert value.drop(["(probe)", "d_proj"]).sum() == pytest.approx(1)
    assert {"lr", "lambda_cat"} == set(table.index[:2])
    pairs = pd.read_csv(folder / "interactions.csv")
    assert len(pairs) == 6
    stages = pd.read_csv(folder / "stages.csv")
    assert sorted(stages.trials.unique()) == [30, 45, 60]
    for name in PICTURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.parse(folder / f"{name}.svg")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["--study", str(study), *NO_MLFLOW]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_it_runs_beside_the_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made_study(tmp_path / "running", 40, trials=80)
    meta = read_study(folder).meta
    ledger = Ledger(folder, meta)  # holds the lock
    assert main(["--study", str(folder), *NO_MLFLOW]) == 0
    ledger.close()
    assert "(40 trials" in capsys.readouterr().out


def test_a_floor_asks_about_the_better_trials(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--study", str(study), *NO_MLFLOW, "--floor", "0.75"]
    assert main(arguments) == 0
    assert "objectives below 0.75 count as 0.75" in capsys.readouterr().out
    assert (study / "importance_floor_0.75" / "importance.csv").exists()
    assert main([*arguments, "--out", str(tmp_path / "there")]) == 0
    assert (tmp_path / "there" / "importance.csv").exists()
    code, line = refused(capsys, "--study", str(study), *FEW, "--floor", "0.99")
    assert code == 1
    assert "all 60 trials have the objective 0.99" in line


def test_what_cannot_be_answered_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = made_study(tmp_path / "few", 7)
    code, line = refused(capsys, "--study", str(few), *NO_MLFLOW)
    assert code == 1
    assert "7 trials have a result; importances need at least 20" in line
    assert not (few / "importance").exists()
    lost = made_study(tmp_path / "lost", 25, outcome=diverged)
    code, line = refused(capsys, "--study", str(lost), *NO_MLFLOW)
    assert code == 1
    assert "all 25 trials have the objective 0: they diverged" in line
    broken = made_study(tmp_path / "broken", 25, outcome=failed)
    code, line = refused(capsys, "--study", str(broken), *NO_MLFLOW)
    assert code == 1
    assert "0 trials have a result" in line
    single = made_study(tmp_path / "single", 25, space={"d_proj": {"choice": [64]}})
    code, line = refused(capsys, "--study", str(single), *NO_MLFLOW)
    assert code == 1
    assert "nothing was searched" in line


def test_bad_flags_are_named(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, "--study", str(tmp_path / "nowhere"))[0] == 2
    code, line = refused(capsys)
    assert code == 2
    assert "--study NAME" in line
    assert refused(capsys, "--study", str(study), "--studies", "a", "b")[0] == 2
    assert refused(capsys, "--study", str(study), "--bootstraps", "0")[0] == 2
    assert refused(capsys, "--study", str(study), "--bootstraps", "many")[0] == 2
    assert refused(capsys, "--study", str(study), "--floor", "nan")[0] == 2
    code, line = refused(capsys, "--studies", str(study), str(study), "--floor", "0.5")
    assert code == 2
    assert "--floor needs --study" in line
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "below")
    code, line = refused(capsys, "--study", str(study), *NO_MLFLOW, "--out", out)
    assert code == 1
    assert "the study itself is untouched" in line


def test_two_studies(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (made_study(tmp_path / str(seed), 25, seed=seed) for seed in (8, 9))
    assert main(["--studies", str(one), str(other), *FEW]) == 0
    said = capsys.readouterr().out
    assert "tau" in said.lower()
    narrow = made_study(
        tmp_path / "narrow",
        25,
        space={"lr": {"log_uniform": [1e-5, 1e-2]}, "epochs": {"int": [1, 9]}},
    )
    code, line = refused(capsys, "--studies", str(study), str(narrow), *FEW)
    assert code == 2
    assert "fewer than two hyperparameters were searched in both" in line


def test_mlflow_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made_study(tmp_path / "runs" / "shown", 25)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    there = ["--study", str(folder), *FEW, "--tracking-uri", uri]
    assert main(there) == 0
    assert "not logged: MLflow" in capsys.readouterr().out
    assert publish.main(["--study", str(folder), "--tracking-uri", uri]) == 0
    for _ in range(2):
        assert main(there) == 0
    assert "logged to the study's run" in capsys.readouterr().out
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("shown")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "attributes.run_name = 'shown'")
    assert len(runs) == 1
    metrics = runs[0].data.metrics
    table = pd.read_csv(folder / "importance" / "importance.csv").set_index("hyperparameter")
    assert metrics["importance/lr"] == pytest.approx(table.permutation["lr"])
    assert "importance_r2" in metrics
    assert len(client.get_metric_history(runs[0].info.run_id, "importance/lr")) == 1
    names = {file.path for file in client.list_artifacts(runs[0].info.run_id, "importance")}
    assert {"importance/importance.csv", "importance/stability.svg"} <= names
