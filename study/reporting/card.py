"""The cards of a report, and their files."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from refinevad.errors import InputError
from refinevad.files import write_whole
from study.plots.style import save, svg

_CARD, _TABLE, _PICTURE = "card.json", "table.csv", "picture"
_TEXTS = ("title", "finding", "caption", "note")


@dataclass(frozen=True)
class Card:
    """One finding: a title, the finding in a sentence, the numbers, and a picture of them.

    Attributes:
        title: Topic of the card.
        finding: Result in a sentence that can be read on its own.
        table: Numbers as they are shown.
        picture: A figure, or the SVG of one; None where there is nothing to draw.
        caption: Caption of the picture.
        note: Facts needed to read the card correctly.
    """

    title: str
    finding: str
    table: pd.DataFrame | None = None
    picture: Figure | str | None = None
    caption: str = ""
    note: str = ""


def write_card(card: Card, folder: Path, *, fingerprint: str) -> list[Path]:
    """Writes a card: texts as JSON, table as CSV, picture as PNG and SVG.

    Args:
        card: A card, with a figure if it has a picture.
        folder: Folder of this card only.
        fingerprint: Fingerprint of its data; reports of studies on the same data show the card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: getattr(card, name) for name in _TEXTS} | {"fingerprint": fingerprint}
    written = [folder / _CARD]
    if card.table is not None:
        content: str = card.table.to_csv(index=False)
        write_whole(folder / _TABLE, content.encode())
        written.append(folder / _TABLE)
    if isinstance(card.picture, Figure):
        write_whole(folder / f"{_PICTURE}.report.svg", svg(card.picture).encode())
        written += save(card.picture, folder / _PICTURE, card.caption)
    write_whole(folder / _CARD, (json.dumps(texts, indent=2) + "\n").encode())  # last: it is whole
    return written


def read_cards(folder: Path, fingerprint: str) -> list[Card]:
    """Cards of the study in ``folder`` that are about the same data, in order.

    Raises:
        InputError: A card cannot be read.
    """
    cards = []
    for path in sorted(folder.glob(f"cards/*/{_CARD}")):
        try:
            texts = json.loads(path.read_text())
            if texts["fingerprint"] != fingerprint:
                continue
            table, picture = path.with_name(_TABLE), path.with_name(f"{_PICTURE}.report.svg")
            cards.append(
                Card(
                    **{name: str(texts[name]) for name in _TEXTS},
                    table=_table(table) if table.exists() else None,
                    picture=picture.read_text() if picture.exists() else None,
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a card ({error}); make it again or delete it") from None
    return cards


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(path.read_text()), keep_default_na=False, na_values=[""])
