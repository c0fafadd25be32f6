"""What a user sees while a study runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from study.config.study_file import Params
from study.ledger.records import TrialRecord
from study.progress.forecast import Forecast, Forecaster

_SETTLED = 60.0
"""Seconds after which the share of the time that workers were busy says something."""


@dataclass
class Tally:
    """Counts and clocks of a study, as far as a screen shows them."""

    trials: int
    workers: int
    metric: str
    """What the objective is, in words: ``ap on val``."""
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
        """The clocks run from now on: the workers' start-up is not their idleness."""
        self.begun = self._resized = time.monotonic()
        self._offered = 0.0

    def resize(self, workers: int) -> None:
        """Takes in that there are more or fewer workers from now on."""
        now = time.monotonic()
        self._offered += (now - self._resized) * self.workers
        self.workers, self._resized = workers, now

    def busy_percent(self) -> float:
        """Share of the workers' time since the first trial that trials ran in."""
        now = time.monotonic()
        running = sum(now - since for since in self._since.values())
        total = self._offered + (now - self._resized) * self.workers
        return min(100.0, 100.0 * (self._busy + running) / total) if total > 0 else 0.0

    def left(self) -> Forecast | None:
        """Time to the end of the study; None: no trial has said anything yet."""
        if self.forecaster is None or not self.workers:
            return None
        now = time.monotonic()
        busy = self.busy_percent() / 100 if now - self.begun > _SETTLED else 1.0
        running = {number: now - since for number, since in self._since.items()}
        return self.forecaster.left(self.workers * busy, running)


