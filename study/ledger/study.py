"""A read-only view of a study's ledger at one moment, for analysis and reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from refinevad.cli import SYNTHETIC
from refinevad.errors import InputError
from refinevad.models.registry import CONFIGS, DEFAULT
from study.config.former import as_begun, written_out
from study.config.sections import MEASURED, SOURCES, InheritedStudy
from study.config.study_file import StudyFile
from study.ledger.journal import JOURNAL
from study.ledger.lines import Seal, Snapshot
from study.ledger.reader import LedgerReader
from study.ledger.records import StudyMeta, TrialRecord
from study.space.encoding import Encoder
from study.space.seeds import derived_seed


@dataclass(frozen=True)
class StudyView:
    """A read-only view of a study: its description, file and trials."""

    folder: Path
    meta: StudyMeta
    file: StudyFile
    records: list[TrialRecord]
    floor: float | None = None
    """Value that lower objectives count as; None: no such value."""

    @property
    def name(self) -> str:
        return self.meta.name

    @property
    def objective(self) -> str:
        """Such as ``ap on val``."""
        return f"{self.meta.metric} on {self.meta.split}"

    @property
    def of_epochs(self) -> str:
        """What the objective is of, such as ``of the best epoch``."""
        objective = self.file.objective
        folds = f", mean over {objective.folds} folds" if objective.folds > 1 else ""
        return EPOCHS[objective.epoch] + folds

    @property
    def ended(self) -> list[TrialRecord]:
        return [record for record in self.records if record.ended]

    @property
    def compared(self) -> list[TrialRecord]:
        """Ended trials whose objectives can be compared: those that successive halving stopped at
        a rung have one of fewer epochs, and are left out."""
        pruning = self.file.pruning
        if pruning is None or pruning.rule != "halving":
            return self.ended
        return [record for record in self.ended if record.state != "PRUNED"]

    @property
    def encoder(self) -> Encoder:
        return Encoder(self.file.distributions())

    def floored(self, floor: float) -> StudyView:
        """A view in which objectives below ``floor`` count as ``floor``."""
        records = [
            r if r.objective is None else replace(r, objective=max(floor, r.objective))
            for r in self.records
        ]
        return replace(self, records=records, floor=floor)

    def seed(self, purpose: str) -> int:
        """A seed for one purpose, which depends on the study only."""
        return derived_seed(self.file.study.seed, 0, purpose)

    @property
    def synthetic(self) -> str:
        """A warning where the study's data, or those of its source, are synthetic; else empty."""
        if self.file.data.synthetic is not None:
            return SYNTHETIC
        source = self.file.source
        if source is None:
            return ""
        try:
            text = (Path(source.checkpoints).parent / "study.yaml").read_text(encoding="utf-8")
            data = (yaml.safe_load(text) or {}).get("data") or {}
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return ""  # the source's study is not there any more: nothing is known of its data
        return f"SOURCE: {SYNTHETIC}" if data.get("synthetic") else ""

    def caption(self) -> str:
        """Caption of every picture: study, trials, unit, selection, synthetic data."""
        count = len(self.ended)
        text = (
            f"Study {self.name}: {count} trial{'' if count == 1 else 's'}; objective: "
            f"{METRICS.get(self.meta.metric, self.meta.metric)} {self.of_epochs}, "
            f"{SPLITS[self.meta.split]}"
        )
        if self.floor is not None:
            text += f"; objectives below {self.floor:g} count as {self.floor:g}"
        if self.synthetic:
            text += f"; {self.synthetic.partition(': generated')[0]}"
        return text


METRICS = {
    "ap": "average precision (0 to 1)",
    "auc": "area under the ROC curve (0 to 1)",
    "ano_auc": "area under the ROC curve, abnormal videos only (0 to 1)",
    "seg_auc": "area under the ROC curve, top segments of abnormal videos (0 to 1)",
    "brier": "one minus the Brier score (0 to 1)",
}
EPOCHS = {
    "best": "of the best epoch",
    "last": "of the last epoch",
    "mean_second_half": "as the mean over the second half of the epochs",
    "ema": "as the best of a moving average over epochs",
}
SPLITS = {
    "val": "selected on val (videos held out of training)",
    "test": "selected on TEST",
}


def read_study(folder: Path) -> StudyView:
    """Reads a study, also while it runs.

    Raises:
        InputError: There is no study in the folder, or its ledger cannot be read.
    """
    _, meta, records = read(folder)
    return StudyView(folder, meta, recorded_file(meta, folder), records)


