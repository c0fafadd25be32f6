"""How many trials share a GPU: real Ray workers, on a GPU that Ray is only told of."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
import yaml

from refinevad.training.results import EpochRecord, RunResult
from study._private.ray import on_loopback
from study.backend import gpu_sharing
from study.backend.gpu_sharing import DEFAULT_SHARE, gpu_share, measure_gpu_sharing
from study.config.study_file import StudyFile
from study.ledger.writer import Ledger
from study.trials.spec import TrialSpec
from tests.study.test_driver import meta_of
from tests.support.workspace import SMALL_STUDY

SPEC = TrialSpec(0, {"lambda_cat": 0.3}, seed=0)
FILE = StudyFile.model_validate(yaml.safe_load(SMALL_STUDY.replace("trials: 10", "trials: 60")))


@dataclass
class Epochs:
    """Waits a moment for each epoch; on a ``busy`` GPU longer, the more there are on it."""

    busy: Path | None
    done = False

    def run_epoch(self) -> EpochRecord:
        others = 1
        if self.busy is not None:
            (self.busy / str(os.getpid())).touch()
            others = len(list(self.busy.iterdir()))
        time.sleep(0.05 * others)
        return EpochRecord(1, 0.0, {}, 0.05)

    def result(self) -> RunResult:
        raise NotImplementedError


@dataclass
class Waits:
    """Runs of :class:`Epochs`; with a ``fault`` none begins."""

    busy: Path | None = None
    fault: str | None = None

    def __call__(self, spec: TrialSpec) -> Epochs:
        if self.fault is not None:
            raise ValueError(self.fault)
        return Epochs(self.busy)

    def checkpoint(self, spec: TrialSpec, run: RunResult) -> bytes | None:
        return None

    def check(self) -> None:
        pass


@pytest.fixture(scope="module")
def gpu() -> Iterator[None]:
    with on_loopback():
        ray.init(address="local", num_cpus=4, num_gpus=1, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr(gpu_sharing, "_SECONDS", 0.5)
    ledger = Ledger(tmp_path / "study", meta_of(FILE))
    yield ledger
    ledger.close()


def test_trials_that_leave_each_other_room_are_packed(gpu: None, ledger: Ledger) -> None:
    found = measure_gpu_sharing(Waits(), SPEC, threads=1, most=3)
    assert list(found.rates) == [1, 2, 3]
    assert found.trials == 3
    assert found.share == pytest.approx(1 / 3)
    assert "Running 3 trials per GPU" in str(found)


def test_trials_that_wait_for_each_other_are_not(gpu: None, ledger: Ledger, tmp_path: Path) -> None:
    busy = tmp_path / "busy"
    busy.mkdir()
    found = measure_gpu_sharing(Waits(busy=busy), SPEC, threads=1, most=4)
    assert list(found.rates) == [1, 2]  # four would be no better
    assert found.trials == 1


def test_a_packing_is_written_down_and_taken_again(gpu: None, ledger: Ledger) -> None:
    said: list[str] = []
    share = gpu_share(FILE, ledger, Waits(), workers=2, say=said.append)
    assert share == 0.5
    assert said[0].startswith("Measuring how many trials can share a GPU")
    assert "measured epochs/s by trials per GPU: 1: " in said[1]
    assert ledger.gpu_sharing is not None
    assert ledger.gpu_sharing["params"]["d_proj"] == 8, "the largest of the space"
    again = gpu_share(FILE, ledger, Waits(fault="not asked"), workers=2, say=said.append)
    assert again == share
    assert said[2:] == ["Running 2 trials per GPU, as measured by an earlier session"]
    other = gpu_share(FILE, ledger, Waits(), workers=3, say=said.append)
    assert other == pytest.approx(1 / 3), "for other workers it is measured anew"


def test_what_cannot_be_measured_says_why_and_ends_no_study(gpu: None, ledger: Ledger) -> None:
    said: list[str] = []
    runs = Waits(fault="no such file: x.npy")
    assert gpu_share(FILE, ledger, runs, workers=None, say=said.append) == DEFAULT_SHARE
    assert "GPU sharing could not be measured (ValueError: no such file: x.npy)" in said[-1]
    assert ledger.gpu_sharing is None


def test_a_few_trials_or_one_worker_are_not_worth_a_measurement(gpu: None, ledger: Ledger) -> None:
    few = StudyFile.model_validate(yaml.safe_load(SMALL_STUDY))
    said: list[str] = []
    assert gpu_share(few, ledger, Waits(), workers=None, say=said.append) == DEFAULT_SHARE
    assert "10 trials are too few to benchmark GPU sharing" in said[0]
    assert gpu_share(FILE, ledger, Waits(), workers=1, say=said.append) == 1.0
    assert len(said) == 1


def test_the_packing_is_no_part_of_what_determines_a_study() -> None:
    texts = [SMALL_STUDY.replace("threads: 1", f"threads: 1, gpu: {gpu}") for gpu in ("auto", 0.5)]
    auto, given = (StudyFile.model_validate(yaml.safe_load(text)) for text in texts)
    assert (auto.execution.gpu, given.execution.gpu) == ("auto", 0.5)
    assert auto.hash("f") == given.hash("f")
