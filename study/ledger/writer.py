"""The ledger: the one durable truth of a study.

It is one Optuna study in a journal file under ``runs/<study>/`` (``optuna-dashboard`` opens it).
A trial is one line when it is asked (number, parameters, seed, stopping curve), one per attempt
that was lost, and one write when it ends. Every write is on the disk before the call returns.
Only a :class:`Ledger` writes, and it holds the study's lock while it lives; a
:class:`LedgerReader` may read at any time, also beside a running study.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import TrialState

from refinevad.errors import InputError
from refinevad.files import CannotWrite, fsync_folder
from study.config.differences import differences
from study.config.variants import with_seeds_of
from study.ledger.journal import (
    JOURNAL,
    BatchingJournal,
    cut_torn_tail,
    lock_study,
)
from study.ledger.reader import LedgerReader
from study.ledger.records import StudyMeta, TrialRecord, TrialResult, digest, plottable
from study.space.dimension import Params

_OPTUNA_STATES = {
    "COMPLETE": TrialState.COMPLETE,
    "PRUNED": TrialState.PRUNED,
    "FAILED": TrialState.FAIL,
}

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Ledger(LedgerReader):
    """Writes a study's ledger; one process at a time.

    Opening it recovers what a crash left behind: a torn last line is cut off (and kept beside the
    file), and a trial whose result was written but not closed is closed.

    Args:
        folder: ``runs/<study>``; made when absent.
        meta: The study about to run. Against an existing ledger everything that determines the
            results must be equal; a larger ``trials`` extends the study.

    Raises:
        InputError: Another driver holds the study, or the settings differ (the message names
            every difference), or the ledger is damaged in the middle.
        CannotWrite: Here and from every method that writes: nothing more can be written.
    """

    def __init__(self, folder: Path, meta: StudyMeta) -> None:
        self.folder = folder
        self.recovered: str | None = None
        """Message on what recovery repaired; None where nothing was damaged."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(folder, error) from error
        self._handle = lock_study(folder)
        try:
            self._open(meta)
        except BaseException:
            self.close()
            raise

    def _open(self, meta: StudyMeta) -> None:
        path = self.folder / JOURNAL
        self.recovered = cut_torn_tail(path)
        if path.stat().st_size == 0:
            fsync_folder(self.folder)
        self._backend = BatchingJournal(path, self._handle)
        self._attach(self._backend)
        if self._find_study():
            self._continue(meta)
        else:
            self._begin(meta)
        self._close_written()

    def _begin(self, meta: StudyMeta) -> None:
        studies = self._storage.get_all_studies()
        self._study_id = (
            self._storage.get_study_id_from_name(studies[0].study_name)
            if studies
            else self._storage.create_new_study([StudyDirection.MAXIMIZE], meta.name)
        )
        with self._backend.batch():  # all or nothing: `meta` comes last
            self._name_objective(meta)
            self._storage.set_study_user_attr(self._study_id, "trials", meta.trials)
            self._storage.set_study_user_attr(self._study_id, "meta", asdict(meta))
        self._load_meta()

    def _name_objective(self, meta: StudyMeta) -> None:
        """Names the objective as optuna-dashboard shows it."""
        shown = optuna.load_study(study_name=meta.name, storage=self._storage)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            shown.set_metric_names([f"{meta.metric} on {meta.split}"])

    def _continue(self, meta: StudyMeta) -> None:
        if not self._storage.get_all_trials(self._study_id, deepcopy=False):
            # Nothing depends on the settings yet: take the new ones.
            self._begin(replace(meta, uid=self.meta.uid))
            return
        old, new = self.meta, meta
        changes = differences(old.determinants, with_seeds_of(new.determinants, old.determinants))
        was, now = _variants(old), _variants(new)
        if was != now and sorted(was) == sorted(now):  # a trial's number says which it is
            changes.append(f"the order of variants: was {', '.join(was)}, is {', '.join(now)}")
        if old.fingerprint != new.fingerprint:
            changes.append(
                f"the data: fingerprint was {old.fingerprint[:12]}, is {new.fingerprint[:12]}"
            )
        if changes:
            raise InputError(
                f"{self.folder}: this study was begun with other settings; restore them, or give "
                "the study a new name (--set study.name=…). Changed:\n"
                + "\n".join(f"  {change}" for change in changes)
            )
        asked = len(self._storage.get_all_trials(self._study_id, deepcopy=False))
        if new.trials < asked:
            raise InputError(
                f"{self.folder}: trials = {new.trials}, but {asked} trials were already proposed; "
                f"{_at_least(asked, len(now))}, or give the study a new name "
                "(--set study.name=…)"
            )
        if new.trials != old.trials:
            self._storage.set_study_user_attr(self._study_id, "trials", new.trials)
        if new.versions != self._attribute("versions", old.versions):  # of the trials from here on
            self._storage.set_study_user_attr(self._study_id, "versions", new.versions)
        self._load_meta()

    @property
    def gpu_sharing(self) -> dict[str, Any] | None:
        """Measurement of GPU sharing by an earlier session; None without one."""
        found: dict[str, Any] | None = self._attribute("packing", None)
        return found

    @gpu_sharing.setter
    def gpu_sharing(self, content: dict[str, Any]) -> None:
        self._storage.set_study_user_attr(self._study_id, "packing", content)

    def _attribute(self, name: str, default: Any) -> Any:
        return self._storage.get_study_user_attrs(self._study_id).get(name, default)

    def _close_written(self) -> None:
        """A crash between a trial's result and its state leaves the trial open: close it."""
        for trial in self._storage.get_all_trials(self._study_id, deepcopy=False):
            if not trial.state.is_finished() and "result" in trial.user_attrs:
                self._close_trial(trial.number, TrialResult(**trial.user_attrs["result"]))

    def begin(
        self,
        params: Params,
        distributions: dict[str, BaseDistribution],
        *,
        seed: int,
        stopping_curve: list[float] | None,
        inherited: str | None = None,
    ) -> TrialRecord:
        """Records that the next trial was proposed, or taken over from another study."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs={"seed": seed, "stopping_curve": stopping_curve}
            | ({} if inherited is None else {"inherited": inherited}),
        )
        trial_id = self._storage.create_new_trial(self._study_id, template)
        trial = self._storage.get_trial(trial_id)
        trial.distributions = distributions  # one object for all: Optuna has read its own copy
        return self._record(trial)

    def lost_attempt(self, number: int, reason: str, *, whole_gpu: bool = False) -> TrialRecord:
        """Records that an attempt ended without a result and the trial will be retried, with
        ``whole_gpu`` on a whole GPU."""
        trial_id = self._trial_id(number)
        attempts = self._storage.get_trial(trial_id).user_attrs.get("attempts", [])
        entry = {"time": time.time(), "reason": reason} | ({"alone": True} if whole_gpu else {})
        self._storage.set_trial_user_attr(trial_id, "attempts", [*attempts, entry])
        return self._record(self._storage.get_trial(trial_id))

    def finish(self, number: int, result: TrialResult) -> TrialRecord:
        """Writes a trial's only final record; a second one for the same trial changes nothing."""
        trial_id = self._trial_id(number)
        trial = self._storage.get_trial(trial_id)
        if not trial.state.is_finished():
            with self._backend.batch():
                self._storage.set_trial_user_attr(trial_id, "result", asdict(result))
                for name, value in plottable(result.metrics).items():
                    self._storage.set_trial_user_attr(trial_id, name, value)
                self._close_trial(number, result)
        return self._record(self._storage.get_trial(trial_id))

    def _close_trial(self, number: int, result: TrialResult) -> None:
        trial_id = self._trial_id(number)
        for row in result.curve:  # for optuna-dashboard
            self._storage.set_trial_intermediate_value(
                trial_id, int(row["epoch"]), float(row["objective"])
            )
        values = None if result.objective is None else [result.objective]
        self._storage.set_trial_state_values(trial_id, _OPTUNA_STATES[result.state], values)

    def seal(self) -> None:
        """Seals the ledger at the end of a session, for `study.verify`.

        A seal holds the digest of the ended trials and the hash of every byte before it: the file
        is only appended to. The trials that had ended follow from the seal's position.
        """
        name = digest(self.trials())
        if name == self._attribute("seal", {}).get("digest"):
            return
        content = (self.folder / JOURNAL).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        seal = {"time": time.time(), "digest": name, "bytes": len(content), "sha256": sha256}
        self._storage.set_study_user_attr(self._study_id, "seal", seal)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def close(self) -> None:
        """Releases the study for another driver."""
        os.close(self._handle)


def _at_least(asked: int, variants: int) -> str:
    """How to ask for no fewer than ``asked`` trials."""
    if variants:
        return f"give --set seeds={math.ceil(asked / variants)} or more"
    return f"give --trials {asked} or more"


def _variants(meta: StudyMeta) -> list[str]:
    """Names of a comparison study's variants, in the order of its file; none of a search."""
    found = meta.config.get("variants") or meta.config.get("arms")
    return list(found) if isinstance(found, dict) else []
