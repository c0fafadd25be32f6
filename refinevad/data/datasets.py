"""The categories of a data set, and how its lists spell them.

A label is one category ("Arson"), several joined by "-" ("G-B2-B6": XD-Violence videos have up
to three), or none (a normal video: "Normal", XD's "A"). Zeros only pad XD's codes ("B1-0-0").
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from refinevad.errors import InputError

NORMAL = ("normal", "a")
"""Spellings of "nothing happens", casefolded."""


def _plain(word: str) -> str:
    """Casefolded letters and digits: `Road_Accidents` and `Road accidents` are the same word."""
    return "".join(c for c in word.casefold() if c.isalnum())


@dataclass(frozen=True)
class Taxonomy:
    """Names of the categories, in the order of the label columns.

    Args:
        name: What messages call the data set.
        categories: One name per category; normal is not among them.
        codes: Short spellings that lists use for the same categories, in the same order.
    """

    name: str
    categories: tuple[str, ...]
    codes: tuple[str, ...] = ()
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        for words in (self.categories, self.codes):
            for i, word in enumerate(words):
                if index.setdefault(_plain(word), i) != i:
                    raise InputError(
                        f"taxonomy {self.name}: {word!r} is written twice; "
                        f"give every category one name"
                    )
        object.__setattr__(self, "_index", index)

    def parse(self, label: str) -> tuple[int, ...]:
        """Indices of a label's categories, ascending; empty for a normal video.

        Raises:
            InputError: The label names no known category; the nearest known one is suggested.
        """
        whole = _plain(label)
        if whole in self._index:
            return (self._index[whole],)
        indices = set()
        for part in label.split("-"):
            word = _plain(part)
            if word in self._index:
                indices.add(self._index[word])
            elif word not in NORMAL and part.strip() != "0":
                raise InputError(f"unknown class {label!r}{self._nearest(part)}")
        return tuple(sorted(indices))

    def _nearest(self, word: str) -> str:
        known = {_plain(name): name for name in ("Normal", *self.codes, *self.categories)}
        near = difflib.get_close_matches(_plain(word), known, n=1, cutoff=0.5)
        if near:
            return f"; the nearest known is {known[near[0]]!r}"
        return f"; known are {', '.join(('Normal', *self.categories))}"


UCF = Taxonomy(
    "ucf",
    (
        "Abuse",
        "Arrest",
        "Arson",
        "Assault",
        "Burglary",
        "Explosion",
        "Fighting",
        "RoadAccidents",
        "Robbery",
        "Shooting",
        "Shoplifting",
        "Stealing",
        "Vandalism",
    ),
)
"""UCF-Crime (Sultani et al., CVPR 2018)."""

XD = Taxonomy(
    "xd",
    ("Fighting", "Shooting", "Riot", "Abuse", "Car accident", "Explosion"),
    ("B1", "B2", "B4", "B5", "B6", "G"),
)
"""XD-Violence (Wu et al., ECCV 2020); "A" is normal, B3 does not exist."""

MSAD = Taxonomy(
    "msad",
    (
        "Assault",
        "Explosion",
        "Fighting",
        "Fire",
        "Object falling",
        "People falling",
        "Robbery",
        "Shooting",
        "Traffic accident",
        "Vandalism",
        "Water incident",
    ),
    (
        "Assault",
        "Explosion",
        "Fighting",
        "Fire",
        "Object",
        "People",
        "Robbery",
        "Shooting",
        "Traffic",
        "Vandalism",
        "Water",
    ),
)
"""MSAD (Zhu et al., NeurIPS 2024); its lists say the first word only."""

_KNOWN = {taxonomy.name: taxonomy for taxonomy in (UCF, XD, MSAD)}


def taxonomy(choice: str | Sequence[str], train_labels: Iterable[str]) -> Taxonomy:
    """The taxonomy a configuration asks for.

    Args:
        choice: "ucf", "xd", "msad", "auto" or a list of category names. `auto` recognises XD's
            codes; otherwise the categories are the training list's labels, sorted.
        train_labels: Labels of the training videos, read only for `auto`.
    """
    if not isinstance(choice, str):
        return Taxonomy("of the configuration", tuple(choice))
    if choice in _KNOWN:
        return _KNOWN[choice]
    labels = {label for label in train_labels if _plain(label) not in NORMAL}
    codes = {*XD.codes, "A", "0"}
    if labels and all(set(label.split("-")) <= codes for label in labels):
        return XD
    spellings = {_plain(label): label for label in sorted(labels, reverse=True)}
    return Taxonomy("of the training list", tuple(sorted(spellings.values())))