def read_named(name: str, runs: Path) -> StudyView:
    """Reads a study that another one names: by its name in ``runs``, or by its folder.

    Raises:
        InputError: There is no such study, or its ledger cannot be read.
    """
    folder = runs / name
    if not (folder / JOURNAL).is_file() and (Path(name) / JOURNAL).is_file():
        folder = Path(name)
    return read_study(folder)


def read(folder: Path) -> tuple[Snapshot, StudyMeta, list[TrialRecord]]:
    """A study's ledger at one moment.

    Raises:
        InputError: There is no study in the folder, or its ledger cannot be read.
    """
    try:
        snapshot = Snapshot(folder)
        reader = LedgerReader(folder, snapshot)
        records = reader.trials()
        if len(records) != len(snapshot.trials):
            raise ValueError("trials of another study")
        _require_types(reader.meta, records, snapshot.seals)
        return snapshot, reader.meta, records
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, AssertionError) as error:
        raise InputError(
            f"{folder / JOURNAL}: the ledger cannot be read, one of its lines is not valid "
            f"({_first_line(error)}); restore the file from a backup"
        ) from None


def _require_types(meta: StudyMeta, records: list[TrialRecord], seals: list[Seal]) -> None:
    """Raises where a number is a word or a row lacks one, so that no check trips over it."""
    adapter = TypeAdapter(tuple[StudyMeta, list[TrialRecord], list[tuple[float, str, int, str]]])
    sealed = [(seal.time, seal.digest, seal.bytes, seal.sha256) for seal in seals]
    content = json.dumps([vars(meta), [vars(record) for record in records], sealed])
    adapter.validate_json(content, strict=True)
    for record in records:
        if not all({"epoch", "objective"} <= row.keys() for row in record.curve):
            raise ValueError(f"the curve of trial {record.number} lacks epochs or objectives")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {error}"


def as_in_ledger(file: StudyFile, folder: Path) -> StudyFile:
    """A study file with the defaults of the version that began the study in ``folder``.

    Where no study has begun there, it is the file itself. Configurations that the file takes from
    elsewhere are those that it took when the study began.

    Raises:
        InputError: The ledger cannot be read.
    """
    if not (folder / JOURNAL).is_file():
        return file
    try:
        meta = LedgerReader(folder).meta
    except InputError:  # not begun, or damaged: opening it to write says which
        return file
    file = as_begun(file, meta.config)
    named = [*file.search.enqueue, *file.search.import_trials]
    if any(isinstance(item, dict) and SOURCES & item.keys() for item in named):
        # what they stood for when the study began
        begun = recorded_file(meta, folder).search
        update = {"enqueue": begun.enqueue, "import_trials": begun.import_trials}
        file = file.model_copy(update={"search": file.search.model_copy(update=update)})
    if file.execution.threads == MEASURED:
        threads = recorded_file(meta, folder).execution.threads
        execution = file.execution.model_copy(update={"threads": threads})
        file = file.model_copy(update={"execution": execution})
    if isinstance(file.search.inherit, str):
        begun_with = recorded_file(meta, folder).search.inherit
        if isinstance(begun_with, InheritedStudy) and begun_with.study == file.search.inherit:
            search = file.search.model_copy(update={"inherit": begun_with})
            file = file.model_copy(update={"search": search})
    return file


def recorded_file(meta: StudyMeta, folder: Path) -> StudyFile:
    """The study file as the ledger keeps it.

    Raises:
        InputError: The ledger's copy of the study file is not valid.
    """
    model = meta.config.get("model")
    name = model.get("name", DEFAULT) if isinstance(model, dict) else DEFAULT
    if name not in CONFIGS:
        raise InputError(
            f"{folder / JOURNAL}: a study of the detector {name!r:.60}, which is not known here; "
            f"known: {', '.join(CONFIGS)} (one of another package is registered first)"
        )
    try:
        space = {  # a dimension is written with all its kinds, of which one is set
            name: {kind: value for kind, value in dimension.items() if value is not None}
            for name, dimension in meta.config["space"].items()
        }
        return StudyFile.model_validate(written_out(meta.config) | {"space": space})
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise InputError(
            f"{folder / JOURNAL}: its copy of the study file is not valid "
            f"({_first_line(error)}); restore the file from a backup"
        ) from None
