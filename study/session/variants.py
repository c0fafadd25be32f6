"""Comparison studies made from a study file, as `study.transfer` and `study.paper` run them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinevad.config.document import read_document
from refinevad.errors import InputError
from study.config.load import study_of
from study.config.study_file import StudyFile
from study.config.variants import SourceSection
from study.ledger.records import best
from study.ledger.study import StudyView
from study.space.dimension import Scalar
from study.text import plain, say

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.data import Store

_OF_A_SEARCH = (
    "space", "search", "pruning", "constraints", "variants", "arms", "seeds", "source"
)  # fmt: skip


def comparison_study(
    path: Path,
    overrides: Iterable[str],
    *,
    name: str,
    variants: Mapping[str, Mapping[str, Scalar]],
    seeds: int,
    like: StudyView | None = None,
    source: SourceSection | None = None,
    own_seeds: bool = False,
) -> StudyFile:
    """A comparison study on the data of a study file.

    Args:
        path: The study file. Its searched fields take their defaults, or the values of ``like``.
        overrides: ``KEY=VALUE``, as for ``study.run --set``; they are applied last.
        name: Name of the new study.
        variants: Variant -> the fields in which it differs.
        seeds: Number of seeds of each variant.
        like: A study whose best trial gives all of ``model`` and ``train``.
        source: Checkpoints for variants that start from another data set.
        own_seeds: Takes a training seed that the file fixes for all trials out of it; else one is
            refused.

    Raises:
        InputError: The file, an override or a variant is wrong, or ``like`` has no result.
    """
    document = read_document(path)
    for section in _OF_A_SEARCH:
        document.data.pop(section, None)
    if like is not None:
        document.data |= best_settings(like)
    train = document.data.get("train")
    if own_seeds and isinstance(train, dict):
        train.pop("seed", None)
    study = document.data.get("study")
    seed = study.get("seed", 42) if isinstance(study, dict) else 42
    execution = document.data.get("execution") or {}
    document.data |= {
        "study": {"name": name, "seed": seed},
        "variants": {variant: dict(settings) for variant, settings in variants.items()},
        "seeds": seeds,
    }
    if isinstance(execution, dict):  # else it is named as wrong
        kept = {"keep_checkpoints": len(variants) * seeds}
        document.data["execution"] = execution | kept
    if source is not None:
        document.data["source"] = source.model_dump(mode="json")
    return study_of(document, overrides)


def best_settings(view: StudyView) -> dict[str, Any]:
    """``model`` and ``train`` of a study's best trial."""
    winner = best(view.records)
    if winner is None:
        raise InputError(f"{view.name}: no trial has a result yet; give a study that has one")
    config = view.file.trial_config(winner.params)
    train = config.train.model_dump(mode="json", exclude_none=True)
    train.pop("seed", None)
    return {"model": config.model.model_dump(mode="json", exclude_none=True), "train": train}


def searched_at_default(path: Path, file: StudyFile) -> dict[str, Any]:
    """Fields that the study file searches -> their values in ``file``."""
    space = read_document(path).data.get("space") or {}
    settings = file.model.model_dump() | file.train.model_dump()
    if not isinstance(space, dict):
        return {}
    return {name: settings[name] for name in space if name in settings}


def run_study(
    console: Console, args: argparse.Namespace, command: list[str], file: StudyFile, store: Store
) -> bool:
    """Runs or resumes a study.

    Args:
        console: Console that messages go to.
        args: Flags of :func:`study.cli.add_session_arguments`.
        command: The user's command, shown as the one that resumes the study.
        file: The study.
        store: Its data.

    Returns:
        False if the study was interrupted; the user has then been told how to resume it.
    """
    from study.session.session import SessionOptions, run_session
    from study.tracking import tracking_address

    uri = None if args.tracking_uri == "none" else tracking_address(args.tracking_uri)
    options = SessionOptions(
        args.runs / file.study.name, uri, args.workers, args.address, args.backend, args.baselines
    )
    try:
        interrupted = run_session(file, store, options, console).interrupted
    except KeyboardInterrupt:  # before Ray had started
        interrupted = True
    if interrupted:
        text = "Interrupted. Finished trials are saved. To resume, run:"
        say(console, f"\n{text}\n  {shlex.join(command)}")
    return not interrupted


def say_defaults(console: Console, path: Path, file: StudyFile) -> None:
    """Names the fields that a study file searches and that take their defaults here."""
    if values := searched_at_default(path, file):
        text = f"{path} searches these fields; here they keep their defaults: {plain(values)}"
        say(console, f"{text} (--from-study NAME takes those of a best trial; --set sets others)")
