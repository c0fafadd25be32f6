"""The last step of a session: its models on the test videos, beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from refinevad.data import Store
from refinevad.errors import InputError
from refinevad.evaluation.bootstrap import VideoBootstrap
from refinevad.evaluation.scores import score_test
from refinevad.files import write_whole
from refinevad.models.checkpoint import load
from refinevad.training.baselines import baselines as compute_baselines
from study.analysis.test_videos import (
    BEST,
    FILE,
    METRICS,
    BaselineRow,
    Subject,
    TestVideos,
    read_test_videos,
    subject_of,
)
from study.config.study_file import StudyFile
from study.config.variants import REPLICATE, VARIANT
from study.ledger.records import TrialRecord, best, digest
from study.trials.checkpoints import checkpoint_path

Array = NDArray[Any]


def write_test_videos(
    file: StudyFile,
    store: Store,
    records: Sequence[TrialRecord],
    folder: Path,
    *,
    with_baselines: bool,
    say: Callable[[str], None],
) -> TestVideos | None:
    """Scores the kept models and the baselines on the test videos, and writes what they give.

    Args:
        file: The study file.
        store: Its data.
        records: Every trial proposed.
        folder: Folder of the study.
        with_baselines: Whether baselines are computed.
        say: Called with a line before what takes seconds.

    Returns:
        The content of the file; None where no trial has a result.
    """
    name = digest(records)
    kept = read_test_videos(folder, name)
    if kept is not None and (kept.baselines or kept.missing or not with_baselines):
        return kept
    chosen = _subjects(file, records, folder)
    if best(records) is None:
        return None
    abnormal: Array = np.asarray(store.test.labels.any(axis=1))
    bootstrap = VideoBootstrap(
        store.test.truth, store.test.offsets, abnormal, frames=store.test.snippet_frames
    )
    rows: dict[str, BaselineRow] = {}
    drawn: dict[str, dict[str, Array]] = {}
    missing = "" if with_baselines else "left out (by --no-baselines; a leaderboard has its own)"
    if with_baselines:
        try:
            for found in compute_baselines(store, file.data, split_seed=file.split_seed, say=say):
                drawn[found.name] = bootstrap.metrics(found.scores)
                metrics = {metric: float(drawn[found.name][metric][0]) for metric in METRICS}
                finite = {metric: value for metric, value in metrics.items() if np.isfinite(value)}
                rows[found.name] = BaselineRow(note=found.note, metrics=finite)
        except (InputError, ValueError) as error:
            missing = str(error).splitlines()[0]
    models = {
        record.number: _metrics(folder, record, store, file, bootstrap)
        for own in chosen.values()
        for record in own
    }
    reference = next(iter(chosen), None) if file.variants else None
    subjects = {}
    for subject, own in chosen.items():
        if own:
            base = chosen[reference] if reference not in (None, subject) else None
            subjects[subject] = _subject(own, base, models, drawn)
    content = TestVideos(digest=name, baselines=rows, missing=missing, subjects=subjects)
    write_whole(folder / FILE, (content.model_dump_json(indent=1) + "\n").encode())
    return content


def _subjects(
    file: StudyFile, records: Sequence[TrialRecord], folder: Path
) -> dict[str, list[TrialRecord]]:
    """The trials of each subject whose checkpoint is kept, in the order of their seeds."""

    def kept(record: TrialRecord) -> bool:
        return checkpoint_path(folder / "checkpoints", record.number).is_file()

    if not file.variants:
        winner = best(records)
        return {BEST: [winner]} if winner is not None and kept(winner) else {}
    found: dict[str, list[TrialRecord]] = {}
    for variant in file.variants:
        own = [r for r in records if r.params[VARIANT] == variant and r.objective is not None]
        # of a variant all seeds or none: the best ones alone would be a biased sample
        complete = [r for r in own if not r.diverged]
        found[variant] = sorted(complete, key=_replicate) if all(map(kept, complete)) else []
    return found


def _replicate(record: TrialRecord) -> int:
    return int(record.params[REPLICATE])


def _subject(
    own: Sequence[TrialRecord],
    base: Sequence[TrialRecord] | None,
    models: dict[int, dict[str, Array]],
    drawn: dict[str, dict[str, Array]],
) -> Subject:
    def stacked(trials: Sequence[TrialRecord]) -> dict[str, Array]:
        return {m: np.stack([models[r.number][m] for r in trials]) for m in METRICS}

    alone = subject_of([r.number for r in own], stacked(own), drawn, None)
    if not base:
        return alone
    theirs = {_replicate(r): r for r in base}
    shared = [r for r in own if _replicate(r) in theirs]
    if not shared:
        return alone
    reference = stacked([theirs[_replicate(r)] for r in shared])
    paired = subject_of([r.number for r in shared], stacked(shared), {}, reference)
    return alone.model_copy(update={"difference": paired.difference})


def _metrics(
    folder: Path, record: TrialRecord, store: Store, file: StudyFile, bootstrap: VideoBootstrap
) -> dict[str, Array]:
    with torch.random.fork_rng(devices=[]):
        model, _ = load(checkpoint_path(folder / "checkpoints", record.number))
    return bootstrap.metrics(score_test(model, store, length=file.data.test_length))
