"""Real Ray workers, with runs that are quick and do on purpose what real ones do by accident."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from refinevad.data.store import DamagedStore
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.training.results import EpochRecord, RunResult
from study.backend.cluster import start_ray, stop_ray
from study.backend.interrupt import Interrupt
from study.backend.tune import RayBackend
from study.ledger.reader import LedgerReader
from study.ledger.records import TrialRecord, digest
from study.trials.spec import TrialSpec
from tests.study.test_driver import Bench
from tests.support.workspace import SMALL_STUDY

WORKERS = 2


@dataclass
class QuickRun:
    """Three epochs of arithmetic; ``trouble`` is what happens in the second."""

    spec: TrialSpec
    trouble: str | None
    marks: Path

    def __post_init__(self) -> None:
        self.records: list[EpochRecord] = []

    @property
    def done(self) -> bool:
        return len(self.records) == 3

    def run_epoch(self) -> EpochRecord:
        epoch = len(self.records) + 1
        if epoch == 2:
            self._trouble()
        value = self.spec.params["lambda_cat"] / (1 + self.spec.params["lambda_cat"])
        self.records.append(EpochRecord(epoch, value * epoch / 3, {"val/ap": value}, 0.0))
        return self.records[-1]

    def _trouble(self) -> None:
        mark = self.marks / f"{self.spec.number}"
        first = not mark.exists()
        mark.touch()
        if self.trouble == "dies once" and first:
            os._exit(9)
        if self.trouble == "data change":
            (self.marks / "data changed").touch()
        if self.trouble == "data change, dies":
            (self.marks / "data changed").touch()
            os._exit(9)
        if self.trouble == "raises":
            raise ValueError("no such [thing] in [/data/x.npy]")
        if self.trouble == "hangs":
            ctypes.PyDLL(None).sleep(3600)  # in native code, with the interpreter's lock held

    def result(self) -> RunResult:
        best = self.records[-1].objective
        return RunResult(
            state="complete",
            diverged=False,
            objective=best,
            selected_epoch=3,
            last_objective=best,
            curve=self.records,
            selected={},
            last={},
            model_state=None,
            hardware={"process": str(os.getpid())},
            selection="validation",
            model=RefineVADConfig(),
        )


@dataclass
class QuickRuns:
    marks: Path
    troubles: dict[int, str]

    def __call__(self, spec: TrialSpec) -> QuickRun:
        return QuickRun(spec, self.troubles.get(spec.number), self.marks)

    def checkpoint(self, spec: TrialSpec, run: RunResult) -> bytes | None:
        return b"weights"

    def check(self) -> None:
        if (self.marks / "data changed").exists():
            raise DamagedStore("the data were changed")


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    start_ray(workers=WORKERS, threads=1, address=None)
    yield
    stop_ray()


def run(folder: Path, troubles: dict[int, str], text: str = SMALL_STUDY) -> list[TrialRecord]:
    folder.mkdir(exist_ok=True)
    bench = Bench(folder / "study", text, in_flight=WORKERS)
    marks = folder / "marks"
    marks.mkdir()
    RayBackend().run(
        bench.driver,
        QuickRuns(marks, troubles),
        Interrupt(print),
        execution=bench.driver.file.execution,
        gpu=0.0,
    )
    assert bench.driver.finished
    records = bench.ledger.trials()
    bench.ledger.close()
    return records


def test_actors_are_reused_and_every_trial_ends_once(tmp_path: Path, ray_here: None) -> None:
    records = run(tmp_path, {})
    assert [r.number for r in records] == list(range(10))
    assert {r.state for r in records} == {"COMPLETE"}
    assert len({r.worker["process"] for r in records}) <= WORKERS + 1
    assert [row["objective"] for row in records[0].curve] == pytest.approx(
        [records[0].objective * e / 3 for e in (1, 2, 3)]
    )


def test_a_worker_that_dies_costs_an_attempt_and_nothing_else(
    tmp_path: Path, ray_here: None
) -> None:
    calm = run(tmp_path / "calm", {})
    stormy = run(tmp_path / "stormy", {0: "dies once", 5: "dies once"})
    assert digest(stormy) == digest(calm)
    assert [r.attempts for r in stormy] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_an_error_in_a_trial_is_its_reason_and_the_study_goes_on(
    tmp_path: Path, ray_here: None
) -> None:
    records = run(tmp_path, {3: "raises"})
    assert records[3].state == "FAILED"
    assert records[3].reason == "ValueError: no such [thing] in [/data/x.npy]"
    assert [r.state for r in records].count("COMPLETE") == 9


def test_a_hang_is_ended_from_inside_the_worker(tmp_path: Path, ray_here: None) -> None:
    text = SMALL_STUDY.replace("retries: 1", "retries: 0").replace("5m", "1s")
    records = run(tmp_path, {1: "hangs"}, text)
    assert records[1].state == "FAILED"
    assert records[1].reason == "timed out after 1 s"
    assert [r.state for r in records].count("COMPLETE") == 9


@pytest.mark.parametrize("trouble", ["data change", "data change, dies"])
def test_changed_data_stop_the_study_and_no_trial_is_to_blame(
    tmp_path: Path, ray_here: None, trouble: str
) -> None:
    text = SMALL_STUDY.replace("retries: 1", "retries: 0")
    with pytest.raises(DamagedStore, match="the data were changed"):
        run(tmp_path, {2: trouble}, text)
    records = LedgerReader(tmp_path / "study").trials()
    assert "FAILED" not in {r.state for r in records}
    assert records[2].state == "RUNNING"
    assert records[2].attempts == 0
