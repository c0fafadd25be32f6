"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Card:
    """One finding: a title, the finding in a sentence, the numbers, and a picture of them.

    Attributes:
        title: What the card is about.
        finding: What it says, for a reader who reads nothing else of it.
        table: The numbers, as they are to be read.
        picture: None where there is nothing to draw.
        caption: What the picture shows.
        note: What must be known to read the card rightly.
    """

    title: str
    finding: str
    table: pd.DataFrame | None = None
    picture: Figure | None = None
    caption: str = ""
    note: str = ""