class Screen(ABC):
    """Shows a study. The driver calls; nothing is ever asked."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally = tally
        self.console = console
        self._said_window_limits = False

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
        """Takes in what earlier sessions ran, without a word."""
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
        """A running trial has ended an epoch."""
        self.tally.epochs[number] = (epoch, best)

    def ended(self, record: TrialRecord) -> None:
        """A trial has its final record."""
        self.tally.count(record)
        self._show_ended(record)

    def lost(self, record: TrialRecord, reason: str) -> None:
        """An attempt was lost; the trial will run again."""
        self.tally.stop(record.number)
        self.tally.last_failure = f"trial {record.number}: {reason} (runs again)"
        self.note(f"trial {record.number} lost an attempt and runs again: {reason}")

    def resized(self, workers: int) -> None:
        """The cluster has room for ``workers`` trials at once now."""
        if workers == self.tally.workers:
            return
        self.tally.resize(workers)
        room = f"{workers} worker{'' if workers == 1 else 's'}" if workers else "no worker at all"
        self.note(f"the cluster has room for {room} now")

    def failed_like_all(self, record: TrialRecord, reason: str) -> None:
        """A trial has failed, and no trial has a result yet."""
        self.tally.stop(record.number)
        self.tally.last_failure = f"trial {record.number}: {reason}"
        self.note(f"trial {record.number} failed, and no trial has a result yet: {reason}")

    def window_limits(self) -> None:
        """The next trial waits for an earlier one's result while a worker is free."""
        if len(self.tally.epochs) < self.tally.workers and not self._said_window_limits:
            self._said_window_limits = True
            self.note(
                "the window limits the workers: a worker waits for the result of an earlier trial;"
                f" {self.tally.workers} workers want search.window >= {4 * self.tally.workers}"
            )

    def note(self, text: str) -> None:
        """One line the user should read."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    @abstractmethod
    def _show_ended(self, record: TrialRecord) -> None: ...


class PlainScreen(Screen):
    """One line per ended trial, at most one a second, and one every 30 seconds at least."""

    _last = 0.0
    _held = 0

    def progressed(self, number: int, epoch: int, best: float) -> None:
        super().progressed(number, epoch, best)
        if time.monotonic() - self._last >= 30:
            running = ", ".join(
                f"{n} (epoch {e})" for n, (e, _) in sorted(self.tally.epochs.items())
            )
            self._line(f"running: {running}")

    def _show_ended(self, record: TrialRecord) -> None:
        if time.monotonic() - self._last < 1 and self.tally.ended < self.tally.trials:
            self._held += 1
            return
        more = f" (and {self._held} more)" if self._held else ""
        self._held = 0
        self._line(describe(record) + more)

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        best = f", best {self.tally.best.objective:.4f}" if self.tally.best else ""
        left = self.tally.left()
        more = f", {interval(left)} left" if left and left.seconds else ""
        self.note(f"[{self.tally.ended}/{self.tally.trials}]{best}{more} | {text}")


class LiveScreen(Screen):
    """A live view: progress, running trials, best so far, counts, where things are."""

    def __init__(self, tally: Tally, console: Console, places: dict[str, str]) -> None:
        super().__init__(tally, console)
        self._places = places
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[eta]}"),
            console=console,
        )
        self._eta, self._foretold = "?", -math.inf
        self._task = self._bar.add_task("trials", total=tally.trials, eta=self._eta)
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        self._live.console.print(text, highlight=False, markup=False)

    def _show_ended(self, record: TrialRecord) -> None:
        pass  # the next refresh shows it

    def _render(self) -> RenderableType:
        tally = self.tally
        if time.monotonic() >= self._foretold + 1:
            left = tally.left()
            self._eta = interval(left) if left else "?"
            self._foretold = time.monotonic()
        self._bar.update(self._task, completed=tally.ended, eta=self._eta)
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim")
        facts.add_column(overflow="fold")
        best = tally.best
        facts.add_row(
            f"best {tally.metric}",
            Text(
                f"{best.objective:.4f}  trial {best.number}: {plain(best.params)}" if best else "–"
            ),
        )
        running = [
            f"{n}: epoch {epoch}" + (f", {value:.3f}" if math.isfinite(value) else "")
            for n, (epoch, value) in sorted(tally.epochs.items())
        ]
        facts.add_row("running", "   ".join(running[:12]) or "starting workers …")
        facts.add_row(
            "so far",
            f"pruned {tally.pruned}   diverged {tally.diverged}   failed {tally.failed}"
            + (f"   workers busy {tally.busy_percent():.0f}%" if running else ""),
        )
        if tally.last_failure:
            facts.add_row("last failure", Text(tally.last_failure, style="yellow"))
        for what, where in self._places.items():
            facts.add_row(what, Text(where))
        return Group(self._bar, facts)


class Output(io.TextIOBase):
    """Standard output that a study can lose: a closed terminal, a `tee` that is gone, a full disk
    behind a redirection. The study goes on; what it says from then on, nobody reads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with self._or_nowhere():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._or_nowhere():
            self._stream.flush()

    @contextmanager
    def _or_nowhere(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is still buffered goes there too
            os.close(nowhere)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar for what is no study: on a terminal only, and gone in the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
    bar.disable = not console.is_terminal
    with bar:
        yield bar


def open_screen(tally: Tally, console: Console, places: dict[str, str]) -> Screen:
    """The live view on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        return LiveScreen(tally, console, places)
    return PlainScreen(tally, console)


def describe(record: TrialRecord) -> str:
    """An ended trial in one line."""
    seconds = f" in {record.duration_s:.1f} s" if record.duration_s is not None else ""
    if record.state == "FAILED":
        return f"trial {record.number} FAILED: {record.reason}"
    what = "diverged" if record.diverged else f"{record.objective:.4f}"
    state = " pruned" if record.state == "PRUNED" else ""
    epochs = f" (epoch {record.selected_epoch} of {len(record.curve)})"
    return f"trial {record.number}{state} {what}{epochs}{seconds}: {plain(record.params)}"


def plain(params: Params) -> str:
    """``lr=0.00103 d_proj=64``: parameters short enough to read."""
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )


def interval(forecast: Forecast) -> str:
    """``1:02:03 (0:55:00-1:10:00)``."""
    return f"{clock(forecast.seconds)} ({clock(forecast.low)}-{clock(forecast.high)})"


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    tail = f"{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{hours}:{tail}" if hours else tail
