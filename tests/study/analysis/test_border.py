"""Best values at the border of a range are said, and values inside are not."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from study.analysis.border import at_the_border, border_sentence
from study.ledger.records import TrialRecord, TrialResult
from study.space.encoding import Encoder

SPACE = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "epochs": IntDistribution(3, 12),
    "d_proj": CategoricalDistribution([64, 128, 256, 512]),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}


def trials(best_at: float, count: int = 80, seed: int = 0) -> list[TrialRecord]:
    """The objective falls with the distance of log lr from a place in its range; all else is
    noise."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        place = rng.random()
        params = {
            "lr": 10 ** (-5 + 4 * place),
            "epochs": int(rng.integers(3, 13)),
            "d_proj": int(rng.choice([64, 128, 256, 512])),
            "kind": str(rng.choice(["a", "b", "c"])),
        }
        record = TrialRecord(number, f"s/u/{number}", params, seed=1, state="RUNNING")
        result = TrialResult("COMPLETE", float(1 - abs(place - best_at)), selected_epoch=1)
        found.append(record.with_result(result))
    return found


@pytest.mark.parametrize(
    ("place", "end", "bound"), [(1.0, "upper", "0.1"), (0.0, "lower", "1e-05")]
)
def test_the_best_at_an_end_are_named_with_their_count(place: float, end: str, bound: str) -> None:
    (border,) = at_the_border(trials(place), Encoder(SPACE))
    assert (border.name, border.best, border.end, border.bound) == ("lr", 10, end, bound)
    counted = sorted(trials(place), key=lambda r: -(r.objective or 0))[:10]
    codes = [(np.log10(r.params["lr"]) + 5) / 4 for r in counted]
    assert border.count == sum(c >= 0.9 if end == "upper" else c <= 0.1 for c in codes)
    assert border_sentence([border]).startswith(
        f"lr: {border.count} of the best 10 trials lie at the {end} end of its range ({bound})"
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_best_value_inside_is_not(seed: int) -> None:
    assert at_the_border(trials(0.5, seed=seed), Encoder(SPACE)) == []
    assert border_sentence([]) == ""


def test_a_short_study_says_nothing() -> None:
    assert at_the_border(trials(1.0, count=12), Encoder(SPACE)) == []
    assert at_the_border([], Encoder(SPACE)) == []


def test_whole_numbers_and_choices_count_their_last_value() -> None:
    records = [r for r in trials(0.5, count=400) if r.params["epochs"] == 12 or r.number % 2]
    best = sorted(records, key=lambda r: (r.params["epochs"], r.number), reverse=True)
    ranked = [
        r.with_result(TrialResult("COMPLETE", 1.0 - i / 1000, selected_epoch=1))
        for i, r in enumerate(best)
    ]
    assert [b.name for b in at_the_border(ranked, Encoder(SPACE))] == ["epochs"]
