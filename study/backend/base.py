"""The interfaces of a backend, which runs a study's trials, and of the driver it calls."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
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

    A backend calls it from one thread. It returns every trial that was handed out exactly once, by
    :meth:`completed` or :meth:`lost`, unless the session is interrupted.
    """

    in_flight: int
    """Trials that may be handed out at once."""

    @property
    def finished(self) -> bool:
        """Whether every planned trial has its final record."""

    def next_trial(self) -> TrialSpec | None:
        """The next trial to run; None when no trial can start yet."""

    def started(self, number: int) -> None:
        """A worker has begun a trial."""

    def progressed(self, number: int, epoch: int, best: float) -> None:
        """A running trial has finished an epoch."""

    def completed(self, outcome: TrialOutcome) -> None:
        """A trial has its result, which is durable before this returns."""

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
        """From now on there is room for ``workers`` trials at once."""


class Backend(ABC):
    """Runs a session's trials: :meth:`start`, then the rest, then :meth:`stop`."""

    @abstractmethod
    def require(self) -> None:
        """Checks the backend before anything is written.

        Raises:
            InputError: The backend cannot be used with the user's flags.
        """

    @abstractmethod
    def workers(self, threads: int) -> int:
        """Default number of trials at once, as far as it is known before the start."""

    @abstractmethod
    def start(self, *, workers: int, threads: int) -> None:
        """Starts the workers' processes, or joins a cluster.

        Args:
            workers: Trials at once.
            threads: CPU threads of one trial.

        Raises:
            InputError: The cluster cannot be joined.
            Stopped: The processes cannot be started.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stops the processes that :meth:`start` started; does nothing without them."""

    @abstractmethod
    def has_gpu(self) -> bool:
        """Whether there is a GPU that trials can run on."""

    @abstractmethod
    def store_source(self, store: Store) -> StoreSource:
        """The source from which a worker opens the packed store."""

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
            interrupt: The user's request to stop.
            before_exit: Called first, to restore the terminal.
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
            interrupt: The user's request to stop, checked between events.
            execution: Threads and time limit of a trial.
            gpu: Share of a GPU that one trial takes.
            follow: True: adapt the number of trials at once to the room in the cluster.

        Raises:
            DamagedStore: The data changed under the study.
            Exception: An error of the source. The next session runs the running trials again.
        """


def doubling(most: int) -> Iterator[int]:
    """1, 2, 4, … and ``most``."""
    count = 1
    while count < most:
        yield count
        count *= 2
    yield most


def default_workers(threads: int) -> int:
    """Number of trials of ``threads`` threads that fit on the cores of this process."""
    if hasattr(os, "sched_getaffinity"):  # a container or `taskset` may have given it fewer
        cores = float(len(os.sched_getaffinity(0)))
    else:
        cores = float(os.cpu_count() or 1)
    return max(1, int(min(cores, cpu_quota()) // threads))


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores that the control groups of this process allow (``docker --cpus``, Kubernetes' limits);
    infinity where there is no limit.

    Args:
        root: Where control groups are mounted, version 1 or 2.
        own: Which this process is in.
    """
    places = [root, root / "cpu", root / "cpu,cpuacct"]
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            base = root if not controllers else root / controllers
            for parent in [base / path.lstrip("/"), *(base / path.lstrip("/")).parents]:
                if parent.is_relative_to(base):
                    places.append(parent)
    limits = [math.inf]
    for place in places:
        with suppress(OSError, ValueError):
            quota, period = (place / "cpu.max").read_text().split()
            limits.append(int(quota) / int(period))  # "max": a ValueError
        with suppress(OSError, ValueError):
            quota_us = int((place / "cpu.cfs_quota_us").read_text())
            period_us = int((place / "cpu.cfs_period_us").read_text())
            if quota_us > 0:
                limits.append(quota_us / period_us)
    return min(limits)


def reason_of(error: BaseException) -> tuple[str, bool]:
    """The error of a lost attempt in one line, and whether a GPU ran out of memory."""
    lines = str(error).strip().splitlines()
    line = ": ".join([type(error).__name__, *lines[-1:]])
    return line[:300], "OutOfMemoryError" in type(error).__name__
