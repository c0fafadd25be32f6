"""The costs that a search may keep low while it keeps the metric high."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CostEntry:
    """One cost.

    Attributes:
        title: What a picture's axis says, with the unit.
        unit: Unit in texts.
        doc: What it counts.
        scale: Factor from the recorded value to the unit.
        measured: Whether a clock says it, so that it is another in every run.
    """

    title: str
    unit: str
    doc: str
    scale: float = 1.0
    measured: bool = False

    def text(self, value: float) -> str:
        """``12.3 MFLOPs``."""
        scaled = value * self.scale
        return f"{scaled:,.0f} {self.unit}" if scaled >= 1000 else f"{scaled:.3g} {self.unit}"


COSTS = {
    "flops": CostEntry(
        "MFLOPs of scoring a video",
        "MFLOPs",
        "operations of scoring one video of `data.segments` segments, by torch's counter: two for "
        "each multiplication and addition of matrix products, convolutions and attention",
        scale=1e-6,
    ),
    "parameters": CostEntry(
        "parameters (thousands)",
        "thousand parameters",
        "numbers that training decides",
        scale=1e-3,
    ),
    "latency": CostEntry(
        "time of scoring a video (ms)",
        "ms",
        "median time of scoring one video of `data.segments` segments, on the trial's worker",
        measured=True,
    ),
    "epoch_seconds": CostEntry(
        "time of an epoch (s)",
        "s",
        "mean time of an epoch of all folds, evaluation included",
        measured=True,
    ),
}
"""``objective.cost`` -> what it is. `refinevad.evaluation.cost` computes them."""


def costs_table() -> str:
    """The table of docs/search.md, in Markdown."""
    rows = ["| `cost` | is |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {c.doc} |" for name, c in COSTS.items())]) + "\n"
