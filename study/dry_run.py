"""``study.run --dry-run``: what would run, and about how long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from study.proposal import ordered_search
from study.screen import clock, plain
from study.space import Params, StudyFile
from study.trial import RefineVADRuns, TrialSpec

if TYPE_CHECKING:
    from refinevad.data import Store

_SHOWN = 10


def print_dry_run(
    console: Console, file: StudyFile, store: Store, *, workers: int, folder: Path
) -> None:
    """The resolved study, its fingerprints, ten configurations and a cost forecast."""
    shown = sampled(file, _SHOWN)
    seconds, epochs = measure_epoch(file, store, shown)  # first: it finds what cannot be trained
    console.print(file.to_yaml(), highlight=False, markup=False, soft_wrap=True)
    console.print(f"data fingerprint {store.fingerprint}", highlight=False, soft_wrap=True)
    console.print(f"study hash {file.hash(store.fingerprint)}", highlight=False)
    kind = "first of the space-filling sequence" if file.search.space_filling else "at random"
    if file.arms:
        kind = "the arms"
    console.print(f"\n{len(shown)} configurations ({kind}):", highlight=False)
    for number, params in enumerate(shown):
        console.print(f"  {number}: {plain(params)}", highlight=False, soft_wrap=True)
    at_once = f"{workers} worker{'s' if workers > 1 else ''}"
    total = seconds * epochs * file.study.trials / workers
    console.print(
        f"\nforecast: {file.study.trials} trials x {epochs:.1f} epochs x {seconds:.2f} s "
        f"(one epoch, measured now) / {at_once} = {clock(total)} without pruning; "
        "wider and narrower configurations differ",
        highlight=False,
        soft_wrap=True,
    )
    state = "exists: a run would resume it" if folder.exists() else "does not exist yet"
    console.print(f"{folder} {state}; nothing was started", highlight=False, soft_wrap=True)


def sampled(file: StudyFile, count: int) -> list[Params]:
    """The first configurations of the study's own sequence, as far as they need no results."""
    search = ordered_search(file, ahead=count)
    shown: list[Params] = []
    while len(shown) < min(count, file.study.trials) and search.ready:
        shown.append(search.ask())
    return shown


def measure_epoch(
    file: StudyFile, store: Store, configurations: list[Params]
) -> tuple[float, float]:
    """Seconds of one epoch of the first configuration on this machine's CPU, and the mean
    number of epochs of all."""
    params = configurations[0]
    run = RefineVADRuns(file, store.path, store.fingerprint, store.stamp, "cpu")(
        TrialSpec(0, params, seed=0)
    )
    seconds = run.run_epoch().seconds
    epochs = [file.epochs_of(p) for p in configurations]
    return seconds, sum(epochs) / len(epochs)
