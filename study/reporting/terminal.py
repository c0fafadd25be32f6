"""A card in the terminal."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from study.reporting.card import Card
from study.reporting.page import text_of


def print_card(console: Console, card: Card) -> None:
    """Prints title, finding, table and note."""

    def say(text: str, style: str) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    console.print()
    say(card.title, "bold underline")
    say(card.finding, "bold")
    if card.table is not None:
        shown = card.table
        while len(shown.columns) > 2 and _width(console, shown) > console.width:
            shown = shown.iloc[:, :-1]
        console.print(_rich(shown))
        if missing := list(card.table.columns[len(shown.columns) :]):
            say(f"(not shown, the terminal is too narrow: {', '.join(missing)})", "dim")
    if card.note:
        say(card.note, "dim")


def _rich(frame: pd.DataFrame) -> Table:
    table = Table(box=None, padding=(0, 1), show_edge=False, header_style="dim")
    for name in frame:
        number = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(str(name), justify="right" if number else "left", no_wrap=True)
    for _, row in frame.iterrows():
        table.add_row(*(text_of(value) for value in row))
    return table


def _width(console: Console, frame: pd.DataFrame) -> int:
    return Measurement.get(console, console.options.update(max_width=1000), _rich(frame)).maximum
