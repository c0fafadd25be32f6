"""What a dry run finds of a study that has begun; the command itself is run in test_run.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.progress.forecast import Forecaster
from study.search.proposal import first_proposals
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
