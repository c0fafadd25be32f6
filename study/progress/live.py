"""The live view on a terminal."""

from __future__ import annotations

import math
import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from study.progress.forecast import format_forecast
from study.progress.screen import PlainScreen, Screen
from study.progress.tally import Tally
from study.text import clock, plain


class LiveScreen(Screen):
    """A live view: progress, running trials, best so far, counts, ledger and MLflow address."""

    def __init__(self, tally: Tally, console: Console, places: dict[str, str]) -> None:
        super().__init__(tally, console)
        self._places = places
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            console=console,
        )
        self._left, self._foretold = "not known yet", -math.inf
        self._task = self._bar.add_task("trials", total=tally.trials)
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

    def _show_ended(self, text: str) -> None:
        self.note(text)

    def _render(self) -> RenderableType:
        tally = self.tally
        if time.monotonic() >= self._foretold + 1:
            left = tally.left()
            self._left = format_forecast(left) if left else "not known yet"
            self._foretold = time.monotonic()
        self._bar.update(self._task, completed=tally.ended)
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim")
        facts.add_column(overflow="fold")
        facts.add_row("elapsed", clock(time.monotonic() - tally.begun))
        facts.add_row("left", self._left)
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


def open_screen(tally: Tally, console: Console, places: dict[str, str]) -> Screen:
    """The live view on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        return LiveScreen(tally, console, places)
    return PlainScreen(tally, console)
