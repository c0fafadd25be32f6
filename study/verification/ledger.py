"""The ledger check: one final record per trial, and a consistent description of the study."""

from __future__ import annotations

import json
from typing import Any

from optuna.distributions import json_to_distribution

from study.config.study_file import StudyFile
from study.ledger.lines import FINISHED, Snapshot, TrialLines
from study.ledger.records import StudyMeta, TrialRecord, plottable
from study.verification.check import Check, Difference


def check_ledger(
    snapshot: Snapshot, meta: StudyMeta, file: StudyFile, records: list[TrialRecord]
) -> Check:
    """Checks lines, counts, and the description of the study."""
    check = Check("ledger")
    check.differences += [Difference(line, "this", None) for line in snapshot.unexpected]
    check.compare("name of the study", snapshot.lines[0].get("study_name"), meta.name)
    _check_description(check, snapshot, meta, file)
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
        check.differences.append(
            Difference("trials proposed", len(records), f"{meta.trials} at most")
        )
    ended = sum(record.ended for record in records)
    check.summary = (
        f"{len(snapshot.lines)} lines: {len(records)} of {meta.trials} trials proposed, {ended} "
        f"ended with one final record each; study hash {meta.hash}"
    )
    if snapshot.torn:
        check.notes.append(
            "the ledger ends in an unfinished line: a crash, or a session is writing it now"
        )
    return check


def _check_description(check: Check, snapshot: Snapshot, meta: StudyMeta, file: StudyFile) -> None:
    check.compare("study hash", meta.hash, file.hash(meta.fingerprint))
    found, expected = _flat(meta.determinants), _flat(file.determinants())
    check.compare_all("settings that determine the results, ", found, expected)
    own = {"name": meta.name, "metric": meta.metric, "split": meta.split}
    objective = file.objective
    check.compare_all(
        "study's ",
        own,
        {"name": file.study.name, "metric": objective.metric, "split": objective.split},
    )
    if snapshot.metric_names is not None:
        expected_names = [f"{meta.metric} on {meta.split}"]
        check.compare("name of the objective", snapshot.metric_names, expected_names)


def _check_trial(check: Check, trial: TrialLines, record: TrialRecord, *, last_line: int) -> None:
    name = f"trial {trial.number}"
    check.compare(f"{name}, state when proposed", trial.asked.get("state"), 0)
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
    if trial.plotted:  # ledgers up to 0.4 have none
        check.compare_all(f"{name}, shown ", trial.plotted, plottable(record.metrics))


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    """``{"model.d_model": 384, …}``."""
    if not isinstance(value, dict):
        return {at: json.dumps(value)}
    return {
        key: leaf
        for name, item in value.items()
        for key, leaf in _flat(item, f"{at}.{name}" if at else str(name)).items()
    }
