"""The data sets that are known by name: categories, habits of their files.

They stand beside the sections, for a study file is checked against them. Nothing here imports
torch. A data set of one's own needs no entry: its categories are its lists' labels, or given.

A label is one category ("Arson"), several joined by "-" ("G-B2-B6": XD-Violence videos have up
to three), or none (a normal video: "Normal", XD's "A"). Zeros only pad XD's codes ("B1-0-0").
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from refinevad.config.published import PUBLISHED, Published
from refinevad.errors import InputError

NORMAL_LABELS = (
    *("Normal", "Normal_Videos", "Normal video", "Normal events", "Background", "None", "Negative"),
    *("NonFight", "NoFight", "NonViolence", "NonViolent", "NoViolence", "NonAnomaly", "NoAnomaly"),
    *("NonAnomalous", "NoEvent", "Nothing", "0", "正常", "정상"),
)
"""Labels of videos in which nothing happens, as lists spell them. XD-Violence's "A" is one in its
own lists alone: elsewhere it may be a category."""


def plain_word(word: str) -> str:
    """Casefolded letters and digits: `Road_Accidents` and `Road accidents` are the same word."""
    return "".join(c for c in word.casefold() if c.isalnum())


def is_normal(label: str, labels: Iterable[str] | None = None) -> bool:
    """Whether a label says that nothing happens.

    Args:
        label: As a list spells it; case, blanks and punctuation do not matter.
        labels: ``data.normal_labels``; None: the usual spellings.
    """
    return plain_word(label) in map(plain_word, NORMAL_LABELS if labels is None else labels)


@dataclass(frozen=True)
class Taxonomy:
    """Names of the categories, in the order of the label columns.

    Args:
        name: What messages call the data set.
        categories: One name per category; normal is not among them.
        codes: Short spellings that lists use for the same categories, in the same order.
        normal: Labels of normal videos.
    """

    name: str
    categories: tuple[str, ...]
    codes: tuple[str, ...] = ()
    normal: tuple[str, ...] = NORMAL_LABELS
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        for words in (self.categories, self.codes):
            for i, word in enumerate(words):
                if index.setdefault(plain_word(word), i) != i:
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
        whole = plain_word(label)
        if whole in self._index:
            return (self._index[whole],)
        if is_normal(label, self.normal):
            return ()
        indices = set()
        for part in label.split("-"):
            word = plain_word(part)
            if word in self._index:
                indices.add(self._index[word])
            elif not is_normal(part, self.normal) and part.strip() != "0":
                raise InputError(f"unknown class {label!r}{self._nearest(part)}")
        return tuple(sorted(indices))

    def _nearest(self, word: str) -> str:
        known = {plain_word(name): name for name in ("Normal", *self.codes, *self.categories)}
        near = difflib.get_close_matches(plain_word(word), known, n=1, cutoff=0.5)
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
    (*NORMAL_LABELS, "A"),
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


@dataclass(frozen=True)
class Dataset:
    """A data set that a study file can name.

    Args:
        name: Value of ``data.taxonomy``.
        taxonomy: Its categories.
        headline: The frame metric by which its results are compared.
        label_in_name: Expression whose first group is the label inside a video's name.
        told_by_codes: Whether ``auto`` recognises it by the codes of the training labels.
        normal_listed: Whether its annotation file lists normal videos too.
        normal_events: Whether VadCLIP's mAP@IoU takes each normal video for an event.
        published_counts: Videos of the official lists, under the names of a store's header.
        published: Numbers of the paper by topic: ``results`` of all methods, ``localisation``
            (mAP), ``ablation``, ``classifier`` (accuracies of categories), ``injection``,
            ``importance`` of hyperparameters, ``transfer`` to this data set.
    """

    name: str
    taxonomy: Taxonomy
    headline: Literal["ap", "auc"] = "auc"
    label_in_name: re.Pattern[str] | None = None
    told_by_codes: bool = False
    normal_listed: bool = True
    normal_events: bool = False
    published_counts: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[str, Published] = field(default_factory=dict)

    def label_of(self, video: str) -> str | None:
        """The label inside a video's name, as this data set writes it; else None."""
        found = self.label_in_name.search(video) if self.label_in_name else None
        return found[1] if found else None


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "xd",
            XD,
            headline="ap",
            label_in_name=re.compile(
                r"_label_([A-Z0-9-]+?)(?=__\d+$|__vggish$|_i3d$|_emb$|\.mp4$|$)"
            ),
            told_by_codes=True,
            normal_listed=False,
            normal_events=True,
            published_counts={
                "train": 3954, "train_abnormal": 1905, "test": 800, "test_abnormal": 500
            },
            published=PUBLISHED["xd"],
        ),
        Dataset(
            "ucf",
            UCF,
            label_in_name=re.compile(r"^([A-Za-z]+?)(?:_Videos)?_?\d+_x264"),
            published_counts={
                "train": 1610, "train_abnormal": 810, "test": 290, "test_abnormal": 140
            },
            published=PUBLISHED["ucf"],
        ),
        Dataset("msad", MSAD),
    )
}  # fmt: skip
"""``data.taxonomy`` -> the data set. Labels inside names are looked for in this order."""


