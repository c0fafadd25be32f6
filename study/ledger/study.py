"""A study as its ledger tells it at one moment, for whoever only reads: analysis, report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from study.config.study_file import StudyFile
from study.ledger.records import StudyMeta, TrialRecord
from study.search.ordered import derived_seed
from study.space.encoding import Encoder
from study.verification.ledger import read, recorded_file


@dataclass(frozen=True)
class Studied:
    """What is known of a study."""

    folder: Path
    meta: StudyMeta
    file: StudyFile
    records: list[TrialRecord]
    floor: float | None = None
    """Objectives below it count as it."""

    @property
    def name(self) -> str:
        return self.meta.name

    @property
    def objective(self) -> str:
        """Such as ``ap on val``."""
        return f"{self.meta.metric} on {self.meta.split}"

    @property
    def ended(self) -> list[TrialRecord]:
        return [record for record in self.records if record.ended]

    @property
    def encoder(self) -> Encoder:
        return Encoder(self.file.distributions())

    def floored(self, floor: float) -> Studied:
        """The study asked about its better trials: those below ``floor`` are all alike."""
        records = [
            r if r.objective is None else replace(r, objective=max(floor, r.objective))
            for r in self.records
        ]
        return replace(self, records=records, floor=floor)

    def seed(self, purpose: str) -> int:
        """A seed for one purpose: the same study gives the same answer."""
        return derived_seed(self.file.study.seed, 0, purpose)

    def caption(self) -> str:
        """What every picture says below: study, trials, unit, selection, and what is not real."""
        count = len(self.ended)
        text = (
            f"Study {self.name}: {count} trial{'' if count == 1 else 's'}; objective: "
            f"{METRICS.get(self.meta.metric, self.meta.metric)} of the best epoch, "
            f"{SPLITS[self.meta.split]}"
        )
        if self.floor is not None:
            text += f"; objectives below {self.floor:g} count as {self.floor:g}"
        if self.file.data.synthetic is not None:
            text += "; SYNTHETIC DATA"
        return text


METRICS = {
    "ap": "average precision (0 to 1)",
    "auc": "area under the ROC curve (0 to 1)",
    "ano_auc": "area under the ROC curve, abnormal videos only (0 to 1)",
}
SPLITS = {
    "val": "selected on val (videos held out of training)",
    "test": "selected on TEST",
}


def read_study(folder: Path) -> Studied:
    """Reads a study, also while it runs.

    Raises:
        InputError: There is no study in the folder, or its ledger cannot be read.
    """
    _, meta, records = read(folder)
    return Studied(folder, meta, recorded_file(meta, folder), records)
