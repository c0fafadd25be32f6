"""The progress display of a running study: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from study.ledger.records import TrialRecord
from study.progress.forecast import format_forecast
from study.progress.tally import Tally
from study.text import plain


class Screen(ABC):
    """Shows a running study. The driver calls it; it never asks the user anything."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally = tally
        self.console = console
        self._said_window_limits = False
        self._last = 0.0
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self.console.show_cursor()

    def restore(self, records: list[TrialRecord]) -> None:
        """Counts the trials of earlier sessions without printing them."""
        for record in records:
            if record.ended:
                self.tally.count(record)
        self.tally.resumed = self.tally.ended

    def started(self, record: TrialRecord) -> None:
        """A trial has begun on a worker."""
        if not self.tally.epochs and self.tally.ended == self.tally.resumed:
            self.tally.begin()
        self.tally.start(record.number)

    def progressed(self, number: int, epoch: int, best: float) -> None:
        """A running trial has finished an epoch."""
        self.tally.epochs[number] = (epoch, best)

    def ended(self, record: TrialRecord) -> None:
        """A trial has its final record."""
        self.tally.count(record)
        if time.monotonic() - self._last < 1 and self.tally.ended < self.tally.trials:
            self._held += 1  # a line a second is read, more are not
            return
        more = f" (and {self._held} more)" if self._held else ""
        self._held = 0
        self._last = time.monotonic()
        self._show_ended(describe(record) + more)

    def lost(self, record: TrialRecord, reason: str) -> None:
        """An attempt was lost; the trial will be retried."""
        self.tally.stop(record.number)
        self.tally.last_failure = f"trial {record.number}: {reason} (will be retried)"
        self.note(f"trial {record.number} lost an attempt and will be retried: {reason}")

    def resized(self, workers: int) -> None:
        """The cluster now has room for ``workers`` trials at once."""
        if workers == self.tally.workers:
            return
        self.tally.resize(workers)
        room = f"{workers} worker{'' if workers == 1 else 's'}" if workers else "no worker"
        self.note(f"the cluster has room for {room} now")

    def failed_like_all(self, record: TrialRecord, reason: str) -> None:
        """A trial has failed, and no trial has a result yet."""
        self.tally.stop(record.number)
        self.tally.last_failure = f"trial {record.number}: {reason}"
        self.note(f"trial {record.number} failed, and no trial has a result yet: {reason}")

    def window_limits(self) -> None:
        """A worker is idle because the next trial needs the result of an earlier one."""
        if len(self.tally.epochs) < self.tally.workers and not self._said_window_limits:
            self._said_window_limits = True
            self.note(
                "Workers are idle: search.window is too small. In a new study, set it to at least "
                f"{4 * self.tally.workers} for {self.tally.workers} workers"
            )

    def note(self, text: str) -> None:
        """Prints one line for the user."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    @abstractmethod
    def _show_ended(self, text: str) -> None:
        """Shows a line on a trial that has ended; called at most once a second."""


class PlainScreen(Screen):
    """Prints a line per ended trial: at most one a second, at least one every 30 seconds."""

    def progressed(self, number: int, epoch: int, best: float) -> None:
        super().progressed(number, epoch, best)
        if time.monotonic() - self._last >= 30:
            running = ", ".join(
                f"{n} (epoch {e})" for n, (e, _) in sorted(self.tally.epochs.items())
            )
            self._line(f"running: {running}")

    def _show_ended(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        best = f", best {self.tally.best.objective:.4f}" if self.tally.best else ""
        left = self.tally.left()
        more = f", left {format_forecast(left)}" if left and left.seconds else ""
        self.note(f"[{self.tally.ended}/{self.tally.trials}]{best}{more} | {text}")


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A progress bar for commands that run no study; on a terminal only, removed at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
    bar.disable = not console.is_terminal
    with bar:
        yield bar


def describe(record: TrialRecord) -> str:
    """An ended trial in one line."""
    seconds = f" in {record.duration_s:.1f} s" if record.duration_s is not None else ""
    if record.state == "FAILED":
        return f"trial {record.number} FAILED: {record.reason}"
    what = "diverged" if record.diverged else f"{record.objective:.4f}"
    state = " pruned" if record.state == "PRUNED" else ""
    epochs = f" (epoch {record.selected_epoch} of {len(record.curve)})"
    return f"trial {record.number}{state} {what}{epochs}{seconds}: {plain(record.params)}"
