"""CPU packing: measures how many threads a trial should have (``execution.threads: auto``).

More threads make one trial faster, fewer let more trials run at once. Which is better depends on
the model, the data and the machine. So the study's largest configuration is trained for some
seconds in as many processes as fit, with one, two, four, … threads each. The number of threads
decides a result's bits: it is measured once, before the study begins, and stands in its ledger.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from study.backend.base import default_workers, doubling
from study.config.sections import MEASURED
from study.config.study_file import StudyFile
from study.progress.forecast import Forecaster
from study.search.proposal import first_proposals
from study.space.dimension import Params
from study.text import counted

if TYPE_CHECKING:
    from refinevad.data import Store

MIN_TRIALS = 20
"""Smallest number of trials that is worth the measurement."""
_CANDIDATES = 64
"""Number of the study's first trials, the largest of which is measured."""
_SECONDS = 3.0
"""Shortest measurement of one number of threads, in seconds; two epochs if they take longer."""
_NO_GAIN = 1.05
"""Smallest factor of throughput for which more threads are worth it."""


@dataclass(frozen=True)
class CpuPacking:
    """A measurement of trials that share the cores of a machine."""

    threads: int
    """Threads of a trial with the highest throughput, or nearly the highest."""
    rates: dict[int, float]
    """Threads of a trial -> epochs per second of all workers together."""
    workers: dict[int, int]
    """Threads of a trial -> trials at once."""

    def __str__(self) -> str:
        rates = ", ".join(f"{t} x {self.workers[t]}: {r:.2f}" for t, r in self.rates.items())
        return (
            f"execution.threads: {self.threads}, measured; epochs/s by threads x trials at once: "
            f"{rates}"
        )


def with_threads(
    file: StudyFile, store: Store, *, workers: int | None, say: Callable[[str], None]
) -> StudyFile:
    """A study with the number of threads in place of ``auto``.

    Args:
        file: The study, which has not begun.
        store: Its packed data.
        workers: Trials at once that the user wants; None: as many as fit.
        say: Called with messages for the user.
    """
    if file.execution.threads != MEASURED:
        return file
    cores = default_workers(1)
    if file.study.trials < MIN_TRIALS:
        say(f"execution.threads: 1; {counted(file.study.trials, 'trial')} are too few to measure")
        return _fixed(file, 1)
    if cores == 1:
        return _fixed(file, 1)
    if file.execution.device != "cpu" and _gpu():
        say("execution.threads: 1, because trials run on a GPU")
        return _fixed(file, 1)
    say("measuring how many threads a trial should have (takes some seconds) …")
    drawn = first_proposals(file, min(_CANDIDATES, file.study.trials)) or [{}]
    largest = max(drawn, key=Forecaster(file, []).size)
    try:
        found = measure_cpu_packing(file, store.path, largest, cores=cores, workers=workers)
    except RuntimeError as error:
        say(f"execution.threads: 1; it could not be measured ({error})")
        return _fixed(file, 1)
    say(str(found))
    return _fixed(file, found.threads)


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _fixed(file: StudyFile, threads: int) -> StudyFile:
    execution = file.execution.model_copy(update={"threads": threads})
    return file.model_copy(update={"execution": execution})


def measure_cpu_packing(
    file: StudyFile, store: Path, params: Params, *, cores: int, workers: int | None
) -> CpuPacking:
    """Trains ``params`` with a growing number of threads.

    Args:
        file: The study.
        store: Folder of its packed data.
        params: The configuration, the largest of the study best.
        cores: Cores that trials may use.
        workers: Trials at once at most; None: as many as fit.

    Raises:
        RuntimeError: A process could not train it; the message is its last line.
    """
    rates: dict[int, float] = {}
    at_once: dict[int, int] = {}
    for threads in doubling(cores):
        at_once[threads] = max(1, min(cores // threads, workers or cores))
        rates[threads] = _rate(_fixed(file, threads), store, params, at_once[threads])
        if rates[threads] < _NO_GAIN * max([*rates.values()][:-1], default=0.0):
            break
    enough = max(rates.values()) / _NO_GAIN
    best = next(threads for threads, rate in rates.items() if rate >= enough)
    return CpuPacking(best, rates, {threads: at_once[threads] for threads in rates})


def _rate(file: StudyFile, store: Path, params: Params, workers: int) -> float:
    """Epochs per second of so many processes, which train side by side."""
    job = {"file": file.to_yaml(), "store": str(store.resolve()), "params": params}
    with ExitStack() as stack:
        running = [_Process(stack, job) for _ in range(workers)]
        alone = max(process.read("epoch_seconds") for process in running)
        for process in running:
            process.write(max(_SECONDS, 2 * workers * alone))
        return sum(process.read("rate") for process in running)


class _Process:
    """A process that trains one configuration over and over: this module, run as a command."""

    def __init__(self, stack: ExitStack, job: dict[str, Any]) -> None:
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": paths},
            )
        )
        stack.callback(self._process.kill)
        self.write(job)

    def write(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def read(self, name: str) -> float:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._process.stderr.read().strip().splitlines()
            raise RuntimeError(said[-1] if said else "the process ended")
        return float(json.loads(line)[name])


def _train() -> None:
    """What the process does: one epoch that warms up, one that is timed, then as many as fit."""
    from refinevad.data.store import open_store
    from study.trials.runs import DetectorRuns, LocalStore
    from study.trials.spec import TrialSpec

    job = json.loads(sys.stdin.readline())
    file = StudyFile.model_validate(yaml.safe_load(job["file"]))
    runs = DetectorRuns(file, LocalStore.of(open_store(Path(job["store"]))), "cpu")
    spec = TrialSpec(0, job["params"], seed=0)
    run = runs(spec)

    def epoch() -> float:
        nonlocal run
        if run.done:
            run = runs(spec)
        started = time.monotonic()
        run.run_epoch()
        return time.monotonic() - started

    epoch()
    _print({"epoch_seconds": epoch()})
    seconds = float(json.loads(sys.stdin.readline()))
    end, epochs = time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < end:
        took = epoch()
        epochs += min(1.0, (end - now) / took)
    _print({"rate": epochs / seconds})


def _print(message: dict[str, float]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    _train()
