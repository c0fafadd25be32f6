"""What a dry run finds of a study that has begun; the command itself is run in test_run.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from study.config.study_file import StudyFile
from study.progress.forecast import Forecaster
from study.search.proposal import first_proposals
from study.session.advice import over_the_limit, unreachable
from study.session.dry_run import _begun, _unlike
from tests.study.test_driver import Bench
from tests.support.workspace import SMALL_STUDY


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A study of which three trials have ended."""
    bench = Bench(tmp_path / "study")
    for _ in range(3):
        bench.end(bench.take())
    bench.ledger.close()
    return bench


def test_the_ended_trials_of_a_study_are_what_the_forecast_learns_from(bench: Bench) -> None:
    records, state = _begun(bench.ledger.folder, bench.file)
    assert [record.number for record in records] == [0, 1, 2]
    assert state == "has this study: a run would resume it"


def test_trials_of_other_settings_teach_nothing(bench: Bench, tmp_path: Path) -> None:
    text = SMALL_STUDY.replace("d_proj: {choice: [4, 8]}", "d_emb: {choice: [4, 8]}")
    other = Bench(tmp_path / "other", text)
    assert _begun(bench.ledger.folder, other.file) == (
        [],
        "has a study with other settings: a run would list them and refuse to start",
    )


def test_a_folder_without_a_study_is_none(bench: Bench, tmp_path: Path) -> None:
    assert _begun(tmp_path / "none", bench.file) == ([], "does not exist yet")
    (tmp_path / "empty").mkdir()
    assert _begun(tmp_path / "empty", bench.file) == ([], "exists, but has no study yet")


def test_what_is_measured_goes_from_the_largest_to_the_smallest_model(bench: Bench) -> None:
    known = first_proposals(bench.file, 4)
    forecaster = Forecaster(bench.file, known)
    picked = _unlike(forecaster, known)
    assert picked[0] == known[0]
    assert sorted(map(str, picked)) == sorted(map(str, known))
    sizes = [forecaster.size(params) for params in picked[1:]]
    assert sizes == sorted(sizes, reverse=True)
    assert _unlike(forecaster, known[:1]) == known[:1]


def study(*overrides: str) -> StudyFile:
    values = yaml.safe_load(SMALL_STUDY)
    for override in overrides:
        section, key, value = override.replace("=", ".").split(".")
        values[section][key] = int(value)
    return StudyFile.model_validate(values)


def test_what_the_settings_rule_out_is_said() -> None:
    # 10 trials, 4 of them space-filling; pruning after 3 results, a window of 4
    assert unreachable(study()) == []
    (none,) = unreachable(study("search.space_filling=10"))
    assert none.startswith("all 10 trials are space-filling (search.space_filling: 10), so tpe")
    assert unreachable(study("search.space_filling=9")) == []


@pytest.mark.parametrize(("window", "pruned"), [(7, True), (8, False)])
def test_the_first_trial_that_can_be_pruned_is_the_first_with_a_curve(
    tmp_path: Path, window: int, pruned: bool
) -> None:
    text = SMALL_STUDY.replace("window: 4", f"window: {window}")
    bench = Bench(tmp_path / "study", text)
    curves = []
    for _ in range(bench.file.study.trials):
        spec = bench.take()
        curves.append(spec.stopping_curve)
        bench.end(spec)
    bench.ledger.close()
    assert any(curve is not None for curve in curves) == pruned
    assert any("pruned" in text for text in unreachable(bench.file)) != pruned


def test_a_warm_up_as_long_as_the_trials_prunes_nothing() -> None:
    (said,) = unreachable(study("pruning.warmup_epochs=3"))
    assert (
        said == "no trial can be pruned: the longest has 4 epochs, and pruning.warmup_epochs is 3"
    )
    assert unreachable(study("pruning.warmup_epochs=2")) == []


def test_trials_that_would_take_longer_than_allowed_are_counted(bench: Bench) -> None:
    file = bench.file
    known = first_proposals(file, 4)
    forecaster = Forecaster(file, known)
    assert over_the_limit(file, forecaster, known) is None  # nothing is known yet
    for params in known:
        forecaster.learn(params, epochs=file.epochs_of(params), seconds=400.0)
    text = over_the_limit(file, forecaster, known)  # 5 minutes
    assert text is not None
    assert text.startswith("execution.trial_timeout is 5 min, and ")
