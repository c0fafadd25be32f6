"""`python -m study.publish` as a process: killed, orphaned, without its server, run twice."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from study.ledger.reader import LedgerReader
from study.ledger.writer import Ledger
from study.publish import main
from study.tracking import Publisher
from study.tracking.process import exclusive, start_publisher, wait_publisher
from tests.study.test_tracking import history, shown
from tests.support.ledgers import add, made, meta

REPOSITORY = Path(__file__).parents[2]


def publish(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "study.publish", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=60)[0]


def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def content(uri: str) -> dict[str, object]:
    """Everything MLflow shows of the study but its own run ids and the artifacts' places."""
    parent, children = shown(uri)
    shown_runs: dict[str, object] = {}
    for run in (parent, *children.values()):
        tags = {k: v for k, v in run.data.tags.items() if k != "mlflow.parentRunId"}
        info = run.info
        shown_runs[str(info.run_name)] = (
            (info.status, info.start_time, info.end_time),
            (run.data.params, tags),
            {name: history(uri, run, name) for name in run.data.metrics},
        )
    return shown_runs


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_help_answers_without_importing_mlflow() -> None:
    code = (
        "import sys; from study.publish import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: assert not {'mlflow', 'optuna', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, capture_output=True)


def test_an_unknown_study_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    process = publish(tmp_path, "--study", "nowhere")
    lines = output(process).splitlines()
    assert process.returncode == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: runs/nowhere: no study here")


def test_killed_at_any_moment_and_started_again_it_shows_each_trial_once(
    tmp_path: Path, uri: str
) -> None:
    folder = made(tmp_path / "runs" / "xd", 40, trials=40, epochs=40)
    database = tmp_path / "mlflow.db"

    def runs_shown() -> int:
        try:
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
        except sqlite3.Error:
            return 0

    moments: dict[str, Callable[[], bool]] = {
        "while the tables are made": lambda: bool(list(tmp_path.glob("mlflow.db.*.new"))),
        "after the study's run": lambda: runs_shown() >= 1,
        "among the trials": lambda: runs_shown() >= 12,
    }
    for moment in moments.values():
        process = publish(tmp_path, "--study", "xd")
        until(moment)
        process.kill()
        process.wait()
    assert runs_shown() < 41, "it was never killed in the middle"
    assert main(["--study", str(folder), "--tracking-uri", uri]) == 0
    parent, children = shown(uri)
    assert parent.info.status == "FINISHED"
    assert {n: run.info.status for n, run in children.items()} == dict.fromkeys(
        range(40), "FINISHED"
    )
    undisturbed = f"sqlite:///{tmp_path / 'undisturbed.db'}"
    Publisher(LedgerReader(folder), undisturbed).finish()
    assert content(uri) == content(undisturbed)


def test_rebuilding_recreates_the_same_content(
    tmp_path: Path, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "runs" / "xd", 5, trials=5)
    once = ["--study", "xd", "--runs", str(tmp_path / "runs"), "--tracking-uri", uri]

    def said(*more: str) -> str:
        assert main([*once, *more]) == 0
        return capsys.readouterr().out

    assert said().startswith(f"xd: published 5 of 5 ended trials to {uri}\n")
    before, (parent, _) = content(uri), shown(uri)
    again = f"xd: published 0 of 5 ended trials to {uri}; the other 5 were there already\n"
    assert said().startswith(again)
    rebuilt = "xd: deleted 6 runs (the study's own too) and published 5 of 5 ended trials"
    assert said("--rebuild").startswith(rebuilt)
    assert content(uri) == before
    assert shown(uri)[0].info.run_id != parent.info.run_id


def test_it_follows_a_study_until_its_end(tmp_path: Path, uri: str) -> None:
    ledger = Ledger(tmp_path / "xd", meta("xd", trials=3))
    process = start_publisher(tmp_path / "xd", uri)
    add(ledger, 2)
    until(lambda: (tmp_path / "mlflow.db").exists())
    time.sleep(1)
    assert shown(uri)[0].info.status == "RUNNING"
    add(ledger, 1)  # a moment before the end: must not be missed
    assert wait_publisher(process, 60)
    parent, children = shown(uri)
    assert parent.info.status == "FINISHED"
    assert sorted(children) == [0, 1, 2]
    assert os.getpriority(os.PRIO_PROCESS, 0) < 10  # only the publisher gives way


def test_it_outlives_a_killed_study_long_enough_to_publish_all(tmp_path: Path, uri: str) -> None:
    folder = made(tmp_path / "xd", 3, trials=5)
    study = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from study.tracking.process import *\n"
            "print(start_publisher(Path(sys.argv[1]), sys.argv[2]).pid, flush=True)\n"
            "time.sleep(60)",
            str(folder),
            uri,
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert study.stdout
    publisher = int(study.stdout.readline())
    study.kill()
    study.wait()
    until(lambda: not alive(publisher))
    parent, children = shown(uri)
    assert sorted(children) == [0, 1, 2]
    assert parent.info.status == "KILLED"  # three of five: interrupted


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_ctrl_c_at_the_study_does_not_reach_the_publisher(tmp_path: Path, uri: str) -> None:
    folder = made(tmp_path / "xd", 1, trials=1)
    process = start_publisher(folder, uri)
    until(lambda: (folder / "publisher.lock").exists())
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.send_signal(signal.SIGTERM)  # the other way to say that the study is over
    assert wait_publisher(process, 60)


def test_one_study_is_published_by_one_process(tmp_path: Path) -> None:
    folder = made(tmp_path / "runs" / "xd", 1)
    with exclusive(folder, wait=False):
        process = publish(tmp_path, "--study", "xd", "--rebuild")
        assert "being published by another process" in output(process)
        assert process.returncode == 2
    assert not (tmp_path / "mlflow.db").exists()


@pytest.fixture
def late_server(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of an MLflow server, and what starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        started.append(
            subprocess.Popen(
                [*command, "--port", str(port), "--workers", "1"],
                cwd=tmp_path,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

        def healthy() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    return True
            except OSError:
                return False

        until(healthy)

    yield f"http://127.0.0.1:{port}", start
    for server in started:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_server_that_comes_late_is_caught_up_with(
    tmp_path: Path, late_server: tuple[str, Callable[[], None]]
) -> None:
    address, start = late_server
    secret = address.replace("http://", "http://anna:s3cret@")
    folder = made(tmp_path / "xd", 3, trials=3)
    (folder / "study.yaml").write_text("study: {name: xd}\n")
    process = start_publisher(folder, secret)
    log = folder / "publisher.log"
    until(lambda: "will retry" in log.read_text())
    start()
    assert wait_publisher(process, 60)
    parent, children = shown(address)
    assert parent.info.status == "FINISHED"
    assert sorted(children) == [0, 1, 2]
    there = Path(MlflowClient(address).download_artifacts(parent.info.run_id, ""))
    assert (there / "study.yaml").exists()
    assert (there / "trials.parquet").exists()
    lines = log.read_text()
    assert lines.count("will retry") == 1
    assert lines.count("publishing to") == 1  # … and once that it is back
    assert "s3cret" not in lines
