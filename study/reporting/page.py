"""Cards as one HTML page that needs no network: pictures and style are inside."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from study.pictures.style import svg
from study.reporting.card import Card

_PAGES = Environment(
    loader=PackageLoader("study.reporting"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    title: str,
    lead: Sequence[str],
    facts: Mapping[str, str],
    cards: Sequence[Card],
    *,
    warning: str = "",
    source: str = "",
) -> str:
    """The page.

    Args:
        title: Of the page.
        lead: Paragraphs that stand before everything else.
        facts: How the study was obtained: what -> which.
        cards: In the order of reading.
        warning: What nobody may overlook.
        source: The study file, shown when unfolded.
    """
    return _PAGES.get_template("page.html.j2").render(
        title=title,
        lead=lead,
        facts=facts,
        warning=warning,
        source=source,
        cards=[
            {
                "title": card.title,
                "finding": card.finding,
                "note": card.note,
                "caption": card.caption,
                "picture": _picture(card),
                "head": [] if card.table is None else _head(card.table),
                "rows": [] if card.table is None else _rows(card.table),
            }
            for card in cards
        ],
    )


def _picture(card: Card) -> str:
    if card.picture is None:
        return ""
    content = base64.b64encode(svg(card.picture).encode()).decode()
    return f"data:image/svg+xml;base64,{content}"


def _head(table: pd.DataFrame) -> list[str]:
    return [_words(name) for name in _shown(table)]


def _rows(table: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """Cells with their text and whether they are numbers; an interval joins its number."""
    rows = []
    for _, row in table.iterrows():
        cells = []
        for name in _shown(table):
            text = _text(row[name])
            if f"{name}_low" in table and text:
                text += f" [{_text(row[f'{name}_low'])}, {_text(row[f'{name}_high'])}]"
            number = isinstance(row[name], int | float) and not isinstance(row[name], bool)
            cells.append({"text": text, "number": number})
        rows.append(cells)
    return rows


def _shown(table: pd.DataFrame) -> list[str]:
    ends = {f"{name}{end}" for name in table for end in ("_low", "_high")}
    return [str(name) for name in table if name not in ends]


def _words(name: str) -> str:
    return name.replace("_", " ") if name.startswith(("p_", "above_", "ped_")) else name


def _text(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 0.001 or abs(value) >= 1000 else f"{value:.4f}"
    return str(value)
