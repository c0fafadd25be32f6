"""The ledger itself: one final record per trial, and a description that agrees with itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optuna.distributions import json_to_distribution
from pydantic import TypeAdapter, ValidationError

from refinevad.errors import InputError
from study.config.study_file import StudyFile
from study.ledger.journal import JOURNAL
from study.ledger.lines import FINISHED, Seal, Snapshot, TrialLines
from study.ledger.records import StudyMeta, TrialRecord
from study.ledger.writer import LedgerReader
from study.verification.check import Check, Difference


def read(folder: Path) -> tuple[Snapshot, StudyMeta, list[TrialRecord]]:
    """A study's ledger at one moment.

    Raises:
        InputError: There is no study in the folder, or its ledger cannot be read.
    """
    try:
        snapshot = Snapshot(folder)
        reader = LedgerReader(folder, snapshot)
        records = reader.trials()
        if len(records) != len(snapshot.trials):
            raise ValueError("trials of another study")
        _require_types(reader.meta, records, snapshot.seals)
        return snapshot, reader.meta, records
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, AssertionError) as error:
        raise InputError(
            f"{folder / JOURNAL}: the ledger cannot be read, a line of it is none of ours "
            f"({_first_line(error)}); restore the file from a backup"
        ) from None


def _require_types(meta: StudyMeta, records: list[TrialRecord], seals: list[Seal]) -> None:
    """Raises where a number is a word or a row lacks one, so that no check trips over it."""
    adapter = TypeAdapter(tuple[StudyMeta, list[TrialRecord], list[tuple[float, str, int, str]]])
    sealed = [(seal.time, seal.digest, seal.bytes, seal.sha256) for seal in seals]
    content = json.dumps([vars(meta), [vars(record) for record in records], sealed])
    adapter.validate_json(content, strict=True)
    for record in records:
        if not all({"epoch", "objective"} <= row.keys() for row in record.curve):
            raise ValueError(f"the curve of trial {record.number} lacks epochs or objectives")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {error}"


def recorded_file(meta: StudyMeta, folder: Path) -> StudyFile:
    """The study file as the ledger keeps it.

    Raises:
        InputError: It is none.
    """
    try:
        space = {  # a dimension is written with all its kinds, of which one is set
            name: {kind: value for kind, value in dimension.items() if value is not None}
            for name, dimension in meta.config["space"].items()
        }
        return StudyFile.model_validate(meta.config | {"space": space})
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise InputError(
            f"{folder / JOURNAL}: what it keeps of the study file is not valid "
            f"({_first_line(error)}); restore the file from a backup"
        ) from None


def check_ledger(
    snapshot: Snapshot, meta: StudyMeta, file: StudyFile, records: list[TrialRecord]
) -> Check:
    """Lines, counts, and the description of the study."""
    check = Check("ledger")
    check.differences += [Difference(line, "this", None) for line in snapshot.strange]
    check.compare("name of the study", snapshot.lines[0].get("study_name"), meta.name)
    _check_description(check, meta, file)
    space = file.distributions()
    for trial, record in zip(snapshot.trials, records, strict=True):
        _check_trial(check, trial, record, last_line=len(snapshot.lines))
        written = {
            name: json_to_distribution(text)
            for name, text in trial.asked.get("distributions", {}).items()
        }
        check.compare_all(f"trial {trial.number}, space of ", written, space)
        exact = {name: written[name].to_internal_repr(v) for name, v in record.params.items()}
        check.compare_all(
            f"trial {trial.number}, as written, ", trial.asked.get("params", {}), exact
        )
    if len(records) > meta.trials:
        check.differences.append(Difference("trials asked", len(records), f"{meta.trials} at most"))
    ended = sum(record.ended for record in records)
    check.said = (
        f"{len(snapshot.lines)} lines: {len(records)} of {meta.trials} trials asked, {ended} ended "
        f"with one final record each; study hash {meta.hash}"
    )
    if snapshot.torn:
        check.notes.append("it ends in an unfinished line: of a crash, or just being written")
    return check


def _check_description(check: Check, meta: StudyMeta, file: StudyFile) -> None:
    check.compare("study hash", meta.hash, file.hash(meta.fingerprint))
    found, expected = _flat(meta.determinants), _flat(file.determinants())
    check.compare_all("what determines the results, ", found, expected)
    own = {"name": meta.name, "metric": meta.metric, "split": meta.split}
    objective = file.objective
    check.compare_all(
        "study's ",
        own,
        {"name": file.study.name, "metric": objective.metric, "split": objective.split},
    )


def _check_trial(check: Check, trial: TrialLines, record: TrialRecord, *, last_line: int) -> None:
    name = f"trial {trial.number}"
    check.compare(f"{name}, state when asked", trial.asked.get("state"), 0)
    if not trial.results and not trial.ends:
        return
    check.compare(f"{name}, lines with a result", len(trial.results), 1)
    if not (trial.results and not trial.ends and trial.last == last_line):  # killed in between
        check.compare(f"{name}, lines that close it", len(trial.ends), 1)
    if not trial.ends or not record.ended:
        return
    # What optuna-dashboard shows is written beside the result.
    end = trial.ends[0]
    check.compare(f"{name}, state shown", FINISHED.get(end.get("state", -1)), record.state)
    values = None if record.objective is None else [record.objective]
    check.compare(f"{name}, objective shown to optuna-dashboard", end.get("values"), values)
    curve = {int(row["epoch"]): float(row["objective"]) for row in record.curve}
    check.compare_all(f"{name}, objective shown at epoch ", trial.steps, curve)


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    """``{"model.d_model": 384, …}``."""
    if not isinstance(value, dict):
        return {at: json.dumps(value)}
    return {
        key: leaf
        for name, item in value.items()
        for key, leaf in _flat(item, f"{at}.{name}" if at else str(name)).items()
    }
