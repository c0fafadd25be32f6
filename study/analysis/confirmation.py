"""Configurations of a search, trained again on splits and seeds that nobody selected on.

A search reports the largest of many noisy numbers, which is too high by its luck (the optimism of
the maximum). The same configurations trained again say by how much, and which of them to trust.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from refinevad.cli import SHORT_NAMES
from refinevad.files import write_whole
from study.analysis.estimate import Estimate
from study.analysis.paired import OBJECTIVE, t_interval, values_of, variant_results
from study.ledger.records import TrialRecord

FILE = "confirmed.json"


@dataclass(frozen=True)
class Confirmed:
    """One configuration, trained again."""

    trial: int
    """Number of the search's trial that had it."""
    searched: float
    """Its objective in the search."""
    values: dict[int, float]
    """Seed -> its objective now, a mean over new splits."""
    mean: Estimate
    """Mean over seeds, 95% interval by Student's t."""
    difference: Estimate | None
    """Paired difference from the search's best configuration; None for that one."""
    test: dict[str, Estimate]
    """Metric of the test set -> mean over seeds."""

    @property
    def luck(self) -> Estimate:
        """By how much the search's number was too high; its interval is that of the mean."""
        return Estimate(
            self.searched - self.mean.value,
            self.searched - self.mean.high,
            self.searched - self.mean.low,
        )


@dataclass(frozen=True)
class Confirmation:
    """The best configurations of a search, trained again, in the order of the search."""

    study: str
    seeds: int
    splits: int
    rows: list[Confirmed]

    @property
    def trusted(self) -> Confirmed:
        """The configuration with the highest mean; of equals the one that the search ranks first.

        Raises:
            ValueError: No configuration has a result.
        """
        known = [row for row in self.rows if row.values]
        return max(known, key=lambda row: row.mean.value)


def name_of(trial: int) -> str:
    """The variant of a trial's configuration."""
    return f"trial-{trial:04d}"


def confirmation(
    study: str,
    searched: Mapping[int, float],
    records: Sequence[TrialRecord],
    *,
    seeds: int,
    splits: int,
) -> Confirmation:
    """What the trials of a confirmation say.

    Args:
        study: Name of the search.
        searched: Trial of the search -> its objective there, the best first.
        records: Trials of the comparison whose variants are :func:`name_of` these.
        seeds: Seeds of each.
        splits: Splits of each.
    """
    names = [name_of(trial) for trial in searched]
    results = variant_results(values_of(records, names, OBJECTIVE), names[0])
    tests = {
        title: values_of(records, names, f"selected/{key}") for key, title in SHORT_NAMES.items()
    }
    rows = [
        Confirmed(
            trial,
            objective,
            result.values,
            result.mean,
            result.difference,
            {
                title: t_interval(list(values[result.name].values()), 0.0, 1.0)
                for title, values in tests.items()
                if values[result.name]
            },
        )
        for (trial, objective), result in zip(searched.items(), results, strict=True)
    ]
    return Confirmation(study, seeds, splits, rows)


def sentences(found: Confirmation, objective: str) -> list[str]:
    """What a confirmation says: how much was luck, what to trust, how sure that is."""
    best, trusted = found.rows[0], found.trusted
    said = [
        f"Trial {trusted.trial} is the configuration to trust: {objective} "
        f"{_with(trusted.mean)} over {found.seeds} seeds, each on {found.splits} splits that "
        "nothing was selected on."
    ]
    luck = best.luck
    if best.values:
        said.append(
            f"The search gave its best trial, {best.trial}, {best.searched:.4f}; trained again it "
            f"has {_with(best.mean)}: {_with(luck)} of it was luck"
            + (" or harder splits." if luck.low > 0 else ", which may be none.")
        )
    if trusted is not best and trusted.difference is not None:
        difference = trusted.difference
        apart = difference.low > 0
        said.append(
            f"Trial {trusted.trial} is {_with(difference)} above trial {best.trial}"
            + ("." if apart else "; more seeds would have to say whether that is real.")
        )
    return said


def _with(estimate: Estimate) -> str:
    if estimate.low != estimate.low:  # fewer than three seeds
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


def write_confirmation(folder: Path, found: Confirmation, said: Sequence[str]) -> None:
    """Writes it into the folder of the search, for its summary and its report."""
    content = {
        "trusted": found.trusted.trial,
        "sentences": list(said),
        "seeds": found.seeds,
        "splits": found.splits,
        "rows": [asdict(row) for row in found.rows],
    }
    write_whole(folder / FILE, (json.dumps(content, indent=1) + "\n").encode())


def said_of(folder: Path) -> str:
    """The first sentence of a search's confirmation; empty where there is none."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return str(content["sentences"][0])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
