"""``python -m tests.faults.troubles '{"3": "hangs"}' …``: `study.run` whose trials come to grief.

The driver, Ray and the training are the real ones; only the run of a trial that is named first
does in its second epoch, on purpose, what real runs do by accident.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import study.session.session
from refinevad import cli
from refinevad.training.results import EpochRecord, RunResult
from study.run import main
from study.trials.runs import DetectorRuns, Run
from study.trials.spec import TrialSpec

GIGABYTE = 1024**3


@dataclass
class TroubledRun:
    """A run with its trouble before the second epoch."""

    run: Run
    trouble: str
    first: bool
    folder: Path

    @property
    def done(self) -> bool:
        return self.run.done

    def run_epoch(self) -> EpochRecord:
        record = self.run.run_epoch()
        if record.epoch == 1:
            kind, _, once = self.trouble.partition(" ")
            if self.first or once != "once":
                TROUBLES[kind](self.folder)
        return record

    def result(self) -> RunResult:
        return self.run.result()


def _raises(folder: Path) -> None:
    raise ValueError("no such [thing] in [/data/x.npy]")


def _hangs(folder: Path) -> None:
    ctypes.PyDLL(None).sleep(3600)  # in native code, with the interpreter's lock held


def _pauses(folder: Path) -> None:
    time.sleep(2)


def _waits(folder: Path) -> None:
    """Until the test has made the file ``go``."""
    while not (folder / "go").exists():
        time.sleep(0.1)


def _dies(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _limited(folder: Path) -> None:
    """More than the process may have: malloc says no."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + GIGABYTE // 4, limits[1]))
    try:
        bytearray(GIGABYTE)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _devours(folder: Path) -> None:
    """More than the machine may give: Ray's memory monitor, or the kernel, ends the process."""
    hoard = []
    for _ in range(64):
        hoard.append(bytearray(b"x") * (GIGABYTE // 16))
        time.sleep(0.05)
    time.sleep(3600)


TROUBLES = {
    "raises": _raises,
    "hangs": _hangs,
    "pauses": _pauses,
    "waits": _waits,
    "dies": _dies,
    "limited": _limited,
    "devours": _devours,
}


@dataclass(frozen=True)
class TroubledRuns(DetectorRuns):
    """Real runs; those of the trials in ``troubles`` come to grief."""

    troubles: dict[int, str] = field(default_factory=dict, hash=False)
    folder: Path = Path()

    def __call__(self, spec: TrialSpec) -> Run:
        run = super().__call__(spec)
        trouble = self.troubles.get(spec.number, self.troubles.get(-1))
        if trouble is None:
            return run
        mark = self.folder / f"attempted-{spec.number}"
        first = not mark.exists()
        mark.touch()
        return TroubledRun(run, trouble, first, self.folder)


if __name__ == "__main__":
    troubles = {int(number): trouble for number, trouble in json.loads(sys.argv.pop(1)).items()}

    def troubled(*arguments: object) -> DetectorRuns:
        return TroubledRuns(*arguments, troubles=troubles, folder=Path.cwd())  # type: ignore

    study.session.session.DetectorRuns = troubled  # type: ignore[assignment,misc]
    cli.run(main)
