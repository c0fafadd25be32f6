"""Counts and clocks of a running study."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from study.ledger.records import TrialRecord
from study.progress.forecast import Forecast, Forecaster

_SETTLED = 60.0
"""Seconds after which the workers' busy share is meaningful."""


@dataclass
class Tally:
    """Counts and clocks of a study, as a screen shows them."""

    trials: int
    workers: int
    metric: str
    """Description of the objective: ``ap on val``."""
    ended: int = 0
    resumed: int = 0
    """Trials that had ended before this session."""
    pruned: int = 0
    diverged: int = 0
    failed: int = 0
    forecaster: Forecaster | None = None
    best: TrialRecord | None = None
    last_failure: str | None = None
    epochs: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Running trial -> epochs done, best objective so far."""
    begun: float = field(default_factory=time.monotonic)
    _since: dict[int, float] = field(default_factory=dict)
    _busy: float = 0.0
    _offered: float = 0.0
    _resized: float = field(default_factory=time.monotonic)

    def start(self, number: int) -> None:
        self.epochs[number] = (0, -math.inf)
        self._since[number] = time.monotonic()

    def stop(self, number: int) -> None:
        self.epochs.pop(number, None)
        if number in self._since:
            self._busy += time.monotonic() - self._since.pop(number)

    def count(self, record: TrialRecord) -> None:
        """Takes in an ended trial."""
        self.stop(record.number)
        self.ended += 1
        if self.forecaster is not None:
            self.forecaster.take(record)
        self.pruned += record.state == "PRUNED"
        self.diverged += record.diverged
        if record.state == "FAILED":
            self.failed += 1
            self.last_failure = f"trial {record.number}: {record.reason}"
        elif not record.diverged and record.objective is not None:
            best = self.best.objective if self.best else None
            if best is None or record.objective > best:
                self.best = record

    def begin(self) -> None:
        """Starts the clocks, so that the workers' start-up does not count as idle time."""
        self.begun = self._resized = time.monotonic()
        self._offered = 0.0

    def resize(self, workers: int) -> None:
        """Changes the number of workers from now on."""
        now = time.monotonic()
        self._offered += (now - self._resized) * self.workers
        self.workers, self._resized = workers, now

    def busy_percent(self) -> float:
        """Share of the workers' time, in percent, that trials have used since the first began."""
        now = time.monotonic()
        running = sum(now - since for since in self._since.values())
        total = self._offered + (now - self._resized) * self.workers
        return min(100.0, 100.0 * (self._busy + running) / total) if total > 0 else 0.0

    def left(self) -> Forecast | None:
        """Forecast of the time to the end of the study; None before the first measured trial."""
        if self.forecaster is None or not self.workers:
            return None
        now = time.monotonic()
        busy = self.busy_percent() / 100 if now - self.begun > _SETTLED else 1.0
        running = {number: now - since for number, since in self._since.items()}
        return self.forecaster.left(self.workers * busy, running)
