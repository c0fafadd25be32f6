"""The summary at the end of a session: the best trial, its metrics, the digest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from refinevad.cli import FLOOR_OF, METRIC_NAMES, SHORT_NAMES
from study.analysis.paired import (
    OBJECTIVE,
    baselines_of,
    beside_baseline,
    compared,
    values_of,
    variant_results,
)
from study.config.variants import VARIANT
from study.ledger.provenance import hardware_kinds, hardware_text
from study.ledger.records import StudyMeta, TrialRecord, best, digest
from study.text import plain


def print_summary(
    console: Console,
    meta: StudyMeta,
    records: Sequence[TrialRecord],
    *,
    folder: Path,
    reproducible: bool,
    synthetic: bool,
) -> None:
    """Prints the summary of a study, complete or not."""
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
    if synthetic:
        console.print("synthetic data: these numbers say nothing about real videos", style="yellow")
    if winner is None:
        console.print("no trial has a result yet")
    elif VARIANT in winner.params:
        _print_variants(console, ended, meta)
    else:
        console.print(
            f"best trial [bold]{winner.number}[/]: {meta.metric} on {meta.split} = "
            f"[bold]{winner.objective:.4f}[/] at epoch {winner.selected_epoch}",
            highlight=False,
        )
        console.print(f"  {plain(winner.params)}", highlight=False, markup=False)
        _print_metrics(console, winner, meta)
    kinds = hardware_kinds(records)
    if len(kinds) > 1:
        text = (
            "Trials ran on more than one kind of hardware; results are bit-reproducible on one only"
        )
        listed = "".join(f"\n  {hardware_text(kind)}" for kind in kinds)
        console.print(f"{text}:{listed}", style="yellow", markup=False, soft_wrap=True)
    note = "" if reproducible else "  (not reproducible: execution.deterministic is false)"
    console.print(f"digest {digest(records)}{note}", highlight=False, soft_wrap=True)
    console.print(f"ledger {folder}", highlight=False, soft_wrap=True, markup=False)


def _print_variants(console: Console, ended: Sequence[TrialRecord], meta: StudyMeta) -> None:
    """Means over seeds, one row per variant: the best single trial would be the luckiest seed."""
    in_order = sorted(ended, key=lambda record: record.number)
    variants = list(dict.fromkeys(str(record.params[VARIANT]) for record in in_order))
    what = f"{meta.metric} on {meta.split}"
    columns = {OBJECTIVE: what} | {f"selected/{key}": n for key, n in SHORT_NAMES.items()}
    found = {key: values_of(in_order, variants, key) for key in columns}
    columns = {key: name for key, name in columns.items() if any(found[key].values())}
    table = Table(box=None, padding=(0, 2), show_edge=False)
    table.add_column("mean over seeds", no_wrap=True)
    table.add_column("seeds", justify="right")
    for name in columns.values():
        table.add_column(name, justify="right", no_wrap=True)
    for variant in variants:
        cells = [list(found[key][variant].values()) for key in columns]
        means = [f"{sum(cell) / len(cell):.4f}" if cell else "" for cell in cells]
        table.add_row(variant, str(len(cells[0])), *means)
    baselines = baselines_of(ended, columns)
    if baselines:
        known = [f"{baselines[key]:.4f}" if key in baselines else "" for key in columns]
        table.add_row("video-label baseline", "", *known, style="dim")
    console.print(table)
    said = [compared(variant_results(found[OBJECTIVE], variants[0]), what, {})]
    for key, baseline in baselines.items():
        results = variant_results(found[key], variants[0])
        if sentence := beside_baseline(results, baseline, columns[key], {}):
            said.append(sentence)
    if baselines:
        said.append("video-label baseline: a scorer that knows only whether a video is abnormal")
    for sentence in said:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _print_metrics(console: Console, winner: TrialRecord, meta: StudyMeta) -> None:
    table = Table(box=None, padding=(0, 2), show_edge=False)
    table.add_column("", style="dim", no_wrap=True)
    table.add_column(f"epoch {winner.selected_epoch} ({meta.split})", justify="right")
    table.add_column("last epoch", justify="right")
    table.add_column("video-label\nbaseline", justify="right", style="dim")
    for key, name in METRIC_NAMES.items():
        names = (f"selected/{key}", f"last/{key}", f"selected/{FLOOR_OF.get(key, '')}")
        cells = [winner.metrics.get(metric) for metric in names]
        if key.startswith("test/") and cells[0] is not None:
            table.add_row(name, *("" if c is None else f"{c:.4f}" for c in cells))
    if table.row_count:
        console.print(table)
        note = (
            f"checkpoint selected on {meta.split}. video-label baseline: a scorer that knows only "
            "whether a video is abnormal"
        )
        console.print(note, style="dim")
