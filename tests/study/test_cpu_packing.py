"""`execution.threads: auto`: measured by real processes, once, and kept in the ledger."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from refinevad.data import prepare
from study.backend import cpu_packing
from study.backend.cpu_packing import measure_cpu_packing, with_threads
from study.config.study_file import StudyFile
from study.ledger.study import read_study
from tests.support.search_options import refused, study
from tests.support.small_data import study_text


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_packing, "_SECONDS", 0.1)
    monkeypatch.setattr(cpu_packing, "MIN_TRIALS", 3)
    monkeypatch.setattr(cpu_packing, "default_workers", lambda threads: 2)


def small(data: Path, **execution: Any) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(study_text(data))
    content["execution"] |= {"threads": "auto"} | execution
    content["study"]["trials"] = 4
    return content


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "many"])
def test_what_is_no_number_of_threads(threads: object) -> None:
    refused("expected a whole number from 1, or auto", execution={"threads": threads})


def test_auto_is_written_as_it_was_read() -> None:
    file = study(execution={"threads": "auto"})
    assert yaml.safe_load(file.to_yaml())["execution"]["threads"] == "auto"
    assert StudyFile.model_validate(yaml.safe_load(file.to_yaml())).execution == file.execution
    assert yaml.safe_load(study(execution={"threads": 2}).to_yaml())["execution"]["threads"] == 2


@pytest.mark.parametrize(
    ("rates", "cores", "workers", "expected"),
    [
        ({1: 4.0, 2: 3.0}, 4, None, 1),  # the third is not measured
        ({1: 4.0, 2: 6.0, 4: 6.1}, 4, None, 2),  # no gain, or hardly any
        ({1: 1.0, 2: 1.9, 3: 2.7}, 3, 1, 3),
    ],
)
def test_the_fewest_threads_of_nearly_the_highest_rate(
    rates: dict[int, float],
    cores: int,
    workers: int | None,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[int, int] = {}

    def rate(file: StudyFile, store: Path, params: object, at_once: int) -> float:
        asked[file.execution.threads] = at_once
        return rates[file.execution.threads]

    monkeypatch.setattr(cpu_packing, "_rate", rate)
    found = measure_cpu_packing(study(), Path("s"), {}, cores=cores, workers=workers)
    assert found.threads == expected
    assert found.rates == rates
    assert asked == {t: max(1, min(cores // t, workers or cores)) for t in rates}


def test_a_study_is_measured_once_resumed_and_verified(
    tmp_path: Path, stores: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import study as api
    from study import verify

    runs = tmp_path / "runs"
    file = StudyFile.model_validate(small(data))
    api.run_study(file, runs=runs, stores=stores)
    said = capsys.readouterr()
    assert "note: execution.threads: " in said.out + said.err
    assert ", measured; epochs/s by threads x trials at once: 1 x 1: " in said.out + said.err
    kept = read_study(runs / "small").file.execution.threads
    assert kept in (1, 2)
    api.run_study(small(data) | {"study": {"name": "small", "trials": 5, "seed": 7}},
                  runs=runs, stores=stores)  # fmt: skip
    said = capsys.readouterr()
    assert "execution.threads" not in said.out + said.err
    view = read_study(runs / "small")
    assert len(view.ended) == 5
    assert {record.worker["threads"] for record in view.ended} == {str(kept)}
    flags = ["--study", str(runs / "small"), "--stores", str(stores), "--sample", "1"]
    assert verify.main(flags) == 0


def test_what_cannot_be_measured_is_one_thread(stores: Path, data: Path) -> None:
    said: list[str] = []
    file = StudyFile.model_validate(small(data))
    store = prepare(file.data, stores)
    elsewhere = SimpleNamespace(path=stores / "nowhere")
    found = with_threads(file, elsewhere, workers=None, say=said.append)  # type: ignore[arg-type]
    assert found.execution.threads == 1
    assert "could not be measured (" in said[-1]
    few = file.model_copy(update={"study": file.study.model_copy(update={"trials": 2})})
    assert with_threads(few, store, workers=None, say=said.append).execution.threads == 1
    assert "2 trials are too few to measure" in said[-1]
