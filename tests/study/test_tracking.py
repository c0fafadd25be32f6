"""The ledger in a real MLflow on SQLite: everything, exactly once, whatever happens."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from refinevad.errors import InputError
from study.ledger.reader import LedgerReader
from study.ledger.table import trials_table
from study.ledger.writer import Ledger
from study.tracking import Publisher, TrackingUnavailable, redact, tracking_address
from study.tracking.connection import connect, reaching
from tests.support.ledgers import CREATED, add, begin, made, meta, result


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's migrations take a second; they are run once."""
    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    connect(f"sqlite:///{file}")
    return file


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def shown(uri: str, name: str = "xd") -> tuple[Run, dict[int, Run]]:
    """The study's one run, and its trials' runs by trial number; fails if any is doubled."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parent.info.run_id}
    by_number = {int(run.data.tags["trial_number"]): run for run in children}
    assert len(by_number) == len(children), "a trial is doubled"
    return parent, by_number


def history(uri: str, run: Run, name: str) -> list[tuple[int, float, int]]:
    """(step, value, timestamp in ms) of a metric, by step."""
    values = MlflowClient(uri).get_metric_history(run.info.run_id, name)
    return sorted((m.step, m.value, m.timestamp) for m in values)


def test_a_trial_is_a_nested_run_with_the_values_of_the_ledger(tmp_path: Path, uri: str) -> None:
    made(tmp_path / "xd", 3)
    assert Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new() == 3
    _, children = shown(uri)
    run = children[2]
    assert run.info.run_name == "trial-0002"
    assert run.data.params == {"d_proj": "None", "lr": "0.001"}
    assert run.info.start_time == (CREATED + 20) * 1000
    assert run.info.end_time == (CREATED + 26) * 1000
    expected = {"objective": 0.02, "last_objective": 0.02, "selected_epoch": 3.0}
    expected |= {"selected/test/auc": 0.52, "train/loss": 1 / 3, "val/ap": 0.02}
    assert run.data.metrics == expected
    # three epochs in six seconds
    assert history(uri, run, "train/loss") == [
        (1, 1.0, (CREATED + 22) * 1000),
        (2, 0.5, (CREATED + 24) * 1000),
        (3, 1 / 3, (CREATED + 26) * 1000),
    ]
    tags = {
        "trial_key": "xd/0123456789abcdef/2",
        "trial_number": "2",
        "study_hash": "feedfacefeedface",
        "state": "COMPLETE",
        "diverged": "false",
        "seed": "1002",
        "attempts": "0",
        "git_commit": "abc1234",
        "worker.device": "cpu",
        "selection": "selected on val",
        "data": "synthetic (xd-like)",
    }
    assert tags.items() <= run.data.tags.items()


def test_the_study_is_a_run_with_its_file_as_parameters(tmp_path: Path, uri: str) -> None:
    made(tmp_path / "xd", 1)
    Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new()
    parent, _ = shown(uri)
    assert parent.info.run_name == "xd"
    assert parent.info.status == "RUNNING"
    assert parent.data.params == {
        "study.name": "xd",
        "study.seed": "42",
        "data.synthetic": "xd-like",
        "model.d_model": "64",
        "model.fusion.heads": "[2, 4]",
        "train.batch_size": "64",
        "space.lr": "log_uniform [1e-05, 0.1]",  # and no train.lr: it has no one value
    }
    tags = {"study_hash": "feedfacefeedface", "fingerprint": "c0ffee", "trials_planned": "10"}
    assert "Synthetic data" in parent.data.tags["mlflow.note.content"]
    tags |= {"versions": "optuna 5.0.0, torch 2.13.0", "selection": "selected on val"}
    assert tags.items() <= parent.data.tags.items()


def test_only_a_failed_trial_looks_failed(tmp_path: Path, uri: str) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd"))
    begin(ledger, 4)
    for number, state in enumerate(("COMPLETE", "PRUNED", "FAILED")):
        ledger.finish(number, result(number, state=state))
    Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new()
    _, children = shown(uri)
    assert {n: run.info.status for n, run in children.items()} == {
        0: "FINISHED",
        1: "FINISHED",
        2: "FAILED",
    }  # and trial 3, which runs, is not there
    assert children[2].data.tags["reason"] == "out of memory"


@pytest.mark.parametrize(
    ("started", "finished", "shown_times"),
    [
        (None, None, (0, 0)),  # it never started: the study's beginning
        (7.0, None, (7, 7)),
        (None, 7.0, (7, 7)),
        (7.0, 5.0, (7, 7)),  # the clock was set back
    ],
)
def test_a_failed_trial_without_times_is_shown_all_the_same(
    tmp_path: Path,
    uri: str,
    started: float | None,
    finished: float | None,
    shown_times: tuple[int, int],
) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd"))
    begin(ledger, 2)
    ledger.finish(0, result(0))
    failed = dataclasses.replace(
        result(1, state="FAILED"),
        started=None if started is None else CREATED + started,
        finished=None if finished is None else CREATED + finished,
    )
    ledger.finish(1, failed)
    publisher = Publisher(LedgerReader(tmp_path / "xd"), uri)
    publisher.publish_new()
    publisher.finish()
    parent, children = shown(uri)
    run = children[1]
    assert run.info.status == "FAILED"
    times = [(time - CREATED * 1000) / 1000 for time in (run.info.start_time, run.info.end_time)]
    assert times == list(shown_times)
    at = [time for _, _, time in history(uri, parent, "trials/failed")]
    assert len(at) == 2
    assert at == sorted(at), "the study's curve runs back in time"


def test_only_what_is_new_is_published(tmp_path: Path, uri: str) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd"))
    add(ledger, 2)
    publisher = Publisher(LedgerReader(tmp_path / "xd"), uri)
    assert publisher.publish_new() == 2
    add(ledger, 1)
    assert publisher.publish_new() == 1
    assert publisher.publish_new() == 0
    assert Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new() == 0  # a new process
    assert len(shown(uri)[1]) == 3


@pytest.mark.parametrize("step", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("answered", [False, True], ids=["request-lost", "answer-lost"])
def test_a_connection_lost_at_any_request_doubles_and_loses_nothing(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, step: str, answered: bool
) -> None:
    made(tmp_path / "xd", 4)
    publisher = Publisher(LedgerReader(tmp_path / "xd"), uri)
    publisher._connected()  # so that the class below is the one it uses
    real = getattr(MlflowClient, step)
    calls = 0

    def unreliable(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls % 3:
            return real(*args, **kwargs)
        if answered:
            real(*args, **kwargs)
        raise OSError("the connection is lost")

    monkeypatch.setattr(MlflowClient, step, unreliable)
    failures = 0
    for _ in range(20):
        try:
            publisher.publish_new()
            break
        except TrackingUnavailable:
            failures += 1
    monkeypatch.undo()
    assert failures >= 1
    _, children = shown(uri)
    assert {number: run.info.status for number, run in children.items()} == dict.fromkeys(
        range(4), "FINISHED"
    )
    for run in children.values():
        assert [step for step, _, _ in history(uri, run, "train/loss")] == [1, 2, 3]


def test_a_run_created_twice_by_a_lost_answer_is_removed(tmp_path: Path, uri: str) -> None:
    made(tmp_path / "xd", 2)
    Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new()
    client = MlflowClient(uri)
    parent, children = shown(uri)
    for run in (parent, children[0]):
        client.create_run(run.info.experiment_id, run.info.start_time, run.data.tags)
    Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new()
    parent, children = shown(uri)  # fails if one is doubled
    assert [step for step, _, _ in history(uri, parent, "objective")] == [0, 1]
    assert {number: run.info.status for number, run in children.items()} == dict.fromkeys(
        (0, 1), "FINISHED"
    )
    assert [step for step, _, _ in history(uri, children[0], "train/loss")] == [1, 2, 3]


def test_values_that_are_not_finite_are_left_out_and_named(tmp_path: Path, uri: str) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd"))
    begin(ledger)
    good = result(0)
    losses = (1.0, math.nan, math.inf)
    curve = [row | {"train/loss": x} for row, x in zip(good.curve, losses, strict=True)]
    ledger.finish(0, dataclasses.replace(good, curve=curve, diverged=True, objective=0.0))
    Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new()
    run = shown(uri)[1][0]
    assert [(step, value) for step, value, _ in history(uri, run, "train/loss")] == [(1, 1.0)]
    assert run.data.tags["not_finite"] == "train/loss"
    assert run.data.tags["diverged"] == "true"
    assert run.data.metrics["objective"] == 0.0


def test_more_than_one_request_may_hold_is_published_whole(tmp_path: Path, uri: str) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd"))
    begin(ledger)
    long = result(0, epochs=700)  # 2 metrics x 700 epochs > 1,000 per request
    ledger.finish(0, long)
    Publisher(LedgerReader(tmp_path / "xd"), uri).publish_new()
    run = shown(uri)[1][0]
    assert len(history(uri, run, "train/loss")) == len(history(uri, run, "val/ap")) == 700


def test_the_studys_curve_of_the_best_waits_for_late_trials(tmp_path: Path, uri: str) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd"))
    begin(ledger, 4)
    objectives = {0: 0.3, 1: 0.9, 2: 0.5, 3: 0.7}
    publisher = Publisher(LedgerReader(tmp_path / "xd"), uri)

    def end(number: int) -> list[tuple[int, float]]:
        ended = dataclasses.replace(result(number), objective=objectives[number])
        ledger.finish(number, ended)
        publisher.publish_new()
        return [(step, value) for step, value, _ in history(uri, shown(uri)[0], "objective")]

    assert end(0) == [(0, 0.3)]
    assert end(2) == [(0, 0.3)]  # trial 1 may still change what was best at trial 2
    assert end(1) == [(0, 0.3), (1, 0.9), (2, 0.9)]
    assert end(3) == [(0, 0.3), (1, 0.9), (2, 0.9), (3, 0.9)]
    parent, _ = shown(uri)
    each = [value for _, value, _ in history(uri, parent, "trial_objective")]
    assert each == [0.3, 0.9, 0.5, 0.7]
    assert parent.data.metrics["objective"] == 0.9  # what the runs' table shows: the best
    assert history(uri, parent, "trials/complete")[-1][:2] == (3, 4.0)


def test_a_resumed_and_extended_study_goes_on_in_the_same_run(tmp_path: Path, uri: str) -> None:
    made(tmp_path / "xd", 2, trials=4)
    Publisher(LedgerReader(tmp_path / "xd"), uri).finish()
    parent, _ = shown(uri)
    assert parent.info.status == "KILLED"  # two of four: interrupted
    ledger = Ledger(tmp_path / "xd", meta("xd", trials=5))
    add(ledger, 3)
    publisher = Publisher(LedgerReader(tmp_path / "xd"), uri)
    publisher.publish_new()
    assert shown(uri)[0].info.status == "RUNNING"
    publisher.finish()
    again, children = shown(uri)
    assert again.info.run_id == parent.info.run_id
    assert again.info.status == "FINISHED"
    assert again.info.end_time == (CREATED + 46) * 1000
    assert again.data.tags["trials_planned"] == "5"
    assert sorted(children) == [0, 1, 2, 3, 4]
    steps = [step for step, _, _ in history(uri, again, "objective")]
    assert steps == [0, 1, 2, 3, 4]


def test_at_the_end_the_study_holds_its_table_file_and_checkpoints(
    tmp_path: Path, uri: str
) -> None:
    folder = made(tmp_path / "xd", 4, trials=4)
    (folder / "study.yaml").write_text("study: {name: xd}\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "trial-0003.safetensors").write_bytes(b"weights")
    (folder / "checkpoints" / ".trial-0002.part").write_bytes(b"wei")  # of a killed driver
    reader = LedgerReader(folder)
    Publisher(reader, uri).finish()
    parent, _ = shown(uri)
    assert parent.data.tags["best_trial"] == "trial-0003"
    client = MlflowClient(uri)
    there = Path(client.download_artifacts(parent.info.run_id, ""))
    assert (there / "study.yaml").read_text() == "study: {name: xd}\n"
    assert (there / "checkpoints" / "trial-0003.safetensors").read_bytes() == b"weights"
    assert len(list((there / "checkpoints").iterdir())) == 1
    table = trials_table(reader.trials())
    assert (there / "trials.csv").read_text() == table.to_csv(index=False)
    read = pd.read_parquet(there / "trials.parquet")
    assert read["objective"].tolist() == table["objective"].tolist()
    assert read["params/d_proj"].dropna().tolist() == ["64", "auto", "64"]  # one type per column


def test_erasing_removes_this_study_for_good_and_no_other(tmp_path: Path, uri: str) -> None:
    old = made(tmp_path / "old" / "xd", 2)
    ledger = Ledger(tmp_path / "xd", meta("xd", uid="another"))
    add(ledger, 3)
    for folder in (old, tmp_path / "xd"):
        Publisher(LedgerReader(folder), uri).finish()
    assert Publisher(LedgerReader(tmp_path / "xd"), uri).erase() == 4
    _, children = shown(uri)
    assert {run.data.tags["study_key"] for run in children.values()} == {"xd/0123456789abcdef"}
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("xd")
    assert experiment is not None
    left = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    assert len(left) == 3
    artifacts = Path(str(experiment.artifact_location))
    assert [f.name for f in artifacts.iterdir() if any(f.rglob("*.*"))] == [
        run.info.run_id for run in left if "trial_key" not in run.data.tags
    ]


def test_a_reader_in_mid_transaction_does_not_hold_up_publishing(tmp_path: Path, uri: str) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd"))
    add(ledger, 1)
    publisher = Publisher(LedgerReader(tmp_path / "xd"), uri)
    publisher.publish_new()
    reader = sqlite3.connect(uri.removeprefix("sqlite:///"))
    assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    add(ledger, 1)
    assert publisher.publish_new() == 1  # in another journal mode: "database is locked"
    reader.close()


def test_an_unreachable_server_is_said_without_its_password(tmp_path: Path) -> None:
    made(tmp_path / "xd", 1)
    publisher = Publisher(LedgerReader(tmp_path / "xd"), "http://anna:s3cret@127.0.0.1:9")
    with pytest.raises(TrackingUnavailable) as caught:
        publisher.publish_new()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("uri", "printed"),
    [
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://anna:s3cret@host/x", "https://anna:***@host/x"),
        ("https://anna:p@ss:w@host:5000", "https://anna:***@host:5000"),
        ("https://token@host", "https://***@host"),
        ("postgresql://u:s3cret@db/mlflow?sslpassword=s3cret", "postgresql://u:***@db/mlflow?…"),
        ("postgresql://u:s3/cret@db/mlflow", "postgresql://u:***@db/mlflow"),
        ("postgresql://u:s3#cret@db/mlflow", "postgresql://u:***@db/mlflow"),
        ("postgresql://u:s3?cret@db/mlflow", "postgresql://…"),
        ("postgresql:///mlflow?user=u@x&password=s3cret", "postgresql://…"),
        ("sqlite:////data/a@b/mlflow.db", "sqlite:////data/a@b/mlflow.db"),
        ("mlruns", "mlruns"),
    ],
)
def test_addresses_are_printed_without_secrets(uri: str, printed: str) -> None:
    assert redact(uri) == printed


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:s3cret@db/mlflow",
        "postgresql://u:s3%63ret@db/mlflow",  # quoted decoded
        "postgresql://db/mlflow?sslpassword=s3cret",
        "https://s3cret@host",
    ],
)
def test_a_message_that_quotes_a_secret_is_passed_on_without_it(uri: str) -> None:
    with pytest.raises(TrackingUnavailable) as caught, reaching(uri):
        raise OSError("no way to u with s3cret at db")
    assert str(caught.value) == "no way to u with *** at db"


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("postgresql://u:s3cret@db/mlflow", "psycopg: pip install 'psycopg[binary]'"),
        ("mysql+pymysql://u:s3cret@db/mlflow", "pymysql: pip install 'pymysql'"),
        ("postgresql://u:s3cret@db:x/mlflow", "cannot be read"),
    ],
)
def test_an_address_that_can_never_work_is_said_at_once(
    uri: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver in ("psycopg", "pymysql"):
        monkeypatch.setitem(sys.modules, driver, None)  # not installed
    with pytest.raises(InputError, match=re.escape(advice)) as caught:
        tracking_address(uri)
    assert "s3cret" not in str(caught.value)
