"""How trials per minute grow with the nodes of a cluster, and that the digest does not change.

``python benchmarks/bench_nodes.py [--nodes 1 2 3] [--trials 60]`` starts a Ray cluster of so many
nodes on this machine (processes and object stores of their own), each with room for two trials,
and runs two studies on it: trials that wait a second instead of computing, as if each node had
cores of its own, and the synthetic demo, whose trials share the cores that there are.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_overhead import NothingRun, NothingRuns, study_file, study_meta
from common import ROOT, publish
from ray.cluster_utils import Cluster
from rich.console import Console

from refinevad.training.results import EpochRecord
from study.backend.cluster import room, start_ray, stop_ray
from study.backend.interrupt import Interrupt
from study.backend.tune import RayBackend
from study.ledger.records import digest
from study.ledger.writer import Ledger
from study.progress.screen import PlainScreen
from study.progress.tally import Tally
from study.session.driver import Driver
from study.trials.checkpoints import Checkpoints
from study.trials.spec import TrialSpec

SECONDS = 1.0
CPUS = 2


class WaitingRun(NothingRun):
    """A trial of a second."""

    def run_epoch(self) -> EpochRecord:
        time.sleep(SECONDS / 5)
        return super().run_epoch()


class WaitingRuns(NothingRuns):
    def __call__(self, spec: TrialSpec) -> WaitingRun:
        return WaitingRun(spec)


def waiting_study(address: str, trials: int, folder: Path) -> dict[str, object]:
    """Runs the study of waiting trials on a cluster."""
    file = study_file(trials, workers=8)
    ledger = Ledger(folder / "runs" / "nodes", study_meta("nodes", trials))
    start_ray(workers=0, threads=1, address=address)
    try:
        workers = room(threads=1, gpu=0.0)
        tally = Tally(trials=trials, workers=workers, metric="ap")
        screen = PlainScreen(tally, Console(file=io.StringIO()))
        checkpoints = Checkpoints(folder / "checkpoints", 0)
        driver = Driver(file, ledger, checkpoints, screen, in_flight=workers)
        RayBackend().run(
            driver, WaitingRuns(), Interrupt(print), execution=driver.file.execution, gpu=0.0
        )
        minutes = (time.monotonic() - tally.begun) / 60
    finally:
        stop_ray()
    records = ledger.trials()
    ledger.close()
    return {
        "trials at once": workers,
        "trials per minute": trials / minutes,
        "workers busy %": tally.busy_percent(),
        "digest": digest(records)[:12],
    }


def demo_study(address: str, folder: Path) -> str:
    """The digest of the demo study, run by the command on a cluster."""
    command = [
        *(sys.executable, "-m", "study.run", "--space", str(ROOT / "search_spaces" / "demo.yaml")),
        *("--address", address, "--tracking-uri", "none"),
        *("--runs", str(folder / "runs"), "--stores", str(folder / "stores")),
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("digest ")]
    return line.split()[1][:12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--trials", type=int, default=60)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for nodes in args.nodes:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": CPUS})
        try:
            for _ in range(nodes - 1):
                cluster.add_node(num_cpus=CPUS)
            with tempfile.TemporaryDirectory() as folder:
                row = waiting_study(cluster.address, args.trials, Path(folder))
                demo = demo_study(cluster.address, Path(folder))
        finally:
            cluster.shutdown()
        rows.append({"nodes": nodes, **row, "digest of demo.yaml": demo})
    listed = " ".join(map(str, args.nodes))
    command = f"python benchmarks/bench_nodes.py --nodes {listed} --trials {args.trials}"
    publish("nodes", rows, command=command)


if __name__ == "__main__":
    main()
