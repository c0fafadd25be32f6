"""Cards as one HTML page that needs no network: pictures and style are inside."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from study.plots.style import svg
from study.reporting.card import Card

_WIDE = 105
"""Row width, in characters, from which a table is set in small type."""
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
        title: Title of the page.
        lead: First paragraphs.
        facts: Facts on how the study was run: name -> value.
        cards: Cards in order.
        warning: Warning at the top.
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
                "dense": card.table is not None and _characters(card.table) > _WIDE,
            }
            for card in cards
        ],
    )


def _picture(card: Card) -> str:
    if card.picture is None:
        return ""
    text = card.picture if isinstance(card.picture, str) else svg(card.picture)
    content = base64.b64encode(text.encode()).decode()
    return f"data:image/svg+xml;base64,{content}"


def _characters(table: pd.DataFrame) -> int:
    """Characters in the widest row of a table, with some space between columns."""
    widths = (max(len(text_of(value)) for value in (name, *table[name])) for name in table)
    return sum(2 + width for width in widths)


def _head(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"text": name, "number": pd.api.types.is_numeric_dtype(table[name])} for name in table]


def _rows(table: pd.DataFrame) -> list[list[dict[str, Any]]]:
    head = _head(table)
    return [
        [{"text": text_of(row[h["text"]]), "number": h["number"]} for h in head]
        for _, row in table.iterrows()
    ]


def text_of(value: Any) -> str:
    """The text of a cell."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 0.001 or abs(value) >= 1000 else f"{value:.4f}"
    return str(value)
