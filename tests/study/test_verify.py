"""`study.verify`: an honest study is verified; whatever a person changes in one is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinevad.errors import InputError
from study import verify
from study.ledger.journal import JOURNAL
from study.ledger.reader import LedgerReader
from study.ledger.records import best
from study.ledger.study import read, recorded_file
from study.trials.spec import TrialSpec
from study.verification.digest import check_digest
from study.verification.ledger import check_ledger
from study.verification.results import check_results
from study.verification.search import check_search
from tests.study.test_driver import Bench
from tests.support.workspace import REPOSITORY, SMALL_STUDY, Workspace, digest_of

STUDY = """
study: {name: small, trials: 6, seed: 7}
objective: {metric: ap, split: val}
search: {space_filling: 2, window: 2}
pruning: {percentile: 80, warmup_epochs: 1, after_trials: 2}
execution: {threads: 1, retries: 1, trial_timeout: 5m, precision: fp32, keep_checkpoints: 2}
data: {synthetic: ucf-like}
model: {d_model: 16, encoder_feedforward: 32, encoder_heads: 2, injection_heads: 2}
train: {batch_size: 16, schedule: constant, warmup_epochs: 0}
space:
  d_proj: {choice: [4, 8]}
  lr: {log_uniform: [1.0e-5, 1.0e-1]}
  epochs: {int: [3, 4]}
"""

PACKAGES = ("torch", "numpy", "scipy", "ray", "optuna", "mlflow")
Line = dict[str, Any]


@dataclass
class Copy:
    """A copy of a study that a person may write into."""

    folder: Path
    stores: Path
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = [json.loads(line) for line in self.journal.read_text().splitlines()]

    @property
    def journal(self) -> Path:
        return self.folder / JOURNAL

    def save(self) -> None:
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self.lines)
        self.journal.write_text(text)

    def asked(self, number: int) -> Line:
        return [line for line in self.lines if line["op_code"] == 4][number]

    def about(self, number: int) -> list[Line]:
        """The lines of a trial after it was asked: result, epochs, end."""
        return [line for line in self.lines if line.get("trial_id") == number]

    def result(self, number: int) -> Line:
        found: Line = next(
            line["user_attr"]["result"]
            for line in self.about(number)
            if "result" in line.get("user_attr", ())
        )
        return found

    def end(self, number: int) -> Line:
        return next(line for line in self.about(number) if line["op_code"] == 6)

    def meta(self) -> Line:
        found: Line = next(
            line["user_attr"]["meta"] for line in self.lines if "meta" in line.get("user_attr", ())
        )
        return found

    def remove(self, number: int) -> None:
        """Takes a trial out with all its lines; later ones move up."""
        gone = [id(self.asked(number)), *map(id, self.about(number))]
        self.lines = [line for line in self.lines if id(line) not in gone]
        for line in self.lines:
            if line.get("trial_id", -1) > number:
                line["trial_id"] -= 1

    def unseal(self) -> None:
        """Takes away what would tell of a change in any byte."""
        self.lines = [line for line in self.lines if "seal" not in line.get("user_attr", ())]
        (self.folder / "trials.csv").unlink(missing_ok=True)

    def verify(self, *arguments: str) -> int:
        command = ["--study", str(self.folder), "--stores", str(self.stores)]
        return verify.main([*command, "--sample", "0", *arguments])

    def differing(self) -> set[str]:
        """Checks that find a difference, without the data and without training."""
        snapshot, meta, records = read(self.folder)
        file = recorded_file(meta, self.folder)
        checks = (
            check_ledger(snapshot, meta, file, records),
            check_search(file, records, lambda done: None),
            check_results(file, records),
            check_digest(snapshot, records, given=None, table=None),
        )
        return {check.name for check in checks if check.differences}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, stores: Path) -> Path:
    """A study that has run, undisturbed; its digest is in the file of that name."""
    workspace = Workspace(tmp_path_factory.mktemp("ran"), stores, here=True)
    workspace.space.write_text(STUDY)
    (workspace.study.parent / "digest").parent.mkdir()
    (workspace.study.parent / "digest").write_text(digest_of(workspace.run("--workers", "1")))
    return workspace.study


@pytest.fixture
def copy(ran: Path, stores: Path, tmp_path: Path) -> Copy:
    shutil.copytree(ran, tmp_path / "runs" / "small")
    return Copy(tmp_path / "runs" / "small", stores)


@pytest.fixture
def own_stores(copy: Copy, tmp_path: Path) -> Path:
    """The copy's own store and what it was packed from, to be spoiled."""
    own = tmp_path / "stores"
    for header in copy.stores.glob("*/header.json"):
        if json.loads(header.read_text())["fingerprint"] == copy.meta()["fingerprint"]:
            shutil.copytree(header.parent, own / header.parent.name)
    shutil.copytree(copy.stores / "synthetic", own / "synthetic")
    copy.stores = own
    return own


