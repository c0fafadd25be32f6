"""Cards and facts of a study's trials: how they were run, the best ones, failures."""

from __future__ import annotations

import time
from collections import Counter

import pandas as pd

from refinevad.cli import FLOOR_OF, METRIC_NAMES, SHORT_NAMES
from refinevad.training.monitor import core_sentence, warnings_of
from study.analysis.border import at_the_border, border_sentence
from study.analysis.test_videos import (
    beside_baselines,
    described,
    is_above_all,
    of_first_fold,
    read_test_videos,
)
from study.config.samplers import SAMPLERS
from study.config.sections import PruningSection, SearchSection
from study.ledger.provenance import hardware_kinds, hardware_text
from study.ledger.records import (
    best,
    digest,
    ended_by_machine,
    ranked,
    selected_metrics,
)
from study.ledger.study import SPLITS, StudyView
from study.plots.style import short
from study.plots.trials import history, learning_curves, parallel
from study.reporting.card import Card
from study.text import capitalised, clock, counted

_SHOWN = 10
_PAPERS_OWN = "The paper's is its RefineVAD, on CLIP ViT-L/14 features of the videos and captions."


def lead(view: StudyView) -> str:
    """The study's result in a sentence or two."""
    ended, planned = len(view.ended), view.meta.trials
    so_far = f"{ended} of {planned} trials" if ended < planned else f"{ended} trials"
    winner = best(view.records)
    if winner is None:
        return f"{so_far.capitalize()} have ended and none has a result."
    if view.file.variants:  # one lucky seed says nothing: the variants are compared by their means
        return f"{so_far.capitalize()} of {len(view.file.variants)} variants have ended."
    text = (
        f"The best of {so_far} reaches {winner.objective:.4f} {view.objective} "
        f"(trial {winner.number}, epoch {winner.selected_epoch})."
    )
    on_test = read_test_videos(view.folder, digest(view.records))
    beside = " ".join(beside_baselines(on_test))
    if beside and on_test is not None and not is_above_all(on_test):
        text = f"{beside} {text}"  # the first thing to know
    else:
        text = f"{text} {beside}".rstrip()
    auc, floor = winner.metrics.get("selected/test/auc"), winner.metrics.get("selected/floor/auc")
    if auc is not None and floor is not None:
        text += (
            f" On the test videos its frame AUC is {auc:.4f}; the video-label baseline (a scorer "
            f"that knows only whether a video is abnormal) reaches {floor:.4f}."
        )
    return text


def facts(view: StudyView) -> dict[str, str]:
    """Facts on how the study was run: name -> value."""
    meta, file, ended = view.meta, view.file, view.ended
    waiting = meta.trials - len(ended)
    states = Counter(
        "diverged" if r.diverged else r.state.lower() for r in ended if r.state != "RUNNING"
    )
    counted = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
    times = [t for r in ended for t in (r.started, r.finished) if t is not None]
    computed = sum(r.duration_s or 0.0 for r in ended)
    search = file.search
    pruning = file.pruning
    data = f"taxonomy {file.data.taxonomy}, fingerprint {meta.fingerprint[:16]}…"
    if file.data.synthetic is not None:
        data = f"synthetic ({file.data.synthetic}), fingerprint {meta.fingerprint[:16]}…"
    if meta.split == "val" and (given := file.data.groups or file.data.group_pattern):
        data += f"; held out by groups ({given}), each whole"
    found = {
        "study": f"{meta.name}, hash {meta.hash}, seed {file.study.seed}",
        "data": data,
        "objective": f"{view.objective} {view.of_epochs}, {SPLITS[meta.split]}",
        "trials": f"{len(ended)} of {meta.trials} have ended: {counted}"
        + (f"; {waiting} remaining" if waiting > 0 else ""),
        "search": _search(search)
        if not file.variants
        else f"none: {len(file.variants)} variants, {file.seeds} seeds each",
        "pruning": "none" if pruning is None else _pruning(pruning),
        "hardware": "; ".join(hardware_text(kind) for kind in hardware_kinds(ended)) or "–",
        "time": "–"
        if not times
        else f"{_moment(min(times))} to {_moment(max(times))}; {clock(computed)} spent in trials",
        "versions": ", ".join(f"{name} {version}" for name, version in meta.versions.items()),
        "code": meta.git_commit or "not in a repository",
        "digest": digest(view.records) if ended else "–",
        "verification": f"python -m study.verify --study {meta.name}",
    }
    if not ended:
        return found
    if why := file.not_reproducible or ended_by_machine(view.records):
        found["digest"] += f" (not reproducible: {why})"
    return found


