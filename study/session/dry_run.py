"""``study.run --dry-run``: the study that would run, and a forecast of its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil
from rich.console import Console

from refinevad.errors import InputError
from study.config.differences import differences
from study.config.study_file import StudyFile
from study.config.variants import with_seeds_of
from study.ledger.reader import LedgerReader
from study.ledger.records import TrialRecord
from study.progress.forecast import Forecaster, format_forecast
from study.search.proposal import first_proposals
from study.session.advice import over_the_limit, unreachable
from study.space.dimension import Params
from study.text import counted, plain, span
from study.trials.runs import DetectorRuns, LocalStore
from study.trials.spec import TrialSpec

if TYPE_CHECKING:
    from refinevad.data import Store

_SHOWN = 10
_MEASURED = 5
_PATIENCE = 15.0
"""Seconds after which no further configuration is measured."""
_LOOK = 0.5
"""Seconds in which the load by other programs is measured."""
_BUSY = 25.0
"""Percent of all cores that other programs use, from which on the machine is busy."""


def print_dry_run(
    console: Console, file: StudyFile, store: Store, *, workers: int, folder: Path
) -> None:
    """Prints the resolved study, its fingerprints, ten configurations and a time forecast."""
    known = first_proposals(file, file.study.trials if file.variants else file.search.space_filling)
    shown = known[:_SHOWN] or first_proposals(file, _SHOWN)
    ended, state = _begun(folder, file)
    forecaster = Forecaster(file, known)
    for record in ended:
        forecaster.take(record)
    measured, busy = 0, 0.0
    if forecaster.left(workers) is None:  # first: it finds what cannot be trained
        busy = psutil.cpu_percent(interval=_LOOK)
        say = partial(console.print, style="dim", highlight=False, soft_wrap=True)
        measured = _measure(forecaster, file, store, known or shown, say)
    console.print(file.to_yaml(), highlight=False, markup=False, soft_wrap=True)
    console.print(f"data fingerprint {store.fingerprint}", highlight=False, soft_wrap=True)
    console.print(f"study hash {file.hash(store.fingerprint)}", highlight=False)
    kind = "first of the space-filling sequence" if file.search.space_filling else "at random"
    if file.variants:
        kind = "the variants"
    console.print(f"\n{len(shown)} configurations ({kind}):", highlight=False)
    for number, params in enumerate(shown, file.search.inherited):
        console.print(f"  {number}: {plain(params)}", highlight=False, soft_wrap=True)
    left = forecaster.left(workers)
    assert left is not None, "something was measured"
    trials = f"{file.study.trials} trials"
    if ended:
        left_of = max(0, file.study.trials - len(ended))
        trials = f"the remaining {left_of} of {file.study.trials} trials"
    source = f"the times of {len(ended)} trials"
    if measured:
        source = f"one epoch of {counted(measured, 'configuration')}, measured now"
        if file.pruning:
            source += "; pruning shortens it"
    console.print(
        f"\nforecast: {trials} on {counted(workers, 'worker')} take {format_forecast(left)}, "
        f"based on {source}",
        highlight=False,
        soft_wrap=True,
    )
    warnings = unreachable(file)
    if text := over_the_limit(file, forecaster, known or shown):
        warnings.append(text)
    if busy > _BUSY:
        warnings.append(
            f"other programs used {busy:.0f}% of this machine when it was measured; the forecast "
            "holds while they run"
        )
    for warning in warnings:
        console.print(f"note: {warning}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"{folder} {state}; nothing was started", highlight=False, soft_wrap=True)


def _begun(folder: Path, file: StudyFile) -> tuple[list[TrialRecord], str]:
    """Ended trials of the study in ``folder``, in the order they ended, and the study's state."""
    if not folder.exists():
        return [], "does not exist yet"
    try:
        ledger = LedgerReader(folder)
    except InputError:  # it has no trial yet, or is no study: a run says which
        return [], "exists, but has no study yet"
    old, new = ledger.meta.determinants, file.determinants()
    if differences(old, with_seeds_of(new, old)):
        return [], "has a study with other settings: a run would list them and refuse to start"
    records = [record for record in ledger.trials() if record.ended]
    records.sort(key=lambda record: record.finished or 0.0)
    if len(records) >= ledger.meta.trials == file.study.trials:
        return records, "has this study, and all its trials have ended"
    return records, "has this study: a run would resume it"


def _measure(
    forecaster: Forecaster,
    file: StudyFile,
    store: Store,
    configurations: Sequence[Params],
    say: Callable[[str], None],
) -> int:
    """Trains one epoch of a few configurations on this machine; returns their number."""
    import torch

    on_gpu = file.execution.device != "cpu" and torch.cuda.is_available()
    device: Literal["cpu", "cuda"] = "cuda" if on_gpu else "cpu"
    runs = DetectorRuns(file, LocalStore.of(store), device)
    begun = time.monotonic()
    chosen = _unlike(forecaster, configurations)
    say(f"measuring an epoch of up to {counted(len(chosen), 'configuration')} …")
    for count, params in enumerate(chosen):
        if count and time.monotonic() - begun > _PATIENCE:
            return count
        run = runs(TrialSpec(0, params, seed=0))
        seconds = run.run_epoch().seconds
        if not run.done and seconds < _PATIENCE / _MEASURED:
            seconds = run.run_epoch().seconds  # the first one prepares its kernels
        epochs = file.epochs_of(params)
        forecaster.learn(params, epochs=epochs, seconds=epochs * seconds)
        say(f"  {count + 1}: {span(seconds)} an epoch ({plain(params)})")
    return count + 1


def _unlike(forecaster: Forecaster, configurations: Sequence[Params]) -> list[Params]:
    """A few configurations: the first one, then others from the largest model to the smallest."""
    by_size = sorted(configurations[1:], key=forecaster.size)
    picked = min(_MEASURED - 1, len(by_size))
    ranks = [round(i * (len(by_size) - 1) / max(1, picked - 1)) for i in range(picked)]
    return [configurations[0], *(by_size[rank] for rank in reversed(ranks))]
