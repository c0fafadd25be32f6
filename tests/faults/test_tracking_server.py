"""MLflow's server and database away, slow, wrong, locked, deleted; PostgreSQL"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.checks import ended_undisturbed
from tests.faults.conftest import Fault
from tests.faults.processes import until
from tests.faults.servers import (
    PASSWORD,
    MLflowServer,
    PostgreSQL,
    Silent,
    Unreliable,
    driver_path,
    postgres_programs,
)
from tests.faults.test_workers import troubled
from tests.study.test_tracking import shown
from tests.support.workspace import Undisturbed, Workspace, digest_of, wait_for_results

pytestmark = pytest.mark.slow

PAUSES = troubled({-1: "pauses"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MLflowServer]:
    """Not yet started."""
    server = MLflowServer(tmp_path / "server")
    yield server
    server.kill()


def publish(
    workspace: Workspace, uri: str, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study.publish", "--study", "small", *arguments],
        cwd=workspace.folder,
        env=workspace.environment(MLFLOW_TRACKING_URI=uri, **env),
        capture_output=True,
        text=True,
        timeout=300,
    )


def said(workspace: Workspace) -> str:
    """What the publisher has said."""
    log = workspace.study / "publisher.log"
    return log.read_text() if log.exists() else ""


def all_shown(uri: str, name: str = "small") -> str:
    """Every trial is in MLflow exactly once, whole, and the study's run has ended."""
    parent, children = shown(uri, name)  # fails if one is doubled
    assert parent.info.status == "FINISHED"
    assert sorted(children) == list(range(10))
    assert {run.info.status for run in children.values()} <= {"FINISHED", "KILLED"}
    for run in children.values():
        assert {"objective", "train/loss"} <= set(run.data.metrics)
    return "each of 10 trials exactly once in MLflow"


def ends_shown(workspace: Workspace, undisturbed: Undisturbed, uri: str) -> str:
    """The study is as the undisturbed one; MLflow shows it, if need be by ``study.publish``."""
    checked = ended_undisturbed(workspace, undisturbed)
    once = publish(workspace, uri)
    assert once.returncode == 0, once.stderr
    return f"{checked}; {all_shown(uri)}"


def finished(driver: subprocess.Popen[str], undisturbed: Undisturbed) -> str:
    """The output of a study that has run to its end as if nothing had been."""
    output, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, output
    assert f"digest {undisturbed.digest}" in output
    return output


def test_a_server_that_answers_500(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, server: MLflowServer
) -> None:
    server.start()
    between = Unreliable(server.port, seed=3)
    fault.done = "MLflow's server answers 500 to one request in ten"
    fault.how = "a proxy in front, seed 3; half of them are done all the same, the answer lost"
    run = workspace.run("--workers", "2", tracking=between.uri)
    assert digest_of(run) == undisturbed.digest
    assert between.refused, "nothing was refused"
    log = said(workspace)
    assert "Traceback" not in log
    fault.seen = f"{between.refused} of {between.requests} requests refused"
    fault.after = ends_shown(workspace, undisturbed, server.uri)


def test_a_server_that_comes_late(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, server: MLflowServer
) -> None:
    fault.done = "no MLflow server at the start; it comes later"
    fault.how = "started after 4 results"
    driver = workspace.start("--workers", "2", tracking=server.uri, program=PAUSES)
    wait_for_results(workspace, 4)
    until(lambda: "will retry" in said(workspace))
    server.start()
    finished(driver, undisturbed)
    fault.seen = "publisher.log: cannot publish …, will retry (once)"
    assert said(workspace).count("will retry") == 1
    fault.after = ends_shown(workspace, undisturbed, server.uri)


def test_a_server_killed_in_the_middle(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, server: MLflowServer
) -> None:
    fault.done = "kill -9 of MLflow's server, which comes back"
    fault.how = "after 3 results, back after 7"
    server.start()
    driver = workspace.start("--workers", "2", tracking=server.uri, program=PAUSES)
    wait_for_results(workspace, 3)
    server.kill()
    wait_for_results(workspace, 7)
    server.start()
    finished(driver, undisturbed)
    fault.seen = "the study goes on"
    fault.after = ends_shown(workspace, undisturbed, server.uri)


def test_a_server_that_never_answers(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, server: MLflowServer
) -> None:
    fault.done = "MLflow's server takes connections and never answers"
    fault.how = "from the start; a real one in its place after the study"
    with closing(Silent(server.port)):
        driver = workspace.start("--workers", "2", tracking=server.uri)
        output = finished(driver, undisturbed)
    assert "python -m study.publish" in output
    assert "giving up" in said(workspace)
    fault.seen = "the study ends, says that MLflow is missing trials, and how to publish them"
    server.start()
    fault.after = ends_shown(workspace, undisturbed, server.uri)


