"""The interface of a backend: who runs a study's trials, and what it needs of a driver."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from study.trials.runs import Runs, StoreSource
from study.trials.spec import TrialOutcome, TrialSpec

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.backend.interrupt import Interrupt
    from study.config.sections import ExecutionSection
    from study.config.study_file import StudyFile
    from study.ledger.writer import Ledger


class TrialSource(Protocol):
    """Hands out trials and takes their results (``study.session.driver.Driver``).

    A backend calls it from one thread. Every trial that was handed out comes back once, by
    :meth:`completed` or :meth:`lost`, unless the session is interrupted.
    """

    in_flight: int
    """Trials that may be handed out at once."""

    @property
    def finished(self) -> bool:
        """Whether every planned trial has its final record."""

    def next_trial(self) -> TrialSpec | None:
        """The next trial to run, or None: not yet."""

    def started(self, number: int) -> None:
        """A worker has begun a trial."""

    def progressed(self, number: int, epoch: int, best: float) -> None:
        """A running trial has come to the end of an epoch."""

    def completed(self, outcome: TrialOutcome) -> None:
        """A trial has its result: durable before this returns."""

    def lost(
        self,
        number: int,
        reason: str,
        *,
        out_of_gpu_memory: bool = False,
        worker: dict[str, str] | None = None,
    ) -> None:
        """An attempt ended without a result."""

    def resize(self, workers: int) -> None:
        """There is room for ``workers`` trials at once from now on."""


class Backend(ABC):
    """Runs a session's trials: :meth:`start`, then the rest, then :meth:`stop`."""

    @abstractmethod
    def require(self) -> None:
        """Checks what can be checked before anything is written.

        Raises:
            InputError: The backend cannot be used as the user asked for.
        """

    @abstractmethod
    def workers(self, threads: int) -> int:
        """Trials at once where the user gives no number, as far as is known before the start."""

    @abstractmethod
    def start(self, *, workers: int, threads: int) -> None:
        """Starts or joins what trials run on.

        Args:
            workers: Trials at once.
            threads: CPU threads of one trial.

        Raises:
            InputError: It cannot be joined.
            Stopped: It cannot be started.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stops what :meth:`start` started; may be called when nothing was."""

    @abstractmethod
    def has_gpu(self) -> bool:
        """Whether there is a GPU that trials can run on."""

    @abstractmethod
    def store_source(self, store: Store) -> StoreSource:
        """How a worker opens the packed store."""

    @abstractmethod
    def gpu_share(
        self,
        file: StudyFile,
        ledger: Ledger,
        runs: Runs,
        *,
        workers: int | None,
        say: Callable[[str], None],
    ) -> float:
        """The share of a GPU that one trial takes under ``execution.gpu: auto``."""

    @abstractmethod
    def room(self, *, threads: int, gpu: float) -> int:
        """Trials of ``threads`` CPUs and ``gpu`` GPUs each that can run at once now."""

    @abstractmethod
    def watched(
        self, interrupt: Interrupt, before_exit: Callable[[], None]
    ) -> AbstractContextManager[object]:
        """A block in which the end of the backend's own processes ends this process with a line.

        Args:
            interrupt: Whether the user has asked to stop.
            before_exit: Called first, to leave the terminal in order.
        """

    @abstractmethod
    def run(
        self,
        source: TrialSource,
        runs: Runs,
        interrupt: Interrupt,
        *,
        execution: ExecutionSection,
        gpu: float,
        follow: bool = False,
    ) -> None:
        """Runs trials until the source has finished or ``interrupt`` is requested.

        Args:
            source: Hands out trials and takes their results.
            runs: Starts a trial's run on a worker.
            interrupt: Asked between any two events.
            execution: Threads and time limit of a trial.
            gpu: Share of a GPU that one trial takes.
            follow: As many trials at once as there is room for, which may grow and shrink.

        Raises:
            DamagedStore: The data changed under the study.
            Exception: What the source raised; the trials that ran then will run again.
        """


def default_workers(threads: int) -> int:
    """Trials of ``threads`` threads that the cores this process may use can run at once."""
    if hasattr(os, "sched_getaffinity"):  # a container or `taskset` may have given it fewer
        return max(1, len(os.sched_getaffinity(0)) // threads)
    return max(1, (os.cpu_count() or 1) // threads)


def reason_of(error: BaseException) -> tuple[str, bool]:
    """A lost attempt in one line, and whether a GPU's memory was too small."""
    lines = str(error).strip().splitlines()
    line = ": ".join([type(error).__name__, *lines[-1:]])
    return line[:300], "OutOfMemoryError" in type(error).__name__
