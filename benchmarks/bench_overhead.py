"""What the platform adds to a trial: trials that do nothing for five epochs, everything on.

``python benchmarks/bench_overhead.py [--trials 5000] [--workers 2]`` runs a real study (ordered
search, ledger, Ray Tune with actor reuse, MLflow in its own process) whose runs return at once,
and reports seconds and driver memory per trial over the study's length, files left per trial, and
how long MLflow needed to catch up.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import publish
from rich.console import Console

from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.training.results import EpochRecord, RunResult
from study.backend.cluster import start_ray, stop_ray
from study.backend.interrupt import Interrupt
from study.backend.tune import RayBackend
from study.config.study_file import StudyFile
from study.ledger.records import StudyMeta, TrialRecord
from study.ledger.writer import Ledger
from study.progress.forecast import Forecaster
from study.progress.screen import PlainScreen
from study.progress.tally import Tally
from study.search.proposal import first_proposals
from study.session.driver import Driver
from study.tracking.process import start_publisher, wait_publisher
from study.trials.checkpoints import Checkpoints
from study.trials.spec import TrialSpec

EPOCHS = 5


class NothingRun:
    """A run that returns a number per epoch, and a test set's worth of metrics."""

    def __init__(self, spec: TrialSpec) -> None:
        self._value = 1.0 / (1.0 + abs(spec.params["lambda_cat"] - 0.3))
        self._records: list[EpochRecord] = []

    @property
    def done(self) -> bool:
        return len(self._records) == EPOCHS

    def run_epoch(self) -> EpochRecord:
        epoch = len(self._records) + 1
        metrics = {"train/loss": 1.0 / epoch, "val/ap": self._value, "val/auc": self._value}
        self._records.append(EpochRecord(epoch, self._value * epoch / EPOCHS, metrics, 0.0))
        return self._records[-1]

    def result(self) -> RunResult:
        final = {f"test/{name}": self._value for name in ("auc", "ap", "ano_auc", "video_auc")}
        return RunResult(
            state="complete",
            diverged=False,
            objective=self._value,
            selected_epoch=EPOCHS,
            last_objective=self._value,
            curve=self._records,
            selected=final,
            last=final,
            model_state=None,
            hardware={"device": "cpu"},
            selection="validation",
            model=RefineVADConfig(),
        )


class NothingRuns:
    def __call__(self, spec: TrialSpec) -> NothingRun:
        return NothingRun(spec)

    def checkpoint(self, spec: TrialSpec, run: RunResult) -> bytes | None:
        return None

    def check(self) -> None:
        pass


@dataclass
class Mark:
    """The driver at some moment."""

    ended: int
    seconds: float
    megabytes: float


class MarkingScreen(PlainScreen):
    """Notes time and memory of the driver every hundred trials."""

    marks: list[Mark]

    def ended(self, record: TrialRecord) -> None:
        super().ended(record)
        if self.tally.ended % 100 == 0 or self.tally.ended == 1:
            memory = int(Path("/proc/self/statm").read_text().split()[1])
            megabytes = memory * resource.getpagesize() / 1e6
            self.marks.append(Mark(self.tally.ended, time.perf_counter(), megabytes))


def study_file(trials: int, workers: int) -> StudyFile:
    return StudyFile.model_validate(
        {
            "study": {"name": "overhead", "trials": trials},
            "search": {"space_filling": min(300, trials // 3), "window": max(16, 4 * workers)},
            "data": {"synthetic": "ucf-like"},
            "space": {
                "d_proj": {"choice": [64, 128, 256, 512]},
                "d_emb": {"choice": [32, 64, 128, 256, 512]},
                "lambda_cat": {"log_uniform": [0.01, 2.0]},
                "lambda_gmm": {"log_uniform": [0.01, 1.0]},
                "lambda_reg": {"log_uniform": [1e-6, 1e-2]},
                "lr": {"log_uniform": [1e-5, 1e-2]},
                "epochs": {"int": [5, 50]},
            },
        }
    )


def study_meta(name: str, trials: int) -> StudyMeta:
    """Of a study without data."""
    return StudyMeta(
        name=name,
        uid="0",
        hash="0",
        config={},
        determinants={},
        fingerprint="0" * 64,
        metric="ap",
        split="val",
        created=time.time(),
        git_commit=None,
        versions={},
        trials=trials,
    )


@dataclass
class Study:
    """What a study left."""

    marks: list[Mark]
    files: int
    """In its folder."""
    behind: float
    """Seconds until MLflow had all of it."""


def run_study(scratch: Path, trials: int, workers: int) -> Study:
    """A study of trials that do nothing, in the folder ``scratch``."""
    file = study_file(trials, workers)
    folder = scratch / "runs" / "overhead"
    ledger = Ledger(folder, study_meta("overhead", trials))
    publisher = start_publisher(folder, f"sqlite:///{scratch}/mlflow.db")
    tally = Tally(trials=trials, workers=workers, metric="ap")
    tally.forecaster = Forecaster(file, first_proposals(file, file.search.space_filling))
    screen = MarkingScreen(tally, Console(file=io.StringIO()))
    screen.marks = []
    checkpoints = Checkpoints(folder / "checkpoints", 0)
    driver = Driver(file, ledger, checkpoints, screen, in_flight=workers)
    start_ray(workers=workers, threads=1, address=None)
    RayBackend().run(
        driver, NothingRuns(), Interrupt(print), execution=driver.file.execution, gpu=0.0
    )
    ended = time.perf_counter()
    stop_ray()
    ledger.close()
    caught_up = wait_publisher(publisher, 600)
    behind = time.perf_counter() - ended
    assert driver.finished
    assert caught_up
    return Study(screen.marks, sum(len(names) for _, _, names in os.walk(folder)), behind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study = run_study(Path(scratch), args.trials, args.workers)
    rows: list[dict[str, object]] = []
    for before, after in zip(study.marks, study.marks[1:], strict=False):
        count = after.ended - before.ended
        rows.append(
            {
                "trials": f"{before.ended}-{after.ended}",
                "ms per trial": 1000 * (after.seconds - before.seconds) / count,
                "driver MB": after.megabytes,
            }
        )
    first, last = study.marks[0], study.marks[-1]
    rows.append(
        {
            "trials": f"all {args.trials}",
            "ms per trial": 1000 * (last.seconds - first.seconds) / (last.ended - first.ended),
            "driver MB": last.megabytes,
            "files in the study's folder": study.files,
            "s until MLflow had all": study.behind,
        }
    )
    command = f"python benchmarks/bench_overhead.py --trials {args.trials} --workers {args.workers}"
    publish("overhead", rows, command=command)


if __name__ == "__main__":
    main()