def test_the_database_is_deleted_in_the_middle(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "mlflow.db and mlruns/ deleted while the study runs"
    fault.how = "after 5 results; `study.publish --rebuild` after the study"
    uri = f"sqlite:///{workspace.folder / 'mlflow.db'}"
    driver = workspace.start("--workers", "2", tracking=uri, program=PAUSES)
    wait_for_results(workspace, 5)
    for file in workspace.folder.glob("mlflow.db*"):
        file.unlink()
    shutil.rmtree(workspace.folder / "mlruns", ignore_errors=True)
    finished(driver, undisturbed)
    fault.seen = "the study goes on"
    rebuilt = publish(workspace, uri, "--rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    fault.after = ends_shown(workspace, undisturbed, uri)


def test_a_database_locked_by_another_process(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "mlflow.db locked by another process"
    fault.how = "from the second result until the publisher has said so (20 s and more)"
    database = workspace.folder / "mlflow.db"
    driver = workspace.start("--workers", "2", tracking=f"sqlite:///{database}", program=PAUSES)
    wait_for_results(workspace, 2)
    until(database.exists)
    with closing(sqlite3.connect(database, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        until(lambda: "will retry" in said(workspace))
        other.rollback()
    finished(driver, undisturbed)
    assert "locked" in said(workspace)
    fault.seen = "publisher.log: database is locked, will retry; published again"
    fault.after = ends_shown(workspace, undisturbed, f"sqlite:///{database}")


def test_a_database_that_is_rubbish(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed
) -> None:
    fault.done = "mlflow.db is rubbish"
    fault.how = "64 KB of random bytes before the start; removed after the study"
    database = workspace.folder / "mlflow.db"
    database.write_bytes(os.urandom(1 << 16))
    driver = workspace.start("--workers", "2", tracking=f"sqlite:///{database}")
    output = finished(driver, undisturbed)
    assert "python -m study.publish" in output
    refused = publish(workspace, f"sqlite:///{database}")
    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        f"error: cannot publish to sqlite:///{database}: file is not a database"
    )
    fault.seen = refused.stderr.strip().replace(f"{workspace.folder}/", "")
    database.unlink()
    fault.after = ends_shown(workspace, undisturbed, f"sqlite:///{database}")


@pytest.fixture
def postgres() -> Iterator[PostgreSQL]:
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL's server programs")
    server = PostgreSQL()
    yield server
    server.remove()


def nowhere_written(workspace: Workspace, *outputs: str) -> None:
    """The password is in no output, no file of the studies, and no command line."""
    texts = [*outputs, *workspace.processes().values()]
    files = [path for path in (workspace.folder / "runs").rglob("*") if path.is_file()]
    texts += [path.read_bytes().decode(errors="replace") for path in files]
    assert not [text for text in texts if PASSWORD in text]


def test_postgresql_killed_in_the_middle(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, postgres: PostgreSQL
) -> None:
    fault.done = "kill -9 of PostgreSQL, to which the study publishes, and its return"
    fault.how = "after 3 results, back after 7"
    env = {"PYTHONPATH": driver_path()}
    driver = workspace.start("--workers", "2", tracking=postgres.uri, program=PAUSES, **env)
    wait_for_results(workspace, 3)
    postgres.kill()
    until(lambda: "will retry" in said(workspace))
    nowhere_written(workspace)
    wait_for_results(workspace, 7)
    postgres.start()
    output = finished(driver, undisturbed)
    fault.seen = "publisher.log: cannot publish …, will retry; the password nowhere"
    once = publish(workspace, postgres.uri, **env)
    assert once.returncode == 0, once.stderr
    nowhere_written(workspace, once.stdout, once.stderr, output)
    fault.after = f"{ended_undisturbed(workspace, undisturbed)}; {all_shown(postgres.uri)}"


def test_two_studies_publish_through_a_server_on_postgresql(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, postgres: PostgreSQL
) -> None:
    fault.done = "kill -9 of PostgreSQL under an MLflow server that two studies publish to"
    fault.how = "after 3 results of the first, back after 7"
    server = MLflowServer(workspace.folder / "server", postgres.uri)
    server.start(PYTHONPATH=driver_path())
    try:
        driver = workspace.start("--workers", "1", tracking=server.uri, program=PAUSES)
        named = ("--set", "study.name=other")
        other = workspace.start("--workers", "1", *named, tracking=server.uri, program=PAUSES)
        wait_for_results(workspace, 3)
        postgres.kill()
        wait_for_results(workspace, 7)
        postgres.start()
        outputs = [finished(driver, undisturbed), finished(other, undisturbed)]
        nowhere_written(workspace, *outputs)
        fault.seen = "both studies go on; the password nowhere"
        fault.after = ends_shown(workspace, undisturbed, server.uri)
        publish_other = publish(workspace, server.uri, "--study", "other")
        assert publish_other.returncode == 0, publish_other.stderr
        all_shown(server.uri, "other")
    finally:
        server.kill()
