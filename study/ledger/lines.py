"""A ledger's lines at one moment, as they stand in the file.

Optuna's journal skips an invalid line, and takes one of two results. Here every line counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from refinevad.errors import InputError
from study._private.optuna import JournalOperation
from study.ledger.journal import JOURNAL, whole_length

Line = dict[str, Any]


@dataclass
class TrialLines:
    """The lines about one trial; their numbers count from 1."""

    number: int
    asked: Line
    results: list[Line] = field(default_factory=list)
    ends: list[Line] = field(default_factory=list)
    """Lines that close it: state and value."""
    steps: dict[int, float] = field(default_factory=dict)
    """Epoch -> objective, once more for optuna-dashboard."""
    plotted: dict[str, Any] = field(default_factory=dict)
    """Metric -> value, once more for optuna-dashboard; ledgers up to 0.4 have none."""
    last: int = 0
    """Number of the last line about it."""


@dataclass(frozen=True)
class Seal:
    """The seal that the end of a session wrote, and its position."""

    line: int
    before: int
    """Bytes of the file before it."""
    ended: frozenset[int]
    """Trials that had ended then."""
    time: float
    """Unix seconds."""
    digest: str
    """Digest of the trials that had ended."""
    bytes: int
    sha256: str
    """sha256 of the file before the seal, at the time of sealing."""


class Snapshot(BaseJournalBackend):
    """The whole lines of a ledger's file now; what a running study appends later is not seen.

    Raises:
        InputError: A line in the middle is not JSON.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / JOURNAL
        content = path.read_bytes() if path.is_file() else b""
        self.content = content[: whole_length(content)]
        self.torn = len(content) > len(self.content)
        """Whether an unfinished line follows: of a crash, or just being written."""
        self.lines: list[Line] = []
        for number, text in enumerate(self.content.splitlines(), 1):
            try:
                line = json.loads(text)
                assert isinstance(line, dict)
            except (ValueError, AssertionError):
                raise InputError(f"{path}, line {number}: the ledger is damaged here") from None
            self.lines.append(line)
        self.trials: list[TrialLines] = []
        self.seals: list[Seal] = []
        self.versions: list[tuple[int, dict[str, str]]] = []
        """Versions of sessions after the first: number of the first trial they asked, versions."""
        self.metric_names: list[str] | None = None
        """The objective's name in optuna-dashboard; None in ledgers up to 0.4."""
        self.unexpected: list[str] = []
        """Lines that no session writes."""
        self._sort()

    def read_logs(self, log_number_from: int) -> list[Line]:
        return self.lines[log_number_from:]

    def append_logs(self, logs: list[Line]) -> None:
        raise RuntimeError("a snapshot is not written to")

    def _sort(self) -> None:
        position = 0
        for number, (line, text) in enumerate(
            zip(self.lines, self.content.splitlines(keepends=True), strict=True), 1
        ):
            unexpected = self._take(number, line, position)
            if unexpected:
                self.unexpected.append(f"line {number} {unexpected}")
            position += len(text)

    def _take(self, number: int, line: Line, position: int) -> str | None:
        """Files one line; returns its error, or None."""
        operation = line.get("op_code")
        if operation == JournalOperation.CREATE_STUDY:
            return None if number == 1 else "begins another study"
        if operation == JournalOperation.SET_STUDY_USER_ATTR:
            return self._take_attribute(number, line.get("user_attr") or {}, position)
        if operation == JournalOperation.CREATE_TRIAL:
            self.trials.append(TrialLines(len(self.trials), line, last=number))
            return None
        if operation == JournalOperation.SET_STUDY_SYSTEM_ATTR:
            names = (line.get("system_attr") or {}).get("study:metric_names")
            self.metric_names = names or self.metric_names
        if operation in (
            JournalOperation.SET_STUDY_SYSTEM_ATTR,
            JournalOperation.SET_TRIAL_SYSTEM_ATTR,
        ):
            return None  # notes made in optuna-dashboard
        if operation not in (
            JournalOperation.SET_TRIAL_STATE_VALUES,
            JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
            JournalOperation.SET_TRIAL_USER_ATTR,
        ):
            return f"has operation {operation}, which no session writes"
        trial_id = line.get("trial_id")
        if not (isinstance(trial_id, int) and 0 <= trial_id < len(self.trials)):
            return f"is about trial {trial_id}, which was not proposed before"
        trial = self.trials[trial_id]
        trial.last = number
        if operation == JournalOperation.SET_TRIAL_STATE_VALUES:
            trial.ends.append(line)
        elif operation == JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE:
            trial.steps[line["step"]] = line["intermediate_value"]
        elif "result" in (line.get("user_attr") or {}):
            trial.results.append(line["user_attr"]["result"])
        else:
            return self._take_trial_attribute(trial, line.get("user_attr") or {})
        return None

    def _take_trial_attribute(self, trial: TrialLines, attribute: dict[str, Any]) -> str | None:
        (*names,) = attribute
        if names == ["attempts"]:
            return None
        if len(names) == 1 and names[0].startswith("selected/test/") and trial.results:
            trial.plotted |= attribute
            return None
        return f"changes the proposal of trial {trial.number}"

    def _take_attribute(self, number: int, attribute: dict[str, Any], position: int) -> str | None:
        if "seal" in attribute:
            ended = frozenset(t.number for t in self.trials if t.ends and t.results)
            seal = {name: attribute["seal"][name] for name in ("time", "digest", "bytes", "sha256")}
            self.seals.append(Seal(number, position, ended, **seal))
        elif "versions" in attribute:
            self.versions.append((len(self.trials), attribute["versions"]))
        elif "meta" in attribute and self.trials:
            return "describes the study again, after trials were proposed"
        return None


FINISHED = {
    TrialState.COMPLETE.value: "COMPLETE",
    TrialState.PRUNED.value: "PRUNED",
    TrialState.FAIL.value: "FAILED",
}
"""Optuna's number of a state -> our name of it."""
