"""Training runs of a study's trials on a packed store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from refinevad.errors import InputError
from study.config.study_file import StudyFile
from study.config.variants import REPLICATE
from study.trials.checkpoints import checkpoint_path
from study.trials.spec import TrialSpec

if TYPE_CHECKING:
    from refinevad.data import Store
    from refinevad.data.store import DamagedStore, Stamp
    from refinevad.models.base import Detector
    from refinevad.models.checkpoint import Meta
    from refinevad.training.run import EpochRecord, RunResult


class Run(Protocol):
    """A run that can be advanced epoch by epoch (``refinevad.training.run.TrainingRun``)."""

    @property
    def done(self) -> bool: ...
    def run_epoch(self) -> EpochRecord: ...
    def result(self) -> RunResult: ...


class Runs(Protocol):
    """Starts the runs of trials; pickled to the workers."""

    def __call__(self, spec: TrialSpec) -> Run: ...
    def checkpoint(self, spec: TrialSpec, run: RunResult) -> bytes | None:
        """The selected epoch's weights, or None where there is nothing to keep."""

    def check(self) -> None:
        """Raises an error if the data are no longer those that the study began with."""


class StoreSource(Protocol):
    """A way for a worker process to open the packed store; picklable and hashable."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data that the study began with."""

    def __hash__(self) -> int: ...
    def open(self) -> Store:
        """The store.

        Raises:
            DamagedStore: It is not, or no longer, the store that the study began with.
        """


@dataclass(frozen=True)
class LocalStore:
    """A packed store in a folder that every worker sees."""

    path: Path
    fingerprint: str
    stamp: Stamp
    """Sizes and times of the files when their content was checked against the fingerprint."""

    @classmethod
    def of(cls, store: Store) -> LocalStore:
        """The source of an open store."""
        return cls(store.path.resolve(), store.fingerprint, store.stamp)

    def open(self) -> Store:
        """The store, if its files are unchanged.

        Raises:
            DamagedStore: The files have changed.
        """
        from refinevad.data.store import open_store

        store = open_store(self.path)
        if store.stamp != self.stamp:
            raise changed_store(self.path)
        return store


def changed_store(path: Path) -> DamagedStore:
    """The error for a packed store that was written to while a study ran."""
    from refinevad.data.store import DamagedStore

    return DamagedStore(
        f"the packed store {path} changed while the study ran. Finished trials are saved; run the "
        "same command again: it resumes, or names the differences"
    )


@dataclass(frozen=True)
class DetectorRuns:
    """Runs of a study's detector on a packed store, which each worker process opens once."""

    file: StudyFile
    store: StoreSource
    device: Literal["cpu", "cuda"]

    def __call__(self, spec: TrialSpec) -> Run:
        from refinevad.models.checkpoint import require_widths
        from refinevad.training.run import start_run
        from refinevad.training.zero_shot import ZeroShotRun

        self.check()
        start, pruning = self.file.start_of(spec.params), self.file.pruning
        source, meta = (None, None) if start == "scratch" else self._source(spec)
        if source is not None and meta is not None:
            require_widths(meta, self._open().widths)
            if start == "zero_shot":
                return ZeroShotRun(
                    self._open(),
                    source,
                    meta,
                    self.file.trial_config(spec.params),
                    split_seed=self.file.split_seed,
                    objective=self.file.objective,
                    runtime=self.file.execution.runtime(self.device),
                )
        return start_run(
            self._open(),
            self.file.trial_config(spec.params),
            seed=spec.seed,
            split_seed=self.file.split_seed,
            objective=self.file.objective,
            runtime=self.file.execution.runtime(self.device),
            stopping_curve=spec.stopping_curve,
            warmup_epochs=pruning.spared_epochs if pruning else 0,
            frozen_from=source,
        )

    def _source(self, spec: TrialSpec) -> tuple[Detector, Meta]:
        """The model of another data set from which a trial begins."""
        from refinevad.models.checkpoint import loads

        assert self.file.source is not None, "the study file was checked"
        replicate = spec.params[REPLICATE]
        path = checkpoint_path(Path(self.file.source.checkpoints), replicate)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
        known = self.file.source.sha256[replicate : replicate + 1]  # a ledger keeps the first ones
        if known and hashlib.sha256(content).hexdigest() != known[0]:
            raise InputError(
                f"{path}: not the checkpoint that the study began with; restore that file"
            )
        return loads(content, source=str(path))

    def checkpoint(self, spec: TrialSpec, run: RunResult) -> bytes | None:
        from refinevad.models.checkpoint import dumps

        if run.model_state is None:
            return None
        store, categories = self._open(), None
        if self.file.start_of(spec.params) != "scratch":
            categories = self._source(spec)[1].categories
        return dumps(
            run.model_state,
            model=run.model,
            categories=categories or store.categories,
            widths=store.widths,
            extra={
                "study": self.file.study.name,
                "trial": spec.number,
                "params": spec.params,
                "seed": spec.seed,
                "fingerprint": self.store.fingerprint,
                "selected_epoch": run.selected_epoch,
                "selection": run.selection,
                "segments": self.file.data.segments,
                "test_length": self.file.data.test_length,
                **({} if self.file.data.synthetic is None else {"synthetic": True}),
            },
        )

    def check(self) -> None:
        """Checks that the store is unchanged.

        Raises:
            DamagedStore: The store was written to, so that results are no longer the study's.
        """
        self._open().check_unchanged()

    def _open(self) -> Store:
        return _open(self.store)


@lru_cache(maxsize=1)
def _open(source: StoreSource) -> Store:
    store = source.open()
    if store.fingerprint != source.fingerprint:
        raise changed_store(store.path)
    return store