def printed_digest(ran: Path) -> str:
    return (ran.parent / "digest").read_text()


def test_an_honest_study_is_verified_to_the_last_bit(
    copy: Copy, ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in copy.folder.iterdir() if path.is_file()}
    assert copy.verify("--sample", "6", "--digest", printed_digest(ran).upper()) == 0
    said = capsys.readouterr().out
    assert "verified: all checks passed, no differences" in said
    assert "6 trials retrained" in said
    assert "3 stopping curves" in said
    assert "equal to --digest" in said
    assert "; trials.csv" in said
    # it has written nothing
    after = {path.name: path.read_bytes() for path in copy.folder.iterdir() if path.is_file()}
    assert after == before


def test_the_study_in_question_has_all_that_the_tests_change(copy: Copy) -> None:
    records = LedgerReader(copy.folder).trials()
    assert {r.state for r in records} == {"COMPLETE", "PRUNED"}
    assert sum(r.stopping_curve is not None for r in records) == 3


def change_a_parameter(copy: Copy) -> None:
    params = copy.asked(3)["params"]
    params["lr"] = float(np.nextafter(params["lr"], 1))


def change_a_choice(copy: Copy) -> None:
    params = copy.asked(0)["params"]
    params["d_proj"] = 1 - params["d_proj"]


def leave_the_space(copy: Copy) -> None:
    copy.asked(2)["params"]["lr"] = 5.0


def change_the_result(copy: Copy) -> None:
    copy.result(4)["objective"] += 0.01


def change_what_is_shown(copy: Copy) -> None:
    copy.end(4)["values"] = [0.999]


def change_an_epoch_shown(copy: Copy) -> None:
    step = next(line for line in copy.about(1) if line["op_code"] == 7)
    step["intermediate_value"] += 1e-9


def change_result_and_shown(copy: Copy) -> None:
    copy.result(4)["objective"] = 0.999
    copy.end(4)["values"] = [0.999]


def change_the_state(copy: Copy) -> None:
    pruned = next(n for n in range(6) if copy.result(n)["state"] == "PRUNED")
    copy.result(pruned)["state"] = "COMPLETE"
    copy.end(pruned)["state"] = 1


def change_a_curve(copy: Copy) -> None:
    row = copy.result(2)["curve"][0]
    row["objective"] = float(np.nextafter(row["objective"], 1))


def cut_a_curve(copy: Copy) -> None:
    copy.result(0)["curve"].pop()


def empty_a_curve(copy: Copy) -> None:
    copy.result(0)["curve"] = []


def renumber_an_epoch(copy: Copy) -> None:
    copy.result(0)["curve"][-1]["epoch"] += 1


def fail_a_trial_that_has_an_objective(copy: Copy) -> None:
    copy.result(1)["state"] = "FAILED"
    copy.end(1)["state"] = 3


def fail_a_trial_that_diverged(copy: Copy) -> None:
    fail_a_trial_that_has_an_objective(copy)
    copy.result(1).update(objective=None, diverged=True)
    copy.end(1)["values"] = None


