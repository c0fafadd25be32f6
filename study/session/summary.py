"""The summary at the end of a session: the best trial, its metrics, the digest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from refinevad.cli import FLOOR_OF, METRIC_NAMES, SHORT_NAMES
from refinevad.config.costs import COSTS
from refinevad.training.monitor import core_sentence, warnings_of
from study.analysis.activity import inactive_core
from study.analysis.confirmation import said_of
from study.analysis.paired import (
    OBJECTIVE,
    baselines_of,
    beside_baseline,
    compared,
    values_of,
    variant_results,
    with_test_videos,
)
from study.analysis.pareto import front_sentence
from study.analysis.test_videos import TestVideos, beside_baselines, of_first_fold
from study.config.study_file import StudyFile
from study.config.variants import VARIANT
from study.ledger.provenance import hardware_kinds, hardware_text
from study.ledger.records import (
    StudyMeta,
    TrialRecord,
    best,
    digest,
    ended_by_machine,
    selected_metrics,
)
from study.text import plain

_NUMBER = len("0.8412")
"""Characters that a column of numbers keeps on a narrow terminal; its other columns wrap."""


_WORDY = 80
"""Width of a terminal, in characters, from which on metrics have their long names."""


def print_summary(
    console: Console,
    meta: StudyMeta,
    records: Sequence[TrialRecord],
    on_test: TestVideos | None = None,
    *,
    file: StudyFile,
    folder: Path,
) -> None:
    """Prints the summary of a study, complete or not.

    Args:
        console: Console that it goes to.
        meta: Description of the study.
        records: Its trials.
        on_test: Results on the test videos beside the baselines; None: there are none.
        file: The study file.
        folder: Folder of the study.
    """
    winner = best(records)
    ended = [r for r in records if r.ended]
    counts = {
        "complete": sum(r.state == "COMPLETE" and not r.diverged for r in ended),
        "pruned": sum(r.state == "PRUNED" for r in ended),
        "diverged": sum(r.diverged for r in ended),
        "failed": sum(r.state == "FAILED" for r in ended),
    }
    say = "   ".join(f"{count} {name}" for name, count in counts.items())
    console.print(f"\n[bold]{meta.name}[/]: {len(ended)} of {meta.trials} trials   {say}")
    if file.data.synthetic is not None:
        console.print("synthetic data: these numbers say nothing about real videos", style="yellow")
    if winner is None:
        console.print("no trial has a result yet")
    elif VARIANT in winner.params:
        _print_variants(console, ended, meta, file, on_test)
    else:
        console.print(
            f"best trial [bold]{winner.number}[/]: {meta.metric} on {meta.split} = "
            f"[bold]{winner.objective:.4f}[/] at epoch {winner.selected_epoch}",
            highlight=False,
        )
        console.print(f"  {plain(file.active(winner.params))}", highlight=False, markup=False)
        if text := _front(meta, file, ended):
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        if text := said_of(folder):
            console.print(f"confirmed: {text}", highlight=False, markup=False, soft_wrap=True)
        _print_metrics(console, winner, meta, file, on_test)
    kinds = hardware_kinds(records)
    if len(kinds) > 1:
        text = (
            "Trials ran on more than one kind of hardware; results are bit-reproducible on one only"
        )
        listed = "".join(f"\n  {hardware_text(kind)}" for kind in kinds)
        console.print(f"{text}:{listed}", style="yellow", markup=False, soft_wrap=True)
    why = file.not_reproducible or ended_by_machine(records)
    note = f"  (not reproducible: {why})" if why else ""
    console.print(f"digest {digest(records)}{note}", highlight=False, soft_wrap=True)
    console.print(f"ledger {folder}", highlight=False, soft_wrap=True, markup=False)


def _front(meta: StudyMeta, file: StudyFile, ended: Sequence[TrialRecord]) -> str:
    """The Pareto front in words; empty where the objective has no cost."""
    cost = file.objective.cost
    if cost is None:
        return ""
    return front_sentence(ended, f"{meta.metric} on {meta.split}", COSTS[cost])


def _print_variants(
    console: Console,
    ended: Sequence[TrialRecord],
    meta: StudyMeta,
    file: StudyFile,
    on_test: TestVideos | None,
) -> None:
    """Means over seeds, one row per variant: the best single trial would be the luckiest seed."""
    in_order = sorted(ended, key=lambda record: record.number)
    variants = list(dict.fromkeys(str(record.params[VARIANT]) for record in in_order))
    what = f"{meta.metric} on {meta.split}"
    columns = {OBJECTIVE: what} | {f"selected/{key}": n for key, n in SHORT_NAMES.items()}
    found = {key: values_of(in_order, variants, key) for key in columns}
    columns = {key: name for key, name in columns.items() if any(found[key].values())}
    table = Table(box=None, padding=(0, 2), show_edge=False)
    table.add_column("mean over seeds")
    table.add_column("seeds", justify="right")
    for name in columns.values():
        table.add_column(name, justify="right", min_width=_NUMBER)
    for variant in variants:
        cells = [list(found[key][variant].values()) for key in columns]
        means = [f"{sum(cell) / len(cell):.4f}" if cell else "" for cell in cells]
        table.add_row(variant, str(len(cells[0])), *means)
    baselines = baselines_of(ended, columns)
    if baselines:
        known = [f"{baselines[key]:.4f}" if key in baselines else "" for key in columns]
        table.add_row("video-label baseline", "", *known, style="dim")
    for name, row in (on_test.baselines if on_test else {}).items():
        cells_of = [row.metrics.get(key.rpartition("/")[2]) for key in columns]
        texts = [
            "" if value is None or key == OBJECTIVE else f"{value:.4f}"
            for key, value in zip(columns, cells_of, strict=True)
        ]
        table.add_row(name, "", *texts, style="dim")
    console.print(table)
    said = []
    if len(variants) > 1:
        said.append(compared(variant_results(found[OBJECTIVE], variants[0]), what, {}))
    for key, title in columns.items():
        if key == OBJECTIVE or len(variants) == 1:
            continue
        results = with_test_videos(variant_results(found[key], variants[0]), key, on_test)
        if any(result.with_videos for result in results):
            said.append(compared(results, title, {}))
    for key, baseline in baselines.items():
        results = with_test_videos(variant_results(found[key], variants[0]), key, on_test)
        if sentence := beside_baseline(results, baseline, columns[key], {}):
            said.append(sentence)
    if baselines:
        said.append("video-label baseline: a scorer that knows only whether a video is abnormal")
    said += _with_folds(file, beside_baselines(on_test))
    if note := inactive_core(in_order):
        said.append(note)
    for sentence in said:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _print_metrics(
    console: Console,
    winner: TrialRecord,
    meta: StudyMeta,
    file: StudyFile,
    on_test: TestVideos | None,
) -> None:
    table = Table(box=None, padding=(0, 1), show_edge=False)
    table.add_column("", style="dim")
    number = partial(table.add_column, justify="right", min_width=_NUMBER)
    number(f"epoch {winner.selected_epoch}\n({meta.split})")
    number("last\nepoch")
    number("video-\nlabel\nbaseline", style="dim")
    others = on_test.baselines if on_test else {}
    for baseline in others:
        words = baseline.replace(" ", "\n").replace("-", "-\n")
        number(words, style="dim")
    wordy = console.width >= _WORDY
    for key, name in METRIC_NAMES.items():
        names = (f"selected/{key}", f"last/{key}", f"selected/{FLOOR_OF.get(key, '')}")
        cells = [winner.metrics.get(metric) for metric in names]
        cells += [row.metrics.get(key.rpartition("/")[2]) for row in others.values()]
        if key.startswith("test/") and cells[0] is not None:
            title = name if wordy else SHORT_NAMES.get(key, name)
            table.add_row(title, *("" if c is None else f"{c:.4f}" for c in cells))
    if table.row_count:
        console.print(table)
        note = (
            f"checkpoint selected on {meta.split}. video-label baseline: a scorer that knows only "
            "whether a video is abnormal"
        )
        console.print(note, style="dim")
    for sentence in _with_folds(file, beside_baselines(on_test)):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    selected = selected_metrics(winner)
    if text := core_sentence(selected):
        console.print(f"{text} (held-out videos)" if meta.split == "val" else text, style="dim")
    for warning in warnings_of(selected):
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _with_folds(file: StudyFile, sentences: list[str]) -> list[str]:
    """Sentences on the test videos, with what they are of where a trial has folds."""
    note = of_first_fold(file.objective.folds)
    return [*sentences, note] if note else sentences
