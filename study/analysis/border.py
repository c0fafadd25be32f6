"""Whether the best trials crowd at the border of a range, so that better values may lie beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.ledger.records import TrialRecord, ranked
from study.space.encoding import Encoder, Scale

_BEST = 10
_LEAST = 5
"""Trials among the best, below which nothing is said."""
_EDGE = 0.1
"""Share of a range that counts as its border; of a few values it is the last one."""
_LEVEL = 0.01
"""Probability, under evenly drawn values, below which the best trials are said to crowd there."""


@dataclass(frozen=True)
class Border:
    """The best trials lie at one end of a hyperparameter's range."""

    name: str
    count: int
    """Trials at that end, of ``best``."""
    best: int
    end: str
    """``lower`` or ``upper``."""
    bound: str
    """The range's bound there."""

    def sentence(self) -> str:
        return (
            f"{self.name}: {self.count} of the best {self.best} trials lie at the {self.end} end "
            f"of its range ({self.bound})"
        )


def at_the_border(records: Sequence[TrialRecord], encoder: Encoder) -> list[Border]:
    """Hyperparameters whose best values lie at the border of their range.

    Args:
        records: Trials; diverged ones and those without a result are left out.
        encoder: The space.
    """
    used = ranked(records)
    best = used[: min(_BEST, len(used) // 4)]
    if len(best) < _LEAST:
        return []
    found = []
    for scale in encoder.scales:
        if not scale.ordered or (scale.values is not None and len(scale.values) < 3):
            continue
        codes = scale.codes([r.params[scale.name] for r in best])
        last = 1.0 / (len(scale.values) - 1) if scale.values is not None else 0.0
        edge = max(_EDGE, last / 2)
        share = max(_EDGE, 1.0 / len(scale.values)) if scale.values is not None else _EDGE
        for end, own, there in (
            ("lower", codes[0] <= edge, codes <= edge),
            ("upper", codes[0] >= 1 - edge, codes >= 1 - edge),
        ):
            count = int(there.sum())
            if own and _at_least(count, len(best), share) < _LEVEL:
                found.append(Border(scale.name, count, len(best), end, _bound(scale, end)))
    return found


def border_sentence(found: Sequence[Border]) -> str:
    """One sentence on all of them; empty where there is none."""
    if not found:
        return ""
    listed = "; ".join(border.sentence() for border in found)
    return f"{listed}. Better values may lie beyond."


def _at_least(count: int, of: int, share: float) -> float:
    """Probability of at least so many, each with probability ``share``."""
    from scipy.stats import binom

    return float(binom.sf(count - 1, of, share))


def _bound(scale: Scale, end: str) -> str:
    lower = end == "lower"
    if scale.values is not None:
        value = scale.values[0 if lower else -1]
    else:
        value = getattr(scale.distribution, "low" if lower else "high")
    return f"{value:.3g}" if isinstance(value, float) else str(value)