def best_card(view: StudyView) -> Card:
    """The best trials, with their test metrics."""
    shown = ranked(view.records)[:_SHOWN]
    if not shown:
        return Card("Best trials", "No trial has a result.")
    rows = []
    for record in shown:
        row: dict[str, object] = {"trial": record.number, view.objective: record.objective}
        row |= {
            name: record.metrics[f"selected/{key}"]
            for key, name in SHORT_NAMES.items()
            if f"selected/{key}" in record.metrics
        }
        row["epoch"] = record.selected_epoch
        active = view.file.active(record.params)
        row |= {n: short(active[n]) if n in active else "–" for n in record.params}
        if record.state == "PRUNED":
            row["trial"] = f"{record.number} (pruned)"
        rows.append(row)
    first, last = shown[0], shown[-1]
    spread = (first.objective or 0.0) - (last.objective or 0.0)
    text = f"Trial {first.number} is the best."
    if len(shown) > 1:
        text = (
            f"Trial {first.number} is the best; the first {len(shown)} lie within {spread:.4f} of "
            f"{view.objective}."
        )
    if not view.file.variants:
        text = f"{text} {border_sentence(at_the_border(view.records, view.encoder))}".rstrip()
    return Card(
        "Best trials",
        text,
        pd.DataFrame(rows),
        note="Trials are ranked by the objective only. "
        + (
            "The objective was computed on the test set, so the test figures are selected on test."
            if view.meta.split == "test"
            else "The test set was not used for selection."
        ),
    )


def test_card(view: StudyView) -> Card | None:
    """The best trial on the test set, compared with the video-label baseline."""
    winner = best(view.records)
    if winner is None:
        return None
    on_test = read_test_videos(view.folder, digest(view.records))
    dataset = view.file.data.dataset
    paper = dataset.published.get("results") if dataset else None
    head = f"test/{dataset.headline}" if dataset else ""
    rows: list[dict[str, object]] = []
    for key, name in METRIC_NAMES.items():
        value = winner.metrics.get(f"selected/{key}")
        if key.startswith("test/") and value is not None:
            row: dict[str, object] = {"metric": name, f"epoch {winner.selected_epoch}": value}
            row["last epoch"] = winner.metrics.get(f"last/{key}")
            row["video-label baseline"] = winner.metrics.get(f"selected/{FLOOR_OF.get(key, '')}")
            for name, baseline in (on_test.baselines if on_test else {}).items():
                row[name] = baseline.metrics.get(key.rpartition("/")[2])
            if paper is not None:
                row[f"paper, {paper.where}"] = paper.numbers["RefineVAD"] if key == head else None
            rows.append(row)
    if not rows:
        return None
    auc, floor = winner.metrics.get("selected/test/auc"), winner.metrics.get("selected/floor/auc")
    selected = selected_metrics(winner)
    monitored = [core_sentence(selected), *map(capitalised, warnings_of(selected))]
    text = f"Trial {winner.number} on the test set."
    if auc is not None and floor is not None:
        where = "above" if auc >= floor else "below"
        text = (
            f"Trial {winner.number} is {where} the video-label baseline: frame AUC {auc:.4f} "
            f"against {floor:.4f}."
        )
    return Card(
        "On the test set",
        text,
        pd.DataFrame(rows),
        note=" ".join(
            [
                "Video-label baseline: a scorer that knows only whether a video is abnormal and "
                "gives all its frames one score. "
                f"Epoch {winner.selected_epoch} was {SPLITS[view.meta.split]}.",
                *described(on_test),
                *([folds] if (folds := of_first_fold(view.file.objective.folds)) else []),
                *([_PAPERS_OWN] if paper else []),
                *(f"{sentence}." for sentence in monitored if sentence),
            ]
        ),
    )