def _imitation(name: str, of: str) -> Dataset:
    """A synthetic data set: the habits of a real one, and none of its numbers."""
    return replace(DATASETS[of], name=name, published_counts={}, published={})


SYNTHETIC = {
    dataset.name: dataset
    for dataset in (_imitation("ucf-like", of="ucf"), _imitation("xd-like", of="xd"))
}
"""``data.synthetic`` -> what is known of the generated benchmark."""


def dataset_of(categories: Sequence[str]) -> Dataset | None:
    """The data set whose categories a store has, in their order; None: not one that is known."""
    known = (d for d in DATASETS.values() if d.taxonomy.categories == tuple(categories))
    return next(known, None)


def label_of(video: str) -> str | None:
    """The label inside a video's name, as one of the known data sets writes it; else None."""
    labels = (dataset.label_of(video) for dataset in DATASETS.values())
    return next((label for label in labels if label is not None), None)


def taxonomy(
    choice: str | Sequence[str],
    train_labels: Iterable[str],
    normal_labels: Sequence[str] | None = None,
) -> Taxonomy:
    """The taxonomy a configuration asks for.

    Args:
        choice: A name of ``DATASETS``, "auto" or a list of category names. `auto` recognises
            XD's codes; otherwise the categories are the training list's labels, sorted.
        train_labels: Labels of the training videos, read only for `auto`.
        normal_labels: Labels of normal videos; None: the usual spellings.

    Raises:
        InputError: Under `auto`, no label is one of normal videos, or one looks like one, or two
            labels look like one category.
    """
    normal = NORMAL_LABELS if normal_labels is None else tuple(normal_labels)
    if not isinstance(choice, str):
        return Taxonomy("of the configuration", tuple(choice), normal=normal)
    if choice in DATASETS:
        known = DATASETS[choice].taxonomy
        return known if normal_labels is None else replace(known, normal=normal)
    given = set(train_labels)
    labels = {label for label in given if not is_normal(label, normal)}
    for dataset in DATASETS.values():
        codes = {*dataset.taxonomy.codes, "A", "0"}
        coded = labels - {"A"} and all(set(label.split("-")) <= codes for label in labels)
        if dataset.told_by_codes and coded and normal_labels is None:
            return dataset.taxonomy
    if given and labels == given:
        listed = ", ".join(sorted(labels))
        raise InputError(
            f"no training video is normal: the labels are {listed}; name those of normal videos "
            "with data.normal_labels, for example [" + min(labels) + "]"
        )
    spellings = {plain_word(label): label for label in sorted(labels, reverse=True)}
    categories = tuple(sorted(spellings.values()))
    _refuse_lookalikes(categories, sorted(given - labels))
    return Taxonomy("of the training list", categories, normal=normal)


_ALIKE = 0.9
"""Similarity of two labels (difflib's ratio) from which they may be one category."""


def _refuse_lookalikes(categories: Sequence[str], normal: Sequence[str]) -> None:
    """Refuses labels that may be spellings of one another: a slip would train wrong labels."""
    how = "give data.taxonomy the categories as a list if they are right"
    for word in categories:
        plain = plain_word(word)
        rest = next((plain[len(p) :] for p in ("non", "not", "no") if plain.startswith(p)), "")
        negates = rest and any(_stem(rest) == _stem(plain_word(c)) for c in categories if c != word)
        if plain.startswith("normal") or negates:
            listed = ", ".join([*normal, word])
            raise InputError(
                f"the label {word!r} looks like one of normal videos, and is not known as one; "
                f"give data.normal_labels: [{listed}], or {how}"
            )
    for i, first in enumerate(categories):
        for second in categories[i + 1 :]:
            a, b = plain_word(first), plain_word(second)
            digits = ["".join(c for c in word if c.isdigit()) for word in (a, b)]
            near = difflib.SequenceMatcher(None, a, b).ratio() >= _ALIKE
            if digits[0] == digits[1] and (_stem(a) == _stem(b) or near):
                raise InputError(
                    f"the labels {first!r} and {second!r} look like two spellings of one category; "
                    f"correct the list, or {how}"
                )


def _stem(plain: str) -> str:
    """Without a plural's ending, or the word "videos"."""
    for ending in ("videos", "video"):
        plain = plain.removesuffix(ending) or plain
    return plain.removesuffix("s") or plain
