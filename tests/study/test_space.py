"""The study file: what is refused before anything starts, and what its hash stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinevad.errors import InputError
from study.config.load import load_study
from study.config.study_file import StudyFile
from tests.support.workspace import REPOSITORY, SMALL_STUDY


def load(tmp_path: Path, text: str, *overrides: str) -> StudyFile:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load_study(path, overrides)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lr: {log_uniform", "lrr: {log_uniform", "space.lrr: unknown hyperparameter"),
        ("[1.0e-5, 1.0e-1]", "[0, 1.0e-1]", "log_uniform from 0: the lower bound must be above 0"),
        ("[1.0e-5, 1.0e-1]", "[0.1, 0.1]", "empty range"),
        ("[1.0e-5, 1.0e-1]", "[0.1]", "space.lr.log_uniform"),
        ("{int: [2, 4]}", "{int: [0, 4]}", "0 is not possible: input should be greater than"),
        ("{int: [2, 4]}", "{int: [2.5, 4]}", "space.epochs.int"),
        ("{int: [2, 4]}", "{ints: [2, 4]}", "did you mean `int`?"),
        ("{int: [2, 4]}", "{int: [2, 4], choice: [2]}", "give exactly one of"),
        ("{choice: [4, 8]}", "{choice: [4, 7]}", "d_proj = 7 is not divisible by injection_heads"),
        ("{int: [2, 4]}", "{log_int: [16, 64, 16]}", "two bounds, [low, high]; these values only "),
        (
            "{int: [2, 4]}",
            "{int: [16, 60, 16]}",
            "60 is not a whole number of steps above 16; give",
        ),
        ("{int: [2, 4]}", "{int: [16, 60, 16]}", "give 48, or, if these values only are meant"),
        ("{int: [2, 4]}", "{int: [3, 4, 4]}", "{choice: [3, 4]}"),
        ("{int: [2, 4]}", "{int: [2, 4, -1]}", "the step must be above 0"),
        ("{int: [2, 4]}", "{int: [1, 2, 3, 4]}", "{choice: [1, 2, 3, 4]}"),
        ("{int: [2, 4]}", "{choice: [3, three]}", "'three' is not possible: expected a whole numb"),
        ("{choice: [4, 8]}", "{choice: [4, 8.5]}", "8.5 is not possible: expected a whole number"),
        ("{int: [2, 4]}", "{int: 3}", "space.epochs.int: found 3, expected two bounds"),
        ("{int: [2, 4]}", "3", "found 3, expected what to search"),
        ("{choice: [4, 8]}", "{choice: []}", "found [], expected at least 1 value"),
        ("{choice: [4, 8]}", "{choice: 8}", "found 8, expected a list, such as [8]"),
        (
            "{choice: [4, 8]}",
            "{choice: [[1]]}",
            "found [1], expected true or false, a whole number, a number or text",
        ),
        ("name: small", "name: my study", "'my study', which cannot name a folder; use letters"),
        ("name: small", "name: 7", 'found 7, expected text; put it in quotes: "7"'),
        ("name: small", "name:", "study.name: is empty, expected text"),
        ("data: {", "data: {taxonomy: [1], ", "data.taxonomy.0: found 1, expected text; put it"),
        ("{choice: [4, 8]}", "{choice: [4, 4]}", "a value twice"),
        ("batch_size: 16", "lr: 0.1", "space.lr: both searched here and fixed in `train`"),
        ("trials: 10", "trials: 0", "study.trials: found 0"),
        ("name: small", "name: ../small", "study.name: found '../small'"),
        ("metric: ap, split: val", "metric: ano_auc, split: val", "ano_auc needs frame labels"),
        ("percentile: 40", "percentile: 100", "pruning.percentile: found 100"),
        ("trial_timeout: 5m", "trial_timeout: soon", "expected a duration such as 90s"),
        ("window: 4", "windw: 4", "did you mean `window`?"),
    ],
)
def test_a_mistake_is_refused_in_words(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in SMALL_STUDY
    with pytest.raises(InputError) as error:
        load(tmp_path, SMALL_STUDY.replace(old, new, 1))
    assert words in str(error.value)
    assert "s.yaml:" in str(error.value)


@pytest.mark.parametrize("override", ["epochs=3", "train.epochs=3", " epochs = 3", "lambda_cat=1"])
def test_a_flag_takes_a_searched_hyperparameter_out_of_the_space(
    tmp_path: Path, override: str
) -> None:
    said: list[str] = []
    path = tmp_path / "s.yaml"
    path.write_text(SMALL_STUDY)
    file = load_study(path, [override], said.append)
    name = "lambda_cat" if "cat" in override else "epochs"
    whole = load_study(path)
    assert set(file.space) == set(whole.space) - {name}
    assert getattr(file.model if name == "lambda_cat" else file.train, name) in (3, 1.0)
    assert file.hash("f") != whole.hash("f")
    (note,) = said
    assert f"fixes {name}, which the file searches: 3 hyperparameters are still searched" in note


def test_a_flag_with_steps_takes_the_epochs_out_of_the_space(tmp_path: Path) -> None:
    file = load(tmp_path, SMALL_STUDY, "steps=40")
    assert "epochs" not in file.space
    assert file.train.steps == 40


def test_a_flag_that_leaves_nothing_to_search_is_refused(tmp_path: Path) -> None:
    text = SMALL_STUDY.partition("space:")[0] + "space: {epochs: {int: [2, 4]}}\n"
    with pytest.raises(InputError, match="--set epochs=3: nothing is left to search"):
        load(tmp_path, text, "epochs=3")


def test_an_error_about_a_flag_names_the_flag(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--set space.lr=\{log_uniform: \[1\]\}: space.lr"):
        load(tmp_path, SMALL_STUDY, "space.lr={log_uniform: [1]}")


def test_durations_and_none(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL_STUDY).execution.trial_timeout == 300
    assert load(tmp_path, SMALL_STUDY, "trial_timeout=none").execution.trial_timeout is None
    assert load(tmp_path, SMALL_STUDY, "trial_timeout=2h").execution.trial_timeout == 7200
    assert load(tmp_path, SMALL_STUDY, "pruning=none").pruning is None


@pytest.mark.parametrize(
    "override",
    [
        "study.trials=99",
        "study.name=other",
        "retries=9",
        "trial_timeout=1h",
        "gpu=1",
        "keep_checkpoints=0",
    ],
)
def test_what_changes_no_result_does_not_change_the_hash(tmp_path: Path, override: str) -> None:
    assert load(tmp_path, SMALL_STUDY, override).hash("f") == load(tmp_path, SMALL_STUDY).hash("f")


@pytest.mark.parametrize(
    "override",
    [
        "study.seed=8",
        "metric=auc",
        "window=5",
        "space_filling=5",
        "pruning=none",
        "threads=2",
        "precision=bf16",
        "deterministic=false",
        "d_model=32",
        "weight_decay=0",
        "data.val_fraction=0.2",
        "space.lr={log_uniform: [1e-5, 1e-2]}",
    ],
)
def test_what_changes_a_result_changes_the_hash(tmp_path: Path, override: str) -> None:
    assert load(tmp_path, SMALL_STUDY, override).hash("f") != load(tmp_path, SMALL_STUDY).hash("f")


def test_other_data_change_the_hash_and_another_folder_does_not(tmp_path: Path) -> None:
    study = load(tmp_path, SMALL_STUDY)
    assert study.hash("f") != study.hash("g")
    text = SMALL_STUDY.replace(
        "{synthetic: ucf-like}",
        "{annotations: A/gt.txt, text: "
        "{layout: csv, root: A, train_list: a.csv, test_list: b.csv}}",
    )
    here, there = load(tmp_path, text), load(tmp_path, text.replace("A", "/elsewhere"))
    assert here.hash("f") == there.hash("f")


def test_a_trial_gets_the_fixed_knobs_and_its_own(tmp_path: Path) -> None:
    study = load(tmp_path, SMALL_STUDY)
    config = study.trial_config({"d_proj": 8, "lr": 0.5, "epochs": 3, "lambda_cat": 1.0})
    assert (config.model.d_proj, config.model.d_model) == (8, 16)
    assert (config.train.lr, config.train.batch_size) == (0.5, 16)


@pytest.mark.parametrize("override", ["trial_timeout=none", "pruning=none", "mil_top_k=2"])
def test_the_resolved_file_can_be_run_and_is_the_same_study(tmp_path: Path, override: str) -> None:
    study = load(tmp_path, SMALL_STUDY, override)
    again = load(tmp_path, study.to_yaml())
    assert again.hash("f") == study.hash("f")
    assert again.execution == study.execution


@pytest.mark.parametrize(
    "name", [p.name for p in sorted((REPOSITORY / "search_spaces").glob("*.yaml"))]
)
def test_every_study_file_we_ship_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("REFINEVAD_DATA", "XD_ROOT", "UCF_ROOT"):
        monkeypatch.setenv(variable, "/somewhere")
    study = load_study(REPOSITORY / "search_spaces" / name)
    assert study.study.name == name.removesuffix(".yaml")
    if name.startswith("paper_"):
        assert set(study.variants) == {"default", "as_written"}
        return
    assert set(study.space) == {
        "d_proj",
        "d_emb",
        "lambda_cat",
        "lambda_gmm",
        "lambda_reg",
        "lr",
        "epochs",
    }
    assert study.search.window >= 8