def change_a_final_metric(copy: Copy) -> None:
    copy.result(2)["metrics"]["last/train/loss"] += 1e-9


def change_the_selected_epoch(copy: Copy) -> None:
    copy.result(3)["selected_epoch"] = 3 - copy.result(3)["selected_epoch"]


def call_it_diverged(copy: Copy) -> None:
    copy.result(1)["diverged"] = True


def change_a_seed(copy: Copy) -> None:
    copy.asked(5)["user_attrs"]["seed"] += 1


def change_a_stopping_curve(copy: Copy) -> None:
    copy.asked(4)["user_attrs"]["stopping_curve"][1] -= 1e-6


def change_what_is_plotted(copy: Copy) -> None:
    line = next(x for x in copy.about(0) if "selected/test/auc" in x.get("user_attr", ()))
    line["user_attr"]["selected/test/auc"] += 0.1


def take_away_what_is_plotted(copy: Copy) -> None:
    line = next(x for x in copy.about(0) if "selected/test/auc" in x.get("user_attr", ()))
    copy.lines.remove(line)


def rename_the_objective(copy: Copy) -> None:
    line = next(x for x in copy.lines if x["op_code"] == 3)
    line["system_attr"]["study:metric_names"] = ["auc on test"]


def take_a_stopping_curve_away(copy: Copy) -> None:
    copy.asked(4)["user_attrs"]["stopping_curve"] = None


def remove_the_middle(copy: Copy) -> None:
    copy.remove(2)


def remove_a_result(copy: Copy) -> None:
    gone = list(map(id, copy.about(2)))
    copy.lines = [line for line in copy.lines if id(line) not in gone]


def remove_an_asking(copy: Copy) -> None:
    copy.lines.remove(copy.asked(5))


def add_a_trial(copy: Copy) -> None:
    copy.lines += [copy.asked(0), *(line | {"trial_id": 6} for line in copy.about(0))]


def add_a_planned_trial(copy: Copy) -> None:
    trials = next(line for line in copy.lines if "trials" in line.get("user_attr", ()))
    trials["user_attr"]["trials"] = 7
    add_a_trial(copy)


def double_a_result(copy: Copy) -> None:
    line = next(line for line in copy.about(1) if line["op_code"] == 8)
    copy.lines.insert(copy.lines.index(line), line)


def double_an_end(copy: Copy) -> None:
    copy.lines.append(copy.end(1))


def change_a_result_at_the_end(copy: Copy) -> None:
    line = next(line for line in copy.about(1) if line["op_code"] == 8)
    better = json.loads(json.dumps(line))
    better["user_attr"]["result"]["objective"] = 0.999
    copy.lines.append(better)


def change_the_space(copy: Copy) -> None:
    copy.meta()["config"]["space"]["lr"]["log_uniform"] = [1e-5, 1e-2]


def change_the_space_in_every_place(copy: Copy) -> None:
    for part in ("config", "determinants"):
        copy.meta()[part]["space"]["lr"]["log_uniform"] = [1e-5, 0.2]
    rehash(copy)
    rewrite_space(copy, "lr", {"high": 0.2})


def rewrite_space(copy: Copy, name: str, changes: Line) -> None:
    """In the lines of the trials, too."""
    for number in range(6):
        written = json.loads(copy.asked(number)["distributions"][name])
        written["attributes"] |= changes
        copy.asked(number)["distributions"][name] = json.dumps(written)


def change_the_space_beside_the_trials(copy: Copy) -> None:
    rewrite_space(copy, "lr", {"high": 0.2})


def change_the_name(copy: Copy) -> None:
    copy.meta()["name"] = "other"


def change_the_seed_of_the_study(copy: Copy) -> None:
    for part in ("config", "determinants"):
        copy.meta()[part]["study"]["seed"] = 8
    rehash(copy)


def change_the_threads(copy: Copy) -> None:
    copy.result(0)["worker"]["threads"] = "2"


def change_what_is_fixed(copy: Copy) -> None:
    copy.meta()["config"]["train"]["batch_size"] = 8


