"""Nodes of a cluster lost and added, and its head lost"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ray.cluster_utils import Cluster

from tests.faults.checks import ended_undisturbed, ends_undisturbed, only_line, unplaced
from tests.faults.conftest import Fault
from tests.faults.processes import children, kill, until
from tests.faults.test_workers import attempts, troubled
from tests.support.workspace import Undisturbed, Workspace, wait_for_results


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head, where the driver is, and two nodes: a core each. All of one machine."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


def process_of(node: object, kind: str) -> int:
    """The number of a node's process: "raylet", or the head's "gcs_server"."""
    return int(node.all_processes[kind][0].process.pid)  # type: ignore[attr-defined]


def kill_node(node: object) -> list[int]:
    """``kill -9`` of a node's raylet and of all that it has started; returns the workers'."""
    raylet = process_of(node, "raylet")
    workers, all_of_it = children([raylet], "Trainable"), children([raylet], "")
    for pid in (raylet, *all_of_it):
        kill(pid)
    return workers


def works(node: object) -> bool:
    """Whether the node has a worker of trials."""
    return bool(children([process_of(node, "raylet")], "Trainable"))


def waiting(first: int) -> tuple[str, ...]:
    """`study.run` whose trials from number ``first`` on wait for the file ``go``."""
    return troubled(dict.fromkeys(range(first, 10), "waits"))


@pytest.mark.slow
def test_a_node_is_lost_and_another_joins(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, cluster: Cluster
) -> None:
    fault.done = "kill -9 of a node (its raylet and its workers), then another joins"
    fault.how = "cluster of three nodes by `--address`, each with a trial in mid-run"
    driver = workspace.start("--address", cluster.address, program=waiting(2))
    wait_for_results(workspace, 2)
    lost, *others = cluster.worker_nodes
    until(lambda: all(works(node) for node in (cluster.head_node, lost, *others)))
    killed = time.monotonic()
    kill_node(lost)
    until(lambda: attempts(workspace))
    seconds = time.monotonic() - killed
    late = cluster.add_node(num_cpus=1)
    until(lambda: works(late))
    (workspace.folder / "go").touch()
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    assert "its worker process or node died" in output
    fault.seen = f"its trial lost an attempt after {seconds:.1f} s and ran on the new node"
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
def test_a_node_that_joins_late_gets_work(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, cluster: Cluster
) -> None:
    fault.done = "a node joins a running study"
    fault.how = "by `--address` without `--workers`, while three trials run"
    driver = workspace.start("--address", cluster.address, program=waiting(4))
    wait_for_results(workspace, 4)
    late = cluster.add_node(num_cpus=1)
    until(lambda: works(late))
    (workspace.folder / "go").touch()
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    fault.seen = "the cluster has room for 4 workers now"
    assert fault.seen in output
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
def test_a_node_is_lost_while_its_trial_starts(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, cluster: Cluster
) -> None:
    fault.done = "kill -9 of both nodes while their first trials start"
    fault.how = "as soon as the ledger has the first trial: its worker is not there yet"
    driver = workspace.start("--address", cluster.address, "--workers", "3")
    until(lambda: workspace.journal.exists() and b'"seed"' in workspace.journal.read_bytes())
    for node in cluster.worker_nodes:
        kill_node(node)
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    fault.seen = (
        f"{sum(attempts(workspace).values())} attempts lost; the head alone runs it all, exit 0"
    )
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["raylet", "gcs_server"])
def test_the_head_is_lost(
    fault: Fault, workspace: Workspace, undisturbed: Undisturbed, cluster: Cluster, kind: str
) -> None:
    fault.done = f"kill -9 of the cluster's head ({kind})"
    fault.how = "after 2 results"
    driver = workspace.start("--address", cluster.address, program=troubled({-1: "pauses"}))
    wait_for_results(workspace, 2)
    killed = time.monotonic()
    kill(process_of(cluster.head_node, kind))
    output, _ = driver.communicate(timeout=90)
    seconds = time.monotonic() - killed
    assert driver.returncode == 1, output
    line = only_line(output)
    assert "run the same command again once the cluster is back to resume" in line
    fault.seen = f"{seconds:.1f} s later: {unplaced(line)}"
    fault.after = ends_undisturbed(workspace, undisturbed)
