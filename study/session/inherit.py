"""Trials of another study that a study takes over: those that it could have run itself.

A trial fits where its whole configuration, its objective, its split and its data are possible here
and the same: then it is a trial of the new study too, and can be verified by retraining it there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from refinevad.errors import InputError
from refinevad.files import write_whole
from study.config.sections import InheritedStudy
from study.config.study_file import StudyFile
from study.ledger.records import TrialRecord, TrialResult, digest
from study.ledger.study import StudyView, read_named
from study.space.dimension import Params
from study.space.membership import contains
from study.trials.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.ledger.writer import Ledger

Say = Callable[[str], None]


def inherited_study(file: StudyFile, store: Store, runs: Path, say: Say) -> StudyFile:
    """The study with ``search.inherit`` in full: how many trials it takes over, and their digest.

    Raises:
        InputError: There is no such study, its trials are of other data or another objective, or
            none fits.
    """
    name = file.search.inherit
    if not isinstance(name, str):
        return file
    view = _view(name, runs)
    _require_same(file, store, view)
    fits = fitting(file, view)
    if not fits:
        raise InputError(
            f"search.inherit: none of the {len(view.ended)} trials of {view.name} fits this study: "
            "a trial fits where all its settings are possible here, and the others are the same"
        )
    if file.study.trials <= len(fits):
        raise InputError(
            f"study.trials is {file.study.trials}, and {len(fits)} trials of {view.name} are taken "
            f"over, which count; give more than {len(fits)}"
        )
    left = len(view.ended) - len(fits)
    say(
        f"{len(fits)} trials of {view.name} are taken over"
        + (f"; {left} do not fit this study" if left else "")
    )
    full = InheritedStudy(
        study=name, uid=view.meta.uid, trials=len(fits), digest=digest(r for r, _ in fits)
    )
    return file.model_copy(update={"search": file.search.model_copy(update={"inherit": full})})


def take_over(file: StudyFile, ledger: Ledger, runs: Path) -> None:
    """Writes the trials that are not in the ledger yet; their seeds and results are the old ones.

    Raises:
        InputError: The other study has changed since this one was begun, and is still needed.
    """
    source = file.search.inherit
    if not isinstance(source, InheritedStudy):
        return
    there = len(ledger.trials())
    if there >= source.trials:
        return
    view = _view(source.study, runs)
    fits = fitting(file, view)[: source.trials]
    if view.meta.uid != source.uid or digest(r for r, _ in fits) != source.digest:
        raise InputError(
            f"search.inherit: study {source.study} is not the one that this study was begun with; "
            "restore it, or run this study under a new name"
        )
    distributions = file.distributions()
    for record, params in fits[there:]:
        own = ledger.begin(
            params,
            distributions,
            seed=record.seed,
            # what ran to its end does so without a curve, whatever the pruning is here
            stopping_curve=record.stopping_curve if record.state == "PRUNED" else None,
            inherited=f"{view.name}/{record.number}",
        )
        fields = {name: getattr(record, name) for name in TrialResult.__dataclass_fields__}
        ledger.finish(own.number, TrialResult(**fields))
        kept = checkpoint_path(view.folder / "checkpoints", record.number)
        if kept.is_file():
            target = checkpoint_path(ledger.folder / "checkpoints", own.number)
            target.parent.mkdir(exist_ok=True)
            write_whole(target, kept.read_bytes())


def fitting(file: StudyFile, view: StudyView) -> list[tuple[TrialRecord, Params]]:
    """Trials of another study that this one could have run, with their parameters here."""
    spaces, found = file.distributions(), []
    same_pruning = file.pruning == view.file.pruning
    for record in view.ended:
        if record.state == "FAILED" or (record.state == "PRUNED" and not same_pruning):
            continue
        theirs = view.file.trial_config(record.params)
        settings = theirs.model.model_dump() | theirs.train.model_dump() | record.params
        params = {name: settings[name] for name in spaces if name in settings}
        if len(params) < len(spaces) or not all(
            contains(spaces[name], value) for name, value in params.items()
        ):
            continue
        if not file.accepts(params):
            continue
        ours = file.trial_config(params)
        train = [c.train.model_copy(update={"seed": None}) for c in (ours, theirs)]
        seeded = file.train.seed in (None, record.seed)
        if ours.model == theirs.model and train[0] == train[1] and seeded:
            found.append((record, params))
    return found


def _view(name: str, runs: Path) -> StudyView:
    view = read_named(name, runs)
    if view.file.variants:
        raise InputError(f"search.inherit: {view.name} compares variants; name a search")
    return view


def _require_same(file: StudyFile, store: Store, view: StudyView) -> None:
    """Raises InputError where no trial of the other study can be one of this."""
    ours, theirs = file.determinants(), view.file.determinants()
    pairs = {
        "the data (fingerprint)": (store.fingerprint, view.meta.fingerprint),
        "objective": (file.objective, view.file.objective),
        "data": (ours["data"], theirs["data"]),
        "execution": (ours["execution"], theirs["execution"]),
        "the validation split's seed": (file.split_seed, view.file.split_seed),
        "the detector": (file.model.name, view.file.model.name),
    }
    other = [name for name, (one, two) in pairs.items() if one != two]
    if other:
        hint = ""
        if "the validation split's seed" in other:
            hint = f" (data.split_seed: {view.file.split_seed} gives its splits)"
        raise InputError(
            f"search.inherit: {view.name} differs in {', '.join(other)}{hint}, so that none of its "
            "trials is one of this study; search.import_trials lets the sampler learn from them"
        )