def rehash(copy: Copy) -> None:
    copy.save()
    meta = LedgerReader(copy.folder).meta
    copy.meta()["hash"] = recorded_file(meta, copy.folder).hash(meta.fingerprint)


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_a_parameter, "trial 3, lr: the ledger says 0."),
        (change_a_choice, "trial 0, d_proj: the ledger says"),
        (leave_the_space, "trial 2, lr: the ledger says 5.0, it should say 0.0"),
        (change_the_result, "trial 4, objective: the ledger says"),
        (change_what_is_shown, "trial 4, objective shown to optuna-dashboard: the ledger says"),
        (change_an_epoch_shown, "trial 1, objective shown at epoch 1"),
        (change_result_and_shown, "trial 4, objective: the ledger says 0.999"),
        (change_the_state, "state: the ledger says COMPLETE, it should say PRUNED"),
        (change_a_curve, "trial 2, objective at epoch 1"),
        (cut_a_curve, "trial 0, epochs run"),
        (empty_a_curve, "trial 0, epochs run: the ledger says 0, it should say 1"),
        (renumber_an_epoch, "trial 0, epochs: the ledger says [1, "),
        (fail_a_trial_that_has_an_objective, "trial 1, FAILED, objective: the ledger says 0."),
        (fail_a_trial_that_diverged, "trial 1, FAILED, diverged: the ledger says True"),
        (change_a_final_metric, "trial 2, last/train/loss: the ledger says"),
        (change_the_selected_epoch, "trial 3, selected epoch"),
        (call_it_diverged, "trial 1, objective: the ledger says"),
        (change_a_seed, "trial 5, seed: the ledger says"),
        (change_a_stopping_curve, "trial 4, stopping curve at epoch 2"),
        (change_what_is_plotted, "trial 0, shown selected/test/auc: the ledger says"),
        (take_away_what_is_plotted, "trial 0, shown selected/test/auc: the ledger says nothing"),
        (rename_the_objective, "name of the objective: the ledger says ['auc on test']"),
        (take_a_stopping_curve_away, "trial 4, stopping curve: the ledger says nothing"),
        (remove_the_middle, "trial 2, seed: the ledger says"),
        (
            remove_a_result,
            "trial 4: the ledger says it was proposed, it should say not before trial 2",
        ),
        (remove_an_asking, "is about trial 5, which was not proposed before"),
        (add_a_trial, "trials proposed: the ledger says 7, it should say 6 at most"),
        (add_a_planned_trial, "trial 6, seed: the ledger says"),
        (double_a_result, "trial 1, lines with a result: the ledger says 2, it should say 1"),
        (double_an_end, "trial 1, lines that close it: the ledger says 2, it should say 1"),
        (change_a_result_at_the_end, "trial 1, lines with a result: the ledger says 2"),
        (change_the_space, "space.lr.log_uniform: the ledger says [1e-05, 0.1], it should"),
        (change_the_space_in_every_place, "trial 0, lr: the ledger says"),
        (change_the_space_beside_the_trials, "trial 0, space of lr: the ledger says FloatDistr"),
        (change_the_name, "name of the study: the ledger says small, it should say other"),
        (change_the_seed_of_the_study, "trial 0, seed: the ledger says"),
        (change_the_threads, "trial 0, threads: the ledger says 2, it should say 1"),
        (change_what_is_fixed, "settings that determine the results, train.batch_size"),
    ],
)
def test_what_is_changed_is_named(
    copy: Copy,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Copy], None],
    named: str,
    sealed: bool,
) -> None:
    change(copy)
    if not sealed:  # it must be found by what it is, not only because a byte has changed
        copy.unseal()
    copy.save()
    assert copy.verify() == 1
    said = capsys.readouterr().out
    assert named in said
    assert "NOT verified" in said


def relabel_a_choice(copy: Copy) -> None:
    """The ledger holds a choice by its place, so that the search is as it was."""
    for part in ("config", "determinants"):
        copy.meta()[part]["space"]["d_proj"]["choice"] = [16, 32]
    rehash(copy)
    rewrite_space(copy, "d_proj", {"choices": [16, 32]})


