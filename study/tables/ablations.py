"""Tables that compare variants: those of the paper, and one more on temporal modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.reporting.variants import variants_card

if TYPE_CHECKING:
    from study.ledger.study import StudyView
    from study.reporting.card import Card
    from study.space.dimension import Scalar


@dataclass(frozen=True)
class VariantsTable:
    """Variants and their titles; all are compared with the reference."""

    title: str
    variants: dict[str, dict[str, Scalar]]
    names: dict[str, str]
    reference: str
    note: str = ""
    topic: str = ""
    """Topic of the paper's numbers (`Dataset.published`); empty: it has none."""

    def card(self, view: StudyView) -> Card:
        """The comparison as a card."""
        dataset = view.file.data.dataset
        paper = dataset.published.get(self.topic) if dataset else None
        return variants_card(
            view,
            title=self.title,
            variants=list(self.variants),
            reference=self.reference,
            names=self.names,
            paper={f"paper, {paper.where}": paper.numbers} if paper else None,
            note=self.note,
        )


ABLATION = VariantsTable(
    "Ablation (the paper's Table 3)",
    {
        "base": {"temporal": "none", "injection": "none"},
        "motar": {"injection": "none"},
        "hard": {"category_weights": "hard"},
        "refinevad": {},
    },
    {
        "base": "base",
        "motar": "+ MoTAR",
        "hard": "+ injection, hard classes",
        "refinevad": "+ soft classes: RefineVAD",
    },
    "base",
    "Base: scorer and losses only. Each row adds to the one above; all have the category loss. "
    "Hard: the prototype of the most probable category instead of the mixture of eq. 6.",
    "ablation",
)
INJECTION = VariantsTable(
    "Injection strategies (the paper's Table 6)",
    {
        "cross_attention": {},
        "add_norm": {"injection": "add_norm"},
        "linear": {"injection": "linear"},
        "segment_query": {"injection": "segment_query"},
        "none": {"injection": "none"},
    },
    {
        "cross_attention": "cross-attention, eq. 14",
        "add_norm": "add & norm, eq. 11-12",
        "linear": "linear, eq. 10",
        "segment_query": "segment as query",
        "none": "none",
    },
    "cross_attention",
    topic="injection",
)
TEMPORAL = VariantsTable(
    "Temporal modules in RefineVAD",
    {
        "motar": {},
        "no_shift": {"shift": "off"},
        "mtn": {"temporal": "mtn"},
        "lgt": {"temporal": "lgt"},
        "none": {"temporal": "none"},
    },
    {
        "motar": "MoTAR",
        "no_shift": "MoTAR without shift",
        "mtn": "MTN (RTFM)",
        "lgt": "LGT-Adapter (VadCLIP)",
        "none": "none",
    },
    "motar",
    "Everything else is RefineVAD's, including the learning rate, which was chosen for MoTAR.",
)
COMPARISONS = {"ablation": ABLATION, "injection": INJECTION, "temporal": TEMPORAL}
