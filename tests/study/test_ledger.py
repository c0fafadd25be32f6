"""The ledger: durable, exactly once, one writer, readable at any time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from refinevad.errors import InputError
from study.ledger.journal import JOURNAL
from study.ledger.reader import LedgerReader
from study.ledger.records import StudyMeta, TrialRecord, TrialResult, digest
from study.ledger.writer import Ledger

SPACE: dict[str, optuna.distributions.BaseDistribution] = {"lr": FloatDistribution(0.0, 1.0)}
META = StudyMeta(
    name="s",
    uid="u",
    hash="h",
    config={"study": {"seed": 1}},
    determinants={"study": {"seed": 1}, "space": {"lr": {"uniform": [0.0, 1.0]}}},
    fingerprint="f" * 64,
    metric="ap",
    split="val",
    created=0.0,
    git_commit=None,
    versions={},
    trials=3,
)


def result(objective: float = 0.5) -> TrialResult:
    curve = [{"epoch": 1, "objective": 0.25}, {"epoch": 2, "objective": objective}]
    return TrialResult(
        "COMPLETE",
        objective,
        selected_epoch=2,
        curve=curve,
        metrics={"selected/test/auc": 0.1 + 0.2},
        started=1.0,
        finished=2.5,
        worker={"host": "a"},
    )


def begin(ledger: Ledger, lr: float) -> TrialRecord:
    return ledger.begin({"lr": lr}, SPACE, seed=7, stopping_curve=[0.1, 0.2])


def a_study(folder: Path) -> Ledger:
    """Two ended trials, one failed, one running."""
    ledger = Ledger(folder, dataclasses.replace(META, trials=4))
    for number in range(4):
        begin(ledger, number / 8)
    ledger.finish(1, result(0.75))
    ledger.lost_attempt(0, "its worker died")
    ledger.finish(0, result())
    ledger.finish(2, TrialResult("FAILED", None, reason="no luck"))
    return ledger


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    ledger = a_study(tmp_path)
    written = ledger.trials()
    ledger.close()
    read = LedgerReader(tmp_path).trials()
    assert read == written
    assert [r.state for r in read] == ["COMPLETE", "COMPLETE", "FAILED", "RUNNING"]
    first = read[0]
    assert first.params == {"lr": 0.0}
    assert first.seed == 7
    assert first.stopping_curve == [0.1, 0.2]
    assert first.attempts == 1
    assert first.metrics == {"selected/test/auc": 0.30000000000000004}  # not one bit lost
    assert first.duration_s == 1.5
    assert first.key == "s/u/0"
    assert read[2].reason == "no luck"


def test_a_reader_sees_what_is_appended_beside_it(tmp_path: Path) -> None:
    with_one = Ledger(tmp_path, META)
    reader = LedgerReader(tmp_path)
    assert reader.trials() == []
    begin(with_one, 0.5)
    assert [r.state for r in reader.trials()] == ["RUNNING"]
    with_one.finish(0, result())
    assert [r.state for r in reader.trials()] == ["COMPLETE"]


def test_optuna_itself_opens_the_ledger(tmp_path: Path) -> None:
    a_study(tmp_path).close()
    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    study = optuna.load_study(study_name="s", storage=storage)
    assert study.best_trial.number == 1
    assert study.best_value == 0.75
    assert study.trials[0].intermediate_values == {1: 0.25, 2: 0.5}
    assert study.trials[2].state == optuna.trial.TrialState.FAIL


def test_a_second_result_for_a_trial_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, META)
    begin(ledger, 0.5)
    ledger.finish(0, result(0.5))
    assert ledger.finish(0, result(0.9)).objective == 0.5
    ledger.close()
    assert (tmp_path / JOURNAL).read_text().count('"result"') == 1


def test_cut_at_any_byte_of_the_last_write_nothing_ended_is_lost_and_the_end_is_the_same(
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole"
    ledger = Ledger(whole, META)
    begin(ledger, 0.25)
    ledger.finish(0, result(0.5))
    begin(ledger, 0.75)
    before = (whole / JOURNAL).stat().st_size
    ledger.finish(1, result(0.9))
    expected = digest(ledger.trials())
    ledger.close()
    content = (whole / JOURNAL).read_bytes()
    for length in range(before, len(content)):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / JOURNAL).write_bytes(content[:length])
        again = Ledger(folder, META)
        torn = content[:length][-1:] != b"\n"
        assert bool(again.recovered) == torn
        assert len(list(folder.glob("*.torn-*"))) == torn
        assert again.trials()[0].objective == 0.5
        # once the line with the result is whole, the trial has ended: it is not run again
        written = b'"result"' in content[before:length] and b"\n" in content[before:length]
        assert again.trials()[1].state == ("COMPLETE" if written else "RUNNING")
        again.finish(1, result(0.9))
        assert digest(again.trials()) == expected
        again.close()
        assert digest(LedgerReader(folder).trials()) == expected
        for line in (folder / JOURNAL).read_text().splitlines():
            json.loads(line)


def test_cut_at_any_byte_of_its_beginning_a_study_can_begin_again(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "whole", META)
    first.close()
    content = (tmp_path / "whole" / JOURNAL).read_bytes()
    for length in range(len(content)):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / JOURNAL).write_bytes(content[:length])
        again = Ledger(folder, META)
        assert begin(again, 0.5).number == 0
        again.close()
        assert LedgerReader(folder).meta.trials == 3


def test_damage_in_the_middle_is_named_not_repaired(tmp_path: Path) -> None:
    a_study(tmp_path).close()
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:20] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="damaged in the middle"):
        Ledger(tmp_path, META)
    assert path.read_bytes() == b"".join(lines)


def test_two_drivers_of_one_study_are_refused_even_across_processes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, META)
    with pytest.raises(InputError, match="is running this study"):
        Ledger(tmp_path, META)
    code = (
        "import sys; from pathlib import Path; from tests.study.test_ledger import META;"
        "from study.ledger.writer import Ledger; Ledger(Path(sys.argv[1]), META)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).parents[2]
    other = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert other.returncode != 0
    assert "is running this study" in other.stderr
    ledger.close()
    free = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert free.returncode == 0, free.stderr


def test_a_change_that_matters_is_refused_with_every_difference(tmp_path: Path) -> None:
    a_study(tmp_path).close()
    other = dataclasses.replace(
        META,
        determinants={"study": {"seed": 2}, "space": {"lr": {"uniform": [0.0, 2.0]}}},
        fingerprint="e" * 64,
        trials=4,
    )
    with pytest.raises(InputError) as refused:
        Ledger(tmp_path, other)
    message = str(refused.value)
    assert "study.seed: was 1, is 2" in message
    assert "space.lr.uniform: was [0.0, 1.0], is [0.0, 2.0]" in message
    assert "the data: fingerprint" in message


def test_more_trials_extend_and_fewer_than_asked_are_refused(tmp_path: Path) -> None:
    a_study(tmp_path).close()
    extended = Ledger(tmp_path, dataclasses.replace(META, trials=9))
    assert extended.meta.trials == 9
    assert extended.meta.uid == "u"
    extended.close()
    assert LedgerReader(tmp_path).meta.trials == 9
    with pytest.raises(InputError, match="4 trials were already proposed; give --trials 4 or more"):
        Ledger(tmp_path, dataclasses.replace(META, trials=3))


def test_reading_where_there_is_no_study_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no study here"):
        LedgerReader(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_the_digest_names_every_bit_and_the_order_of_writing_does_not_matter(
    tmp_path: Path,
) -> None:
    ledger = a_study(tmp_path)
    records = ledger.trials()
    ledger.close()
    name = digest(records)
    assert digest(reversed(records)) == name
    assert digest(records[:3]) == name  # a running trial has no part in it
    moved = dataclasses.replace(records[0], objective=0.5000000000000001)
    assert digest([moved, *records[1:]]) != name
    assert digest(records[1:]) != name
    other = dataclasses.replace(records[0], params={"lr": 5e-324})
    assert digest([other, *records[1:]]) != name


def test_a_seal_names_the_ended_trials_and_every_byte_before_it(tmp_path: Path) -> None:
    ledger = a_study(tmp_path)
    before = (tmp_path / JOURNAL).read_bytes()
    ledger.seal()
    ledger.seal()  # nothing ended since: one is enough
    lines = (tmp_path / JOURNAL).read_bytes()[len(before) :].splitlines()
    assert len(lines) == 1
    seal = json.loads(lines[0])["user_attr"]["seal"]
    assert seal["digest"] == digest(ledger.trials())
    assert seal["bytes"] == len(before)
    assert seal["sha256"] == hashlib.sha256(before).hexdigest()
    ledger.finish(3, result())
    ledger.seal()
    assert (tmp_path / JOURNAL).read_text().count('"seal"') == 2


def test_the_versions_of_a_later_session_are_written_down(tmp_path: Path) -> None:
    first = a_study(tmp_path)
    first.close()
    for versions in ({"optuna": "6"}, {"optuna": "6"}):
        Ledger(tmp_path, dataclasses.replace(META, trials=4, versions=versions)).close()
    assert (tmp_path / JOURNAL).read_text().count('"versions":{"optuna":"6"}') == 1
    assert LedgerReader(tmp_path).meta.versions == {}