def make_the_best_trial_better_in_every_place(copy: Copy) -> None:
    copy.save()
    number = winner(copy)
    result = copy.result(number)
    epoch = result["selected_epoch"]
    result["objective"] = result["metrics"]["selected/val/ap"] = 0.9999
    result["curve"][epoch - 1] |= {"objective": 0.9999, "val/ap": 0.9999}
    if epoch == len(result["curve"]):
        result["last_objective"] = result["metrics"]["last/val/ap"] = 0.9999
    copy.end(number)["values"] = [0.9999]
    step = next(x for x in copy.about(number) if x["op_code"] == 7 and x["step"] == epoch)
    step["intermediate_value"] = 0.9999


def winner(copy: Copy) -> int:
    found = best(LedgerReader(copy.folder).trials())
    assert found is not None
    return found.number


def make_a_test_metric_better(copy: Copy) -> None:
    copy.result(winner(copy))["metrics"]["selected/test/auc"] += 1e-12


def make_a_loss_smaller(copy: Copy) -> None:
    result = copy.result(winner(copy))
    rows = [result["curve"][0]]
    which = {"selected": result["selected_epoch"], "last": len(result["curve"])}
    for name in [name for name, epoch in which.items() if epoch == 1]:
        result["metrics"][f"{name}/train/loss"] -= 1e-9
    rows[0]["train/loss"] -= 1e-9


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (relabel_a_choice, "retrained, objective: the ledger says"),
        (make_the_best_trial_better_in_every_place, "objective: the ledger says 0.9999"),
        (make_a_test_metric_better, "retrained, selected/test/auc: the ledger says"),
        (make_a_loss_smaller, "retrained, epoch 1, train/loss: the ledger says"),
    ],
)
def test_what_only_training_can_tell_is_told_by_training_the_best_trial_again(
    copy: Copy, capsys: pytest.CaptureFixture[str], change: Callable[[Copy], None], named: str
) -> None:
    copy.unseal()
    change(copy)
    copy.save()
    assert copy.verify("--sample", "1") == 1
    said = capsys.readouterr().out
    assert named in said
    assert re.search(rf"trial {winner(copy)} \(.*\): DIFFERS", said)


