"""The serial backend: trials one after another in this process, for notebooks, debuggers and tests.

The driver is the same, and so is the digest. There is no isolation: a trial that hangs, or that the
kernel kills, ends the session too (the same command resumes it).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from refinevad.data.store import DamagedStore
from study.backend.base import Backend, TrialSource, reason_of
from study.trials.runner import TrialRunner
from study.trials.runs import LocalStore, Runs, StoreSource
from study.trials.spec import TrialOutcome, TrialSpec
from study.trials.time_limit import TimeLimit

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.backend.interrupt import Interrupt
    from study.config.sections import ExecutionSection
    from study.config.study_file import StudyFile
    from study.ledger.writer import Ledger


class SerialBackend(Backend):
    """Runs one trial at a time where the session runs."""

    def require(self) -> None:
        pass

    def workers(self, threads: int) -> int:
        return 1

    def start(self, *, workers: int, threads: int) -> None:
        pass

    def stop(self) -> None:
        pass

    def has_gpu(self) -> bool:
        import torch

        return torch.cuda.is_available()

    def store_source(self, store: Store) -> StoreSource:
        return LocalStore.of(store)

    def gpu_share(
        self,
        file: StudyFile,
        ledger: Ledger,
        runs: Runs,
        *,
        workers: int | None,
        say: Callable[[str], None],
    ) -> float:
        return 1.0

    def room(self, *, threads: int, gpu: float) -> int:
        return 1

    def watched(
        self, interrupt: Interrupt, before_exit: Callable[[], None]
    ) -> AbstractContextManager[object]:
        return nullcontext()

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
        while not (source.finished or interrupt.requested):
            spec = source.next_trial()
            if spec is None:
                raise RuntimeError("no trial is running, and none may be begun")
            source.started(spec.number)
            found = _run_trial(source, runs, spec, interrupt, execution)
            if isinstance(found, TrialOutcome):
                source.completed(found)
            elif found is not None:
                runs.check()  # no trial is to blame where the data changed under it
                reason, gpu_memory = reason_of(found)
                source.lost(spec.number, reason, out_of_gpu_memory=gpu_memory)


def _run_trial(
    source: TrialSource,
    runs: Runs,
    spec: TrialSpec,
    interrupt: Interrupt,
    execution: ExecutionSection,
) -> TrialOutcome | Exception | None:
    """The outcome of a trial, or the error it ended with; None where the user stopped it.

    A trial that computes longer than ``execution.trial_timeout``, looked at between epochs, ends
    with a TimeoutError. Errors of ``source`` are not a trial's, and are raised.

    Raises:
        DamagedStore: The data changed under the study.
    """
    limit = TimeLimit(execution.trial_timeout, execution.threads)
    runner: TrialRunner | None = None
    while not interrupt.requested:
        try:
            runner = runner or TrialRunner(runs, spec)
            if limit.reached:
                return TimeoutError(f"longer than {limit.seconds:g} s")
            runner.advance()
            if runner.done:
                return runner.outcome()
        except DamagedStore:
            raise
        except Exception as error:
            return error
        source.progressed(spec.number, runner.epoch, runner.best)
    return None