def history_card(view: StudyView) -> Card | None:
    """The search over time."""
    winner = best(view.records)
    if winner is None:
        return None
    number, total = winner.number, len(view.ended)
    search = view.file.search
    if number < search.inherited:
        where = f"in {winner.inherited}, which was taken over"
    elif number < search.sobol.start:
        where = "among the enqueued configurations"
    elif number in search.sobol:
        where = "in the space-filling part"
    else:
        where = f"by {SAMPLERS[search.sampler].title}"
    return Card(
        "The search",
        f"The best trial was number {number} of {total}, found {where}.",
        picture=history(view.records, search.sobol, view.objective),
        caption=f"Objective of every trial in order, and the best so far. {view.caption()}.",
    )


def parallel_card(view: StudyView) -> Card | None:
    """Every configuration at once."""
    found = ranked(view.records)
    if len(found) < 2 or not view.encoder.scales:
        return None
    count = min(_SHOWN, len(found))
    return Card(
        "All configurations",
        f"Configurations of the best {count} trials among all others.",
        picture=parallel(view.records, view.encoder, view.objective),
        caption=f"One line per trial, the darker the better; the best {count} on top. "
        f"{view.caption()}.",
    )


def curves_card(view: StudyView) -> Card | None:
    """Learning curves of the best trials, and the epochs saved by pruning."""
    with_curves = [r for r in ranked(view.records) if r.curve]
    if not with_curves:
        return None
    pruned = [r for r in with_curves if r.state == "PRUNED"]
    longest = {r.number: view.file.epochs_of(r.params) for r in pruned}
    saved = sum(longest[r.number] - len(r.curve) for r in pruned)
    run = sum(len(r.curve) for r in with_curves)
    text = "No trial was pruned."
    were = "was" if len(pruned) == 1 else "were"
    if pruned:
        text = (
            f"{counted(len(pruned), 'trial')} {were} pruned, which saved {saved} of {run + saved} "
            f"epochs ({saved / (run + saved):.0%})."
        )
    return Card(
        "Learning curves and pruning",
        text,
        picture=learning_curves(view.records, view.objective),
        caption="Objective per epoch of the best ten trials and of all pruned ones; a diamond "
        f"marks the selected epoch. {view.caption()}.",
    )


def failures_card(view: StudyView) -> Card:
    """Failed and diverged trials, and lost attempts."""
    failed = [r for r in view.ended if r.state == "FAILED"]
    diverged = sum(r.diverged for r in view.ended)
    attempts = sum(r.attempts for r in view.records)
    reasons = Counter(r.reason or "unknown" for r in failed)
    parts = [
        f"{counted(len(failed), 'trial')} failed" if failed else "No trial failed",
        f"{diverged} diverged (objective 0)" if diverged else "none diverged",
        f"{counted(attempts, 'attempt')} {'was' if attempts == 1 else 'were'} lost and retried"
        if attempts
        else "no attempt was lost while a session ran",
    ]
    table = pd.DataFrame(
        [
            {
                "reason": reason,
                "trials": count,
                "which": _some([r.number for r in failed if (r.reason or "unknown") == reason]),
            }
            for reason, count in reasons.most_common()
        ]
    )
    note = (
        "What was computed when a session itself was killed is not counted: the next session runs "
        "these trials again, with the same result."
    )
    return Card("Failures", ", ".join(parts) + ".", table if len(table) else None, note=note)


def _some(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _search(search: SearchSection) -> str:
    first = [f"{search.inherited} taken over"] if search.inherited else []
    first += [f"{len(search.enqueue)} enqueued"] if search.enqueue else []
    first.append(f"{search.space_filling} space-filling (Sobol)")
    knows = len(search.import_trials)
    imported = f", with {knows} imported trials" if knows else ""
    title = SAMPLERS[search.sampler].title
    return f"{', '.join(first)}, then {title}{imported}, window {search.window}"


def _pruning(pruning: PruningSection) -> str:
    if pruning.rule == "halving":
        first = f"{pruning.first_rung}{' of the longest' if pruning.rungs == 'share' else ''}"
        return (
            f"successive halving: one trial in {pruning.reduction} passes a rung, the first at "
            f"epoch {first}, and space-filling trials run whole"
        )
    return (
        f"below the {pruning.percentile:g}th percentile, after {pruning.warmup_epochs} epochs and "
        f"{pruning.after_trials} trials"
    )
