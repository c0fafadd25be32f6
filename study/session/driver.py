"""The driver: chooses the next trial and handles results. It does not depend on Ray.

All durable state is in the ledger; the driver's own state can be rebuilt from it at any moment.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from refinevad.errors import Stopped
from study.config.study_file import StudyFile
from study.ledger.records import TIMED_OUT, WORKER_DIED, TrialRecord, TrialResult
from study.ledger.writer import Ledger
from study.progress.screen import Screen
from study.search.proposal import ordered_search, propose, pruning_of
from study.trials.checkpoints import Checkpoints
from study.trials.spec import TrialOutcome, TrialSpec

MAX_FAILURES_BEFORE_FIRST_RESULT = 10
"""Number of failed trials that stops a study in which no trial has a result. None is recorded as
failed: the cause is the machine or the study file."""


@dataclass
class _Clock:
    """Start of an attempt: monotonic and wall-clock time, in seconds."""

    monotonic: float = field(default_factory=time.monotonic)
    wall: float = field(default_factory=time.time)


class Driver:
    """Runs a study's trials through a backend, which calls :meth:`next_trial` and reports back.

    Args:
        file: The study file.
        ledger: Open for writing.
        checkpoints: Store of the best trials' weights.
        screen: The progress display.
        in_flight: Trials that may be handed out at once.
    """

    def __init__(
        self,
        file: StudyFile,
        ledger: Ledger,
        checkpoints: Checkpoints,
        screen: Screen,
        *,
        in_flight: int,
    ) -> None:
        self.file = file
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._screen = screen
        self.in_flight = in_flight
        self._distributions = file.distributions()
        self._search = ordered_search(file)
        self._pruning = pruning_of(file)
        self._records = ledger.trials()
        self._waiting: deque[int] = deque()  # to be handed out (again)
        self._running: set[int] = set()
        self._begun: dict[int, _Clock] = {}
        self._deferred_failures: dict[int, TrialResult] = {}  # until some trial has a result
        self._ended = 0
        self._left = time_left(file, self._records)
        self._since: float | None = None  # when the session's first trial was handed out
        self._out_of_time = self._left is not None and self._left <= 0
        for record in self._records:
            self._search.restore(record.params)
            if record.ended:
                self._take(record)
            else:
                self._waiting.append(record.number)

    @property
    def records(self) -> list[TrialRecord]:
        """Every trial proposed so far, by number."""
        return self._records

    @property
    def complete(self) -> bool:
        """Whether every planned trial has its final record."""
        return self._ended >= self.file.study.trials

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run: every planned trial has its final record, or
        ``study.budget`` is used and no trial runs."""
        if not self._out_of_time and self._left is not None and self._since is not None:
            self._out_of_time = time.monotonic() - self._since >= self._left
        return self.complete or (self._out_of_time and not self._running)

    def resize(self, workers: int) -> None:
        """Runs as many trials at once as there are ``workers`` from now on, but at least one."""
        self.in_flight = max(1, workers)
        self._screen.resized(workers)

    def next_trial(self) -> TrialSpec | None:
        """The next trial to run; None when no trial can start yet."""
        if len(self._running) >= self.in_flight or self._out_of_time:
            return None
        if not self._waiting:
            if self._search.next_number >= self.file.study.trials:
                return None
            if not self._search.ready:
                self._screen.window_limits()
                return None
            self._ask()
        number = self._waiting.popleft()
        self._running.add(number)
        self._since = self._since or time.monotonic()
        self._begun[number] = _Clock()
        record = self._records[number]
        return TrialSpec(
            number=number,
            params=record.params,
            seed=record.seed,
            stopping_curve=record.stopping_curve,
            keep_above=self._checkpoints.threshold(),
            whole_gpu=record.whole_gpu,
        )

    def _ask(self) -> None:
        asked = propose(self.file, self._search, self._pruning, self._records)
        record = self._ledger.begin(
            asked.params, self._distributions, seed=asked.seed, stopping_curve=asked.stopping_curve
        )
        self._records.append(record)
        self._waiting.append(record.number)

    def started(self, number: int) -> None:
        """A worker has begun a trial."""
        self._begun[number] = _Clock()
        self._screen.started(self._records[number])

    def progressed(self, number: int, epoch: int, best: float) -> None:
        """A running trial has finished an epoch."""
        self._screen.progressed(number, epoch, best)

    def completed(self, outcome: TrialOutcome) -> None:
        """Records a trial's result, durably before this returns."""
        self._running.discard(outcome.number)
        if self._records[outcome.number].ended:
            return  # exactly one final record
        if outcome.checkpoint is not None:
            self._checkpoints.save(outcome.number, outcome.checkpoint)
        self._finish(outcome.number, outcome.result)
        for number, failure in sorted(self._deferred_failures.items()):
            self._finish(number, failure)
        self._deferred_failures.clear()

    def lost(
        self,
        number: int,
        reason: str,
        *,
        out_of_gpu_memory: bool = False,
        worker: dict[str, str] | None = None,
    ) -> None:
        """Records an attempt that ended without a result: the trial is retried, or has FAILED.

        Raises:
            Stopped: The first trials all failed. The next session retries them.
        """
        self._running.discard(number)
        record = self._records[number]
        if record.ended:
            return
        begun, execution = self._begun[number], self.file.execution
        seconds = time.monotonic() - begun.monotonic
        limit = execution.trial_timeout
        ended_from_outside = reason == WORKER_DIED or reason.startswith("TimeoutError")
        if limit is not None and seconds >= limit and ended_from_outside:
            reason = f"{TIMED_OUT} after {limit:g} s"
        # On a device of its own, before it counts.
        whole_gpu = out_of_gpu_memory and not record.whole_gpu
        if not whole_gpu and record.attempts - record.whole_gpu >= execution.retries:
            result = TrialResult(
                state="FAILED",
                objective=None,
                reason=reason,
                started=begun.wall,
                finished=begun.wall + seconds,
                worker=worker or {},
            )
            if self._has_result():
                self._finish(number, result)
            else:
                self._defer(number, result)
            return
        self._records[number] = self._ledger.lost_attempt(number, reason, whole_gpu=whole_gpu)
        self._screen.lost(self._records[number], reason)
        self._waiting.appendleft(number)

    def _has_result(self) -> bool:
        return any(record.objective is not None for record in self._records)

    def _defer(self, number: int, failure: TrialResult) -> None:
        self._deferred_failures[number] = failure
        self._screen.failed_like_all(self._records[number], failure.reason or "")
        # No more than can be asked without a result.
        left = self.file.study.trials - self._ended
        enough = min(MAX_FAILURES_BEFORE_FIRST_RESULT, self.file.search.window, left)
        if len(self._deferred_failures) >= enough:
            raise Stopped(
                f"the first {enough} trials all failed, the last with: {failure.reason}. None is "
                "recorded as failed; fix this and run the same command to retry them"
            )

    def _finish(self, number: int, result: TrialResult) -> None:
        record = self._ledger.finish(number, result)
        self._records[number] = record
        self._take(record)
        self._screen.ended(record)

    def _take(self, record: TrialRecord) -> None:
        self._ended += 1
        self._search.record(record.number, record.objective, record.cost)
        self._checkpoints.rank(record)


def time_left(file: StudyFile, records: Sequence[TrialRecord]) -> float | None:
    """Seconds of ``study.budget`` that are not used yet; None: there is no budget.

    Used is the time in which at least one trial ran, as the ledger has it.
    """
    if file.study.budget is None:
        return None
    spans = sorted(
        (r.started, r.finished) for r in records if r.started is not None and r.finished is not None
    )
    used, until = 0.0, float("-inf")
    for start, end in spans:
        used += max(0.0, end - max(start, until))
        until = max(until, end)
    return file.study.budget - used
