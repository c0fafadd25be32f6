"""The runner of one trial, on any machine."""

from __future__ import annotations

import os
import socket
import time

from study.ledger.records import TrialResult
from study.trials.runs import Runs
from study.trials.spec import TrialOutcome, TrialSpec


class TrialRunner:
    """Advances one trial in slices of about a second and returns its outcome."""

    def __init__(self, runs: Runs, spec: TrialSpec) -> None:
        self.spec = spec
        self._runs = runs
        self._started = time.time()
        self._clock = time.monotonic()
        self._run = runs(spec)
        self.epoch = 0
        self.best = float("-inf")

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self._run.done

    def advance(self, seconds: float = 1.0) -> None:
        """Runs whole epochs until ``seconds`` have passed or the run ends."""
        deadline = time.monotonic() + seconds
        while not self._run.done:
            record = self._run.run_epoch()
            self.epoch, self.best = record.epoch, max(self.best, record.objective)
            if time.monotonic() >= deadline:
                break

    def outcome(self) -> TrialOutcome:
        """The final record of the ended run, with its checkpoint if that may be kept."""
        run = self._run.result()
        self._runs.check()
        checkpoint = None
        threshold = self.spec.keep_above
        if threshold is not None and not run.diverged and run.objective >= threshold:
            checkpoint = self._runs.checkpoint(self.spec, run)
        result = TrialResult(
            state="PRUNED" if run.state == "pruned" else "COMPLETE",
            objective=run.objective,
            diverged=run.diverged,
            selected_epoch=run.selected_epoch,
            last_objective=run.last_objective,
            curve=[{"epoch": r.epoch, "objective": r.objective} | r.metrics for r in run.curve],
            metrics={f"selected/{k}": v for k, v in run.selected.items()}
            | {f"last/{k}": v for k, v in run.last.items()}
            | dict(run.cost),
            started=self._started,
            finished=self._started + time.monotonic() - self._clock,
            worker=run.hardware | {"host": socket.gethostname(), "pid": str(os.getpid())},
        )
        return TrialOutcome(self.spec.number, result, checkpoint)
