"""Reading a study's ledger, also while it is written."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial
from pydantic import TypeAdapter

from refinevad.errors import InputError, nearest
from study.ledger.journal import (
    JOURNAL,
    reading_journal,
)
from study.ledger.records import StudyMeta, TrialRecord, TrialResult


class LedgerReader:
    """Reads a study's ledger: never locks, never writes, never waits.

    Args:
        folder: ``runs/<study>``.
        journal: Its lines at one moment, where they must not grow under the reader; None: the
            file.

    Raises:
        InputError: There is no study in the folder.
    """

    def __init__(self, folder: Path, journal: BaseJournalBackend | None = None) -> None:
        self.folder = folder
        if not (folder / JOURNAL).is_file():
            there = [path.parent.name for path in folder.parent.glob(f"*/{JOURNAL}")]
            raise InputError(
                f"{folder}: no study here{nearest(folder.name, there)}"
                " (`python -m study.run --space FILE` starts one)"
            )
        self._attach(journal or reading_journal(folder / JOURNAL))
        if not self._find_study():
            raise InputError(f"{folder}: this study has not started yet; run it first")

    def _attach(self, backend: BaseJournalBackend) -> None:
        try:
            self._storage = JournalStorage(backend)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # whatever Optuna meets in lines that it did not write
            raise self._damaged(error) from None
        self._records: list[TrialRecord] = []
        self._unended: list[int] = []  # of these: what may have changed

    def _damaged(self, error: Exception) -> InputError:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        return InputError(
            f"{self.folder / JOURNAL}: the ledger is damaged in the middle ({reason}); "
            "restore the file from a backup"
        )

    def _find_study(self) -> bool:
        studies = self._storage.get_all_studies()
        if not studies or "meta" not in studies[0].user_attrs:
            return False
        self._study_id = self._storage.get_study_id_from_name(studies[0].study_name)
        self._load_meta()
        return True

    def _load_meta(self) -> None:
        attrs = self._storage.get_study_user_attrs(self._study_id)
        try:
            content = attrs["meta"] | {"trials": attrs["trials"]}
            self.meta = TypeAdapter(StudyMeta).validate_python(content)
        except (ValueError, LookupError, TypeError) as error:
            raise self._damaged(error) from None

    def refresh(self) -> None:
        """Reads what was appended since."""
        self._load_meta()

    def trials(self) -> list[TrialRecord]:
        """Every trial asked so far, by number."""
        frozen = self._storage.get_all_trials(self._study_id, deepcopy=False)
        for number in self._unended:
            self._records[number] = self._record(frozen[number])
        new = range(len(self._records), len(frozen))
        self._records += [self._record(trial) for trial in frozen[new.start :]]
        self._unended = [n for n in (*self._unended, *new) if not self._records[n].ended]
        return list(self._records)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        attrs = trial.user_attrs
        attempts = attrs.get("attempts", ())
        record = TrialRecord(
            number=trial.number,
            key=f"{self.meta.name}/{self.meta.uid}/{trial.number}",
            params=trial.params,
            seed=attrs["seed"],
            state="RUNNING",
            stopping_curve=attrs["stopping_curve"],
            inherited=attrs.get("inherited"),
            attempts=len(attempts),
            whole_gpu=any(attempt.get("alone") for attempt in attempts),
        )
        ended = trial.state.is_finished() and "result" in attrs
        return record.with_result(TrialResult(**attrs["result"])) if ended else record