def test_other_weights_in_the_checkpoint_of_the_best_trial_are_named(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy.folder / "checkpoints" / f"trial-{winner(copy):04d}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert copy.verify("--sample", "1") == 1
    assert f"its checkpoint: {path.name} says other weights" in capsys.readouterr().out
    path.write_bytes(content[:100])
    assert copy.verify("--sample", "1") == 1
    assert f"{path} cannot be read" in capsys.readouterr().out


def test_a_trial_that_cannot_be_trained_is_a_difference_not_an_error(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("config", "determinants"):
        copy.meta()[part]["space"]["d_proj"]["choice"] = [5, 7]  # two heads
    rehash(copy)
    rewrite_space(copy, "d_proj", {"choices": [5, 7]})
    copy.save()
    assert copy.verify("--sample", "1") == 1
    assert "cannot be trained here: ValidationError" in capsys.readouterr().out


def test_a_trial_of_another_kind_of_machine_may_differ_and_that_is_said(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.unseal()
    number = winner(copy)
    copy.result(number)["worker"]["processor"] = "Another (AVX9)"
    copy.save()
    assert copy.verify("--sample", "1") == 0  # the same bits: nothing to excuse
    assert "another kind" not in capsys.readouterr().out
    make_a_test_metric_better(copy)
    copy.save()
    assert copy.verify("--sample", "1") == 1
    said = capsys.readouterr().out
    assert f"note: trial {number} ran on another kind of machine" in said
    assert "Another (AVX9)" in said


def test_a_trial_of_a_gpu_is_skipped_where_there_is_none(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    copy.unseal()
    copy.result(winner(copy))["worker"]["device"] = "cuda"
    copy.save()
    assert copy.verify("--sample", "1") == 0
    said = capsys.readouterr().out
    assert "skipped: it ran on a GPU, and this machine has none" in said
    assert "0 trials retrained" in said


def test_other_versions_are_said_where_the_search_differs(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.meta()["versions"]["optuna"] = "4.0.0"
    change_a_parameter(copy)
    copy.save()
    assert copy.verify() == 1
    assert "this machine has other package versions than the study: optuna 4.0.0 ->" in (
        capsys.readouterr().out
    )


def test_a_removed_last_trial_is_missed_by_the_seal_by_the_table_and_by_the_digest_kept(
    copy: Copy, ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.remove(5)
    copy.save()
    assert copy.verify() == 1
    said = capsys.readouterr().out
    assert "digest of the trials ended before it: the ledger says" in said
    assert "trial 5 in trials.csv: the ledger says none ended, it should say a row there" in said
    copy.unseal()
    copy.save()
    assert copy.verify() == 0  # now it is a study that was interrupted
    assert "so far; 1 trials have not ended" in capsys.readouterr().out
    assert copy.verify("--digest", printed_digest(ran)) == 1
    assert f"it should say {printed_digest(ran)} (--digest)" in capsys.readouterr().out


def test_any_byte_before_a_seal_is_sealed(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    copy.result(3)["worker"]["host"] = "elsewhere"  # nothing else can tell
    copy.save()
    assert copy.verify() == 1
    assert "the content before it, sha256" in capsys.readouterr().out


def test_a_changed_cell_of_the_table_is_named(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    table = copy.folder / "trials.csv"
    table.write_text(table.read_text().replace("PRUNED", "COMPLETE", 1))
    assert copy.verify() == 1
    assert "state in trials.csv: the ledger says PRUNED, it should say COMPLETE" in (
        capsys.readouterr().out
    )


def test_columns_that_the_table_should_not_have_are_named(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    table = copy.folder / "trials.csv"
    table.write_text(table.read_text().replace("objective", "score", 1))
    assert copy.verify() == 1
    assert "trials.csv: the ledger says other columns" in capsys.readouterr().out


def test_what_no_check_without_training_and_seal_can_tell(copy: Copy) -> None:
    """Every number and word of the ledger, changed one at a time: the list is what the docs say."""
    copy.unseal()
    copy.save()
    original = copy.journal.read_text()
    silent = set()
    for name, change in leaves(copy.lines):
        copy.lines = [json.loads(line) for line in original.splitlines()]
        change(copy.lines)
        copy.save()
        try:
            found = copy.differing()
        except InputError:
            found = {"unreadable"}
        if not found:
            silent.add(name)
    computed = ("8.user_attr.result.curve[].", "8.user_attr.result.metrics.")
    assert {name for name in silent if not name.startswith(computed)} == NOT_CHECKED
    # of what training computes, the objective and what repeats it need no training
    assert not {name for name in silent if name.endswith(("objective", "val/ap", "epoch"))}


NOT_CHECKED = {
    # what the study began with, beside what determines its results
    *(f"2.user_attr.meta.{name}" for name in ("created", "git_commit", "uid", "trials")),
    *(f"2.user_attr.meta.versions.{name}" for name in ("python", "refinevad", *PACKAGES)),
    "2.user_attr.trials",
    "2.user_attr.meta.config.study.trials",
    *(
        f"2.user_attr.meta.config.execution.{name}"
        for name in ("keep_checkpoints", "retries", "trial_timeout")
    ),
    # when and where a trial ran, and why it failed
    *(f"8.user_attr.result.{name}" for name in ("started", "finished", "reason")),
    *(
        f"8.user_attr.result.worker.{name}"
        for name in ("device", "host", "pid", "processor", "torch")
    ),
    # nobody reads these
    *(f"{operation}.worker_id" for operation in (0, 2, 3, 4, 6, 7, 8)),
    "3.study_id",  # of the objective's name in optuna-dashboard
    "4.value",
    "4.values",
}


def leaves(lines: list[Line]) -> Iterator[tuple[str, Callable[[list[Line]], None]]]:
    """(name, a function that changes it) of one leaf of every kind."""
    seen = set()

    def walk(value: Any, path: tuple[Any, ...], name: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*path, key), f"{name}.{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, (*path, index), f"{name}[]")
        else:
            yield name, path

    for index, line in enumerate(lines):
        for name, path in walk(line, (index,), str(line["op_code"])):
            if name not in seen:
                seen.add(name)

                def change(changed: list[Line], path: tuple[Any, ...] = path) -> None:
                    place: Any = changed
                    for key in path[:-1]:
                        place = place[key]
                    place[path[-1]] = other(place[path[-1]])

                yield name, change


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return float(np.nextafter(value, 10))
    return "other" if value is None else value + "x"


def test_data_whose_bytes_have_changed_are_named(
    copy: Copy, own_stores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array = next(own_stores.glob("*/train_features.npy"))
    with array.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    assert copy.verify("--sample", "1") == 1
    said = capsys.readouterr().out
    assert "train_features.npy has changed since it was packed" in said
    assert "no trial was retrained (these are not the study's data)" in said


def test_another_fingerprint_is_named(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    copy.meta()["fingerprint"] = "0" * 64
    copy.save()
    assert copy.verify("--sample", "1") == 1
    said = capsys.readouterr().out
    assert f"fingerprint of the data: the ledger says {'0' * 64}, it should say " in said
    assert "study hash: the ledger says" in said


def test_the_packed_data_are_found_wherever_they_lie(copy: Copy, own_stores: Path) -> None:
    header = next(own_stores.glob("*/header.json"))
    header.parent.rename(own_stores / "moved")
    shutil.rmtree(own_stores / "synthetic")  # it is not packed again
    assert copy.verify() == 0
    assert [p.name for p in own_stores.iterdir() if p.is_dir()] == ["moved"]


def test_a_strangers_ledger_cannot_steer_the_terminal(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.meta()["metric"] = "ap\x1b[2J[bold]"
    copy.save()
    assert copy.verify() == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "says ap\\x1b[2J[bold], it should say ap" in said


def test_ten_differences_are_listed_and_the_rest_counted(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        for line in copy.about(number):
            if line["op_code"] == 7:
                line["intermediate_value"] = 2.0
    copy.save()
    assert copy.verify() == 1
    said = capsys.readouterr().out
    assert said.count("objective shown at epoch") == 10
    steps = sum(line["op_code"] == 7 for line in copy.lines)
    assert f"… and {steps - 10} more" in said


def test_one_changed_trial_does_not_drown_the_rest(copy: Copy) -> None:
    """The search goes on from what the ledger says: only the changed parameter differs."""
    change_a_parameter(copy)
    copy.save()
    _, meta, records = read(copy.folder)
    check = check_search(recorded_file(meta, copy.folder), records, lambda done: None)
    assert [difference.what for difference in check.differences] == ["trial 3, lr"]


def test_a_ledger_from_before_seals_is_said_to_have_none(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.unseal()
    copy.save()
    assert copy.verify() == 0
    said = capsys.readouterr().out
    assert "not sealed by any session" in said
    assert "there is no trials.csv beside the ledger" in said


@pytest.mark.slow
def test_through_all_its_sessions_a_study_is_verified(
    tmp_path: Path, stores: Path, ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path, stores, here=True)
    workspace.space.write_text(STUDY)

    def verified(*arguments: str) -> str:
        command = ["--study", str(workspace.study), "--stores", str(stores), "--sample", "0"]
        assert verify.main([*command, *arguments]) == 0, capsys.readouterr().out
        return capsys.readouterr().out

    driver = workspace.start("--workers", "1", "--trials", "4")
    wait_for_results(workspace, 1)
    assert "so far" in verified()  # while it runs
    os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=60)
    said = verified()
    assert "so far" in said
    assert "sealed at the end of 1 session" in said

    short = digest_of(workspace.run("--workers", "1", "--trials", "4"))
    assert "verified: all checks passed, no differences\n" in verified("--digest", short)
    driver = workspace.start("--workers", "1")
    wait_for_results(workspace, 5)
    driver.kill()
    driver.communicate(timeout=60)
    assert "have ended since" in verified()
    assert digest_of(workspace.run("--workers", "1")) == printed_digest(ran)
    said = verified("--digest", short, "--sample", "2")
    assert "verified: all checks passed, no differences\n" in said
    assert "--digest is that of 4 trials, sealed earlier" in said
    assert "2 trials retrained" in said
    assert "bit-identical, checkpoint included" in said


def wait_for_results(workspace: Workspace, count: int) -> None:
    for _ in range(1200):
        if workspace.results() >= count:
            return
        time.sleep(0.1)
    raise AssertionError("the study does not get on")


def test_trials_that_failed_or_ended_late_are_asked_again_the_same(tmp_path: Path) -> None:
    text = SMALL_STUDY.replace("trials: 10", "trials: 30").replace("retries: 1", "retries: 0")
    bench = Bench(tmp_path, text)
    running: list[TrialSpec] = []
    while not bench.driver.finished:
        while (spec := bench.driver.next_trial()) is not None:
            bench.driver.started(spec.number)
            running.append(spec)
        spec = running.pop()  # the last begun ends first
        if spec.number % 5 == 2:
            bench.driver.lost(spec.number, "its worker died")
        else:
            bench.end(spec)
    bench.ledger.close()
    snapshot, _, records = read(tmp_path)
    assert [r.state for r in records].count("FAILED") == 6
    assert check_search(bench.file, records, lambda done: None).differences == []
    assert snapshot.unexpected == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--study", "smal"), "no study here; did you mean `small`?"),
        (("--study", "small", "--digest", "abc"), "'abc' is not a digest (expected 64"),
        (("--study", "small", "--sample", "-1"), "'-1' is not a whole number from 0"),
        ((), "the following arguments are required: --study"),
    ],
)
def test_bad_input_is_named(copy: Copy, arguments: tuple[str, ...], words: str) -> None:
    assert words in refusal(copy, *arguments)


def test_data_that_are_nowhere_are_named(copy: Copy, tmp_path: Path) -> None:
    source = {"layout": "csv", "root": "/nowhere/features", "train_list": "a", "test_list": "b"}
    data = copy.meta()["config"]["data"]
    data |= {"synthetic": None, "taxonomy": "ucf", "visual": source, "annotations": "/nowhere/t"}
    copy.meta()["fingerprint"] = "0" * 64
    copy.save()
    said = refusal(copy, "--study", "small", "--stores", str(tmp_path / "none"))
    assert "/nowhere" in said


@pytest.mark.parametrize("number", [1, 4, 8])
def test_a_ledger_that_cannot_be_read_is_named(copy: Copy, number: int) -> None:
    lines = copy.journal.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number][:20] + b"\n"
    copy.journal.write_bytes(b"".join(lines))
    assert f"journal.log, line {number + 1}: the ledger is damaged here" in (
        refusal(copy, "--study", "small")
    )


@pytest.mark.parametrize("what", ["meta", "seed", "result", "config"])
def test_a_ledger_that_makes_no_sense_is_named(copy: Copy, what: str) -> None:
    if what == "meta":
        del copy.meta()["hash"]
    elif what == "seed":
        del copy.asked(1)["user_attrs"]["seed"]
    elif what == "result":
        copy.result(1)["objective"] = "high"
    else:
        copy.meta()["config"]["search"]["window"] = "wide"
    copy.save()
    said = refusal(copy, "--study", "small")
    assert "journal.log: " in said
    assert "restore the file from a backup" in said


def refusal(copy: Copy, *arguments: str) -> str:
    """What a refused command says."""
    run = subprocess.run(
        [sys.executable, "-m", "study.verify", *arguments],
        cwd=copy.folder.parents[1],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    _, error, message = run.stderr.partition("error: ")
    assert error
    return message
