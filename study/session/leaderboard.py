"""The steps of a leaderboard between its studies: gate, forecast, and what the studies give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from refinevad.data import Store
from refinevad.errors import InputError
from refinevad.evaluation.bootstrap import VideoBootstrap
from refinevad.evaluation.cost import cost_of
from refinevad.evaluation.scores import score_test
from refinevad.files import write_whole
from refinevad.models.checkpoint import load
from refinevad.training.baselines import baselines
from study.analysis.leaderboard import (
    LeaderboardResult,
    MethodResult,
    headline_of,
    tuning_of,
)
from study.analysis.test_videos import METRICS
from study.config.leaderboard_file import LeaderboardFile, retraining_name, search_name
from study.config.variants import REPLICATE
from study.ledger.records import TrialRecord, best, digest
from study.ledger.study import read_study
from study.search.proposal import first_proposals
from study.trials.checkpoints import checkpoint_path
from study.trials.runs import DetectorRuns, LocalStore
from study.trials.spec import TrialSpec

Array = NDArray[Any]
GATE = "gate.json"
COST_NAMES = ("parameters", "flops", "latency")
COUNTS = (1, 2, 5, 10, 20, 30, 60, 100)
"""Numbers of trials for which the expected best objective is said."""


def known_passes(folder: Path, fingerprint: str, file: LeaderboardFile) -> dict[str, bool]:
    """What an earlier session found of methods whose fixed knobs are the same."""
    try:
        content = json.loads((folder / GATE).read_text(encoding="utf-8"))
        return {
            method: bool(content[method]["passes"])
            for method in file.names
            if method in content and content[method]["of"] == _identity(file, method, fingerprint)
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def write_passes(
    folder: Path, fingerprint: str, file: LeaderboardFile, passes: dict[str, bool]
) -> None:
    """Keeps what the gate found."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        method: {"passes": found, "of": _identity(file, method, fingerprint)}
        for method, found in passes.items()
    }
    write_whole(folder / GATE, (json.dumps(content, indent=1) + "\n").encode())


def _identity(file: LeaderboardFile, method: str, fingerprint: str) -> list[Any]:
    return [fingerprint, file.fixed(method), file.config(method).revision]


def forecast(file: LeaderboardFile, method: str, store: Store) -> float:
    """Seconds of one worker for a method: an epoch of its defaults, times epochs and runs."""
    search = file.search(method)
    runs = DetectorRuns(search, LocalStore.of(store), "cpu")
    params = first_proposals(search, 1)[0]
    run = runs(TrialSpec(0, params, seed=0))
    seconds = run.run_epoch().seconds
    if not run.done:
        seconds = run.run_epoch().seconds  # the first one prepares its kernels
    table = file.leaderboard
    if search.model.fitted:
        return seconds * (table.trials + table.seeds)
    low, high = search.space["epochs"].bounds()[0], search.space["epochs"].bounds()[-1]
    return float(seconds * (low + high) / 2 * (table.trials + table.seeds))


def results_of(
    file: LeaderboardFile,
    store: Store,
    runs: Path,
    failed: list[str],
    say: Callable[[str], None],
) -> LeaderboardResult:
    """Scores the retrained models on the test videos, once each, beside the baselines.

    Args:
        file: The leaderboard.
        store: Its data.
        runs: Folder of all studies.
        failed: Methods that did not pass the gate.
        say: Called with a line before what takes seconds.
    """
    abnormal: Array = np.asarray(store.test.labels.any(axis=1))
    bootstrap = VideoBootstrap(
        store.test.truth, store.test.offsets, abnormal, frames=store.test.snippet_frames
    )
    floors: dict[str, dict[str, float]] = {}
    try:
        for baseline in baselines(store, file.data, split_seed=file.split_seed, say=say):
            drawn = bootstrap.metrics(baseline.scores)
            floors[baseline.name] = {metric: float(drawn[metric][0]) for metric in METRICS}
    except (InputError, ValueError) as error:  # as the end of a session has it
        say(f"the baselines are missing: {str(error).splitlines()[0]}")
    methods = []
    for name in file.names:
        if name not in failed:
            say(f"scoring the models of {name} on the test videos …")
            methods.append(_method(file, store, runs, name, bootstrap))
    return LeaderboardResult(
        file, store.fingerprint, store.synthetic, dict(store.header.counts), methods, failed, floors
    )


def _method(
    file: LeaderboardFile, store: Store, runs: Path, name: str, bootstrap: VideoBootstrap
) -> MethodResult:
    search = read_study(runs / search_name(file.leaderboard.name, name))
    again = read_study(runs / retraining_name(file.leaderboard.name, name))
    winner = best(search.records)
    assert winner is not None, "it was trained again"
    trained = sorted(
        (r for r in again.ended if r.objective is not None and not r.diverged),
        key=lambda r: int(r.params[REPLICATE]),
    )
    found: list[dict[str, Array]] = []
    costs: dict[str, float] = {}
    for record in trained:
        path = checkpoint_path(again.folder / "checkpoints", record.number)
        with torch.random.fork_rng(devices=[]):
            model, _ = load(path)
        found.append(bootstrap.metrics(score_test(model, store, length=file.data.test_length)))
        if not costs:
            for cost in COST_NAMES:
                value = cost_of(cost, model, segments=file.data.segments, epoch_seconds=[])
                costs[cost] = value[f"cost/{cost}"]
    headline = headline_of(file)
    return MethodResult(
        name,
        search.file.active(winner.params),
        winner.objective or 0.0,
        {metric: np.stack([row[metric] for row in found]) for metric in METRICS} if found else {},
        [int(record.params[REPLICATE]) for record in trained],
        tuning_of(
            search.records, f"selected/test/{headline}", sorted({*COUNTS, file.leaderboard.trials})
        ),
        costs,
        _mean_seconds(trained),
        (digest(search.records), digest(again.records)),
        sum(record.diverged for record in search.records),
    )


def _mean_seconds(records: list[TrialRecord]) -> float:
    known = [r.duration_s for r in records if r.duration_s is not None]
    return sum(known) / max(1, len(known))
