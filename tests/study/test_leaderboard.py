"""``study.leaderboard``: one budget for all, resumed, extended, verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from refinevad.errors import InputError
from study import leaderboard, verify
from study.config.leaderboard_file import SEEDS_OF_RETRAINING, SHARED, LeaderboardFile
from study.ledger.study import read_study
from study.reporting.leaderboard import latex
from tests.support.small_data import study_text


def content(data: Path, **table: Any) -> dict[str, Any]:
    own = {"name": "fair", "trials": 3, "seeds": 3, "seed": 7}
    return {
        "leaderboard": own | table,
        "methods": ["linear", {"name": "deepmil", "hidden": 16, "dropout": 0.3}],
        "objective": {"metric": "ap", "epoch": "mean_second_half"},
        "execution": {"threads": 1, "precision": "fp32"},
        "data": yaml.safe_load(study_text(data))["data"],
        "train": {"batch_size": 8, "warmup_epochs": 0, "lr": 1e-3},
        "space": {"epochs": {"int": [2, 3]}},
    }


def run(tmp_path: Path, stores: Path, file: dict[str, Any], *flags: str) -> int:
    path = tmp_path / "fair.yaml"
    path.write_text(yaml.safe_dump(file))
    session = ["--backend", "serial", "--tracking-uri", "none", "--stores", str(stores)]
    return leaderboard.main(
        ["--file", str(path), *session, "--runs", str(tmp_path / "runs"), *flags]
    )


def test_a_table_is_made_extended_by_a_method_and_verified(
    tmp_path: Path, stores: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, runs = content(data), tmp_path / "runs"
    assert run(tmp_path, stores, file) == 0
    said = capsys.readouterr().out
    assert "gate: does linear learn eight videos by heart?" in said
    assert "No number here was selected on test." in said
    journals = {p: p.read_bytes() for p in sorted(runs.glob("*/journal.log"))}
    assert [p.parent.name for p in journals] == [
        "fair.deepmil", "fair.deepmil.seeds", "fair.linear", "fair.linear.seeds",
    ]  # fmt: skip

    file["methods"].append("svm")
    assert run(tmp_path, stores, file) == 0
    said = capsys.readouterr().out
    assert "gate: does linear" not in said
    for path, before in journals.items():
        kept = [line for line in path.read_bytes().splitlines() if b"seal" not in line.lower()]
        assert [x for x in before.splitlines() if b"seal" not in x.lower()] == kept
    table = pd.read_csv(runs / "fair" / "leaderboard.csv")
    assert set(table["method"]) >= {"linear", "deepmil", "svm", "plain scorer"}
    assert table["test AUC"].notna().all()
    assert "Detectors on fair" in (runs / "fair" / "leaderboard.html").read_text()
    assert r"\toprule" in (runs / "fair" / "leaderboard.tex").read_text()
    for name in ("fair.deepmil", "fair.deepmil.seeds"):
        flags = ["--study", str(runs / name), "--stores", str(stores), "--sample", "1"]
        assert verify.main(flags) == 0

    search, again = (read_study(runs / f"fair.deepmil{end}") for end in ("", ".seeds"))
    first = search.records[0].params
    assert first["margin"] == 1.0, "the defaults come first"
    assert first["lr"] == 0.003
    assert "hidden" not in first
    assert again.file.split_seed == search.file.split_seed == 7
    assert not {r.seed for r in again.records} & {r.seed for r in search.records}
    others = read_study(runs / "fair.linear.seeds")
    assert [r.seed for r in again.records] == [r.seed for r in others.records]


def test_a_plan_starts_nothing(
    tmp_path: Path, stores: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, stores, content(data), "--plan") == 0
    said = capsys.readouterr().out
    assert "2 methods, 3 trials and 3 seeds each" in said
    assert "nothing was started" in said
    assert not (tmp_path / "runs").exists()


def test_a_method_that_learns_nothing_stands_as_failed(
    tmp_path: Path, stores: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.session import gate

    monkeypatch.setattr(gate, "STEPS", 20)
    monkeypatch.setattr(gate, "RATES", (1e-12,))
    file = content(data, trials=2, seeds=1)
    file["methods"] = ["svm", "linear"]
    assert run(tmp_path, stores, file) == 0
    runs = tmp_path / "runs"
    assert not (runs / "fair.linear").exists()
    table = pd.read_csv(runs / "fair" / "leaderboard.csv")
    assert table.set_index("method").loc["linear", "knows"] == "failed"
    assert json.loads((runs / "fair" / "gate.json").read_text())["svm"]["passes"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": ["rtfn"]}, "there is no detector 'rtfn'"),
        ({"methods": ["rtfm", {"name": "rtfm"}]}, "methods named twice: rtfm"),
        ({"methods": []}, "methods"),
        ({"leaderboard": {"name": "a", "reference": "rtfm"}}, "reference 'rtfm' is none of"),
        ({"space": {"hidden": {"choice": [1]}}}, "the shared hyperparameters alone"),
        ({"objective": {"split": "test", "metric": "auc"}}, "objective.split is val"),
        ({"methods": ["vadclip"]}, "data.category_embeddings"),
        ({"methods": [{"name": "deepmil", "hiden": 3}]}, "hiden"),
    ],
)
def test_bad_files_are_refused_in_one_line_and_nothing_is_written(
    tmp_path: Path, stores: Path, data: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as error:
        run(tmp_path, stores, content(data) | changes)
    assert words in str(error.value)
    assert "fair.yaml" in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_every_method_has_the_shared_ranges_and_its_own(data: Path) -> None:
    from refinevad.models.registry import CONFIGS

    names = [n for n in CONFIGS if n != "mine"]
    file = LeaderboardFile.model_validate(content(data) | {"methods": names, "space": {}})
    for name in names:
        search, config = file.search(name), CONFIGS[name]
        shared = set() if config.fitted else set(SHARED)
        assert set(search.space) == shared | set(config.space)
        assert search.study.trials == 3
        again = file.retraining(name, {})
        assert again.study.seed == 7 + SEEDS_OF_RETRAINING


def test_a_table_for_a_paper_is_escaped() -> None:
    found = latex(pd.DataFrame({"a_b": ["50% & more"]}))
    assert found == (
        "\\begin{tabular}{l}\n\\toprule\na\\_b \\\\\n\\midrule\n50\\% \\& more \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )
