"""Studies run for real: Ray workers, Optuna, the ledger."""

from __future__ import annotations

import json
import os
import signal

import pytest
import yaml
from mlflow import MlflowClient
from ray.cluster_utils import Cluster

from study.ledger.reader import LedgerReader
from study.ledger.records import best, digest
from tests.support.workspace import TROUBLES, Undisturbed, Workspace, digest_of, wait_for_results

SLOWLY = (TROUBLES, json.dumps({-1: "pauses"}))
"""The real command, whose trials pause: else the study may just have ended."""


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_same_trials_at_any_worker_count(
    workspace: Workspace, undisturbed: Undisturbed, workers: int
) -> None:
    assert digest_of(workspace.run("--workers", str(workers))) == undisturbed.digest
    assert (workspace.study / "trials.csv").read_text() == undisturbed.table


def test_killed_half_way_and_started_again_ends_the_same(
    workspace: Workspace, undisturbed: Undisturbed
) -> None:
    driver = workspace.start("--workers", "2", program=SLOWLY)
    wait_for_results(workspace, 4)
    driver.kill()
    driver.wait()
    ended_before = [r.number for r in LedgerReader(workspace.study).trials() if r.ended]
    assert 4 <= len(ended_before) < 10
    again = workspace.run("--workers", "2")
    assert f"resuming small: {len(ended_before)} of 10" in again.stdout
    assert digest_of(again) == undisturbed.digest
    assert (workspace.study / "trials.csv").read_text() == undisturbed.table
    results = (workspace.study / "journal.log").read_text().count('"result"')
    assert results == 10  # exactly one final record each


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(
    workspace: Workspace, undisturbed: Undisturbed
) -> None:
    driver = workspace.start("--workers", "2", program=SLOWLY)
    wait_for_results(workspace, 2)
    os.killpg(driver.pid, signal.SIGINT)  # a terminal sends it to Ray's processes as well
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "Stopping" in output
    assert f"--space {workspace.space}" in output
    assert digest_of(workspace.run("--workers", "2")) == undisturbed.digest


def test_more_trials_extend_the_study(workspace: Workspace, undisturbed: Undisturbed) -> None:
    digest_of(workspace.run("--trials", "6", "--workers", "1"))
    first = LedgerReader(workspace.study).trials()
    assert digest_of(workspace.run("--workers", "1")) == undisturbed.digest
    extended = LedgerReader(workspace.study).trials()
    assert extended[:6] == first  # times included: these were not run again
    assert len(extended) == 10


def test_a_finished_study_is_not_run_again_and_a_changed_one_is_refused(
    workspace: Workspace,
) -> None:
    assert digest_of(workspace.run("--trials", "2", "--workers", "1"))
    again = workspace.run("--trials", "2", "--workers", "1")
    assert "all 2 trials have run already" in again.stdout
    changed = yaml.safe_load(workspace.space.read_text())
    changed["space"]["lr"]["log_uniform"] = [1e-4, 1e-2]
    workspace.space.write_text(yaml.safe_dump(changed))
    refused = workspace.run("--trials", "2", "--workers", "1")
    assert refused.returncode == 2
    assert "space.lr.log_uniform: was [1e-05, 0.1], is [0.0001, 0.01]" in refused.stderr
    assert "new name" in refused.stderr


def test_a_second_driver_is_told_who_the_first_is(workspace: Workspace) -> None:
    first = workspace.start("--backend", "serial", program=SLOWLY)
    wait_for_results(workspace, 1)
    second = workspace.run("--workers", "1")
    first.kill()
    first.wait()
    assert second.returncode == 2
    assert f"process {first.pid} on host" in second.stderr


def test_when_every_trial_takes_too_long_the_study_stops_with_that_reason(
    workspace: Workspace,
) -> None:
    text = workspace.space.read_text().replace("trial_timeout: 5m", "trial_timeout: 0.001s")
    workspace.space.write_text(text.replace("retries: 1", "retries: 0"))
    run = workspace.run("--trials", "2", "--workers", "1")
    assert run.returncode == 1
    assert "the first 2 trials all failed, the last with: timed out after 0.001 s" in run.stderr
    assert "Traceback" not in run.stderr
    records = LedgerReader(workspace.study).trials()
    assert [r.state for r in records] == ["RUNNING", "RUNNING"]


def test_the_checkpoints_kept_are_those_of_the_best_trials(workspace: Workspace) -> None:
    printed = digest_of(workspace.run("--workers", "1"))
    records = LedgerReader(workspace.study).trials()
    assert digest(records) == printed
    ranked = sorted(records, key=lambda r: (-(r.objective or 0.0), r.number))
    kept = {p.name for p in (workspace.study / "checkpoints").iterdir()}
    assert kept == {f"trial-{r.number:04d}.safetensors" for r in ranked[:2]}
    assert best(records) == ranked[0]


def test_nothing_is_left_per_trial_but_ledger_lines(workspace: Workspace) -> None:
    digest_of(workspace.run("--trials", "4", "--workers", "1"))
    files = {p.name for p in workspace.study.iterdir()}
    of_the_study = {"journal.log", "owner.json", "study.yaml", "trials.csv", "checkpoints"}
    assert files == of_the_study | {"test_videos.json"}


def test_mlflow_shows_the_study_with_its_trials_nested(workspace: Workspace) -> None:
    run = workspace.run("--trials", "4", "--workers", "1", tracking="sqlite:///mlflow.db")
    assert run.returncode == 0, run.stdout + run.stderr
    client = MlflowClient(f"sqlite:///{workspace.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    trials = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    assert [r.info.run_name for r in parents] == ["small"]
    assert {r.info.run_name for r in trials} == {f"trial-000{n}" for n in range(4)}
    records = {r.number: r for r in LedgerReader(workspace.study).trials()}
    for trial in trials:
        record = records[int(trial.data.tags["trial_number"])]
        assert trial.data.metrics["objective"] == record.objective
        assert float(trial.data.params["lr"]) == record.params["lr"]
        assert trial.data.tags["mlflow.parentRunId"] == parents[0].info.run_id


def test_an_existing_cluster_gives_the_same_trials(
    workspace: Workspace, undisturbed: Undisturbed
) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4})
    try:
        run = workspace.run("--address", cluster.address, "--workers", "2")
        assert digest_of(run) == undisturbed.digest
    finally:
        cluster.shutdown()


def test_a_dry_run_shows_the_study_and_starts_nothing(workspace: Workspace) -> None:
    run = workspace.run("--dry-run")
    assert run.returncode == 0, run.stderr
    assert "study: {name: small, trials: 10, seed: 7}" in run.stdout
    assert "data fingerprint " in run.stdout
    assert "study hash " in run.stdout
    assert sum(line.startswith("  ") and ": d_proj=" in line for line in run.stdout.splitlines())
    assert "forecast: 10 trials" in run.stdout
    assert not (workspace.folder / "runs").exists()
    assert not (workspace.folder / "mlflow.db").exists()
