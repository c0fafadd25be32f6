"""A study that takes over the trials of another: which fit, that they are verified, and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import study
from refinevad.errors import InputError
from study.ledger.records import TrialRecord
from study.ledger.study import read_study
from study.search.proposal import pruning_of
from study.session.inherit import fitting
from study.verification.search import check_search
from study.verification.training import sample_trials
from tests.support.small_data import study_text


def content(root: Path, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(study_text(root))
    for key, value in changes.items():
        found[key] = value if key in ("space", "pruning") else found[key] | value
    return found


WIDE = {
    "d_proj": {"choice": [4, 8, 16]},
    "lambda_cat": {"log_uniform": [0.02, 4.0]},
    "lr": {"log_uniform": [1e-5, 1e-1]},
    "epochs": {"int": [2, 4]},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, stores: Path, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("inherit") / "runs"
    study.run_study(content(data, study={"trials": 6}), runs=folder, stores=stores, quiet=True)
    (folder / "data").symlink_to(data)
    return folder


def wide(root: Path, **changes: Any) -> dict[str, Any]:
    changes.setdefault("study", {})
    changes["study"] = {"name": "wide", "trials": 10} | changes["study"]
    changes["search"] = {"inherit": "small"} | changes.get("search", {})
    return content(root, space=WIDE, **changes)


def run(runs: Path, stores: Path, **changes: Any) -> study.StudyResults:
    root = (runs / "data").resolve()
    return study.run_study(wide(root, **changes), runs=runs, stores=stores, quiet=True)


def test_trials_that_fit_are_the_first_ones_and_the_same(runs: Path, stores: Path) -> None:
    found = run(runs, stores)
    old = read_study(runs / "small").records
    fits = [r for r in old if r.params["lambda_cat"] >= 0.02]
    assert fits
    ours = found.view.records
    for record, other in zip(ours, fits, strict=False):
        assert record.inherited == f"small/{other.number}"
        for field in ("params", "seed", "state", "objective", "curve", "metrics", "worker"):
            assert getattr(record, field) == getattr(other, field), field
    own = ours[len(fits) :]
    assert len(own) == 10 - len(fits)
    assert all(r.inherited is None and r.ended for r in own)
    assert found.view.file.search.evenly(10) == range(len(fits), len(fits) + 4)
    pruning = pruning_of(found.view.file)
    assert pruning is not None
    expected = pruning.curve(ours, len(fits), len(fits), own[0].params)
    assert own[0].stopping_curve == expected is not None, "all that was taken over is known"
    # verified as they are: re-proposed they are not, retrained they may be
    check = check_search(found.view.file, ours, lambda done: None)
    assert check.differences == []
    assert check.summary.startswith(f"{len(fits)} trials taken over; {len(own)} trials re-proposed")
    assert {r.number for r in sample_trials(ours, 10)} == set(range(10))


def test_the_best_ones_weights_come_along(runs: Path, stores: Path) -> None:
    found = run(runs, stores)
    winner = found.best
    assert winner is not None
    assert (found.view.folder / "checkpoints" / f"trial-{winner.number:04d}.safetensors").is_file()


def test_a_study_stopped_while_it_takes_over_ends_the_same(
    runs: Path, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(runs, stores).digest
    from study.ledger.writer import Ledger

    begin, left = Ledger.begin, [3]

    def dies(self: Ledger, *args: Any, **kwargs: Any) -> TrialRecord:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return begin(self, *args, **kwargs)

    monkeypatch.setattr(Ledger, "begin", dies)
    with pytest.raises(KeyboardInterrupt):
        run(runs, stores, study={"name": "cut"})
    monkeypatch.undo()
    assert len(read_study(runs / "cut").records) == 3
    assert run(runs, stores, study={"name": "cut"}).digest == expected


def test_a_study_goes_on_when_the_other_is_gone_or_has_grown(runs: Path, stores: Path) -> None:
    expected = run(runs, stores)
    hidden = runs / "small"
    hidden.rename(runs / "elsewhere")
    try:
        assert run(runs, stores).digest == expected.digest
    finally:
        (runs / "elsewhere").rename(hidden)


def test_what_is_said_to_be_taken_over_and_is_not_is_named(runs: Path, stores: Path) -> None:
    from dataclasses import replace

    view = run(runs, stores).view
    records = list(view.records)
    records[0] = replace(records[0], inherited=None)
    records[-1] = replace(records[-1], inherited="small/3")
    said = [str(d) for d in check_search(view.file, records, lambda done: None).differences]
    assert said[0] == "trial 0: the ledger says it ran here, it should say it was taken over"
    assert said[1].startswith("trial 9, taken over from: the ledger says small/3")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": {"inherit": "smal"}}, "no study here; did you mean `small`?"),
        ({"objective": {"metric": "auc"}}, "small differs in objective"),
        ({"study": {"seed": 8}}, "(data.split_seed: 7 gives its splits)"),
        ({"study": {"trials": 3}}, "which count; give more than"),
        ({"train": {"batch_size": 8}}, "none of the 6 trials of small fits this study"),
        ({"data": {"val_fraction": 0.3}}, "small differs in data"),
    ],
)
def test_studies_that_cannot_take_over(
    runs: Path, stores: Path, changes: dict[str, Any], words: str
) -> None:
    changes = {**changes, "study": {"name": "never"} | changes.get("study", {})}
    with pytest.raises(InputError) as error:
        run(runs, stores, **changes)
    assert words in str(error.value)
    assert not (runs / "never" / "journal.log").exists()


def test_pruned_trials_fit_only_where_pruning_is_the_same(runs: Path) -> None:
    view = read_study(runs / "small")
    file = view.file.model_copy(update={"pruning": None})
    states = [record.state for record, _ in fitting(file, view)]
    assert "PRUNED" not in states
    assert len(fitting(view.file, view)) == len(view.ended)


def test_what_a_study_takes_over_is_part_of_its_hash(runs: Path, stores: Path) -> None:
    view = run(runs, stores).view
    without = view.file.search.model_copy(update={"inherit": None})
    other = view.file.model_copy(update={"search": without})
    assert other.hash("f") != view.file.hash("f")
