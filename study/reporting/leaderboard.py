"""The cards and the page of a leaderboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from refinevad.config.costs import COSTS
from study.analysis.estimate import Estimate
from study.analysis.leaderboard import (
    LEVEL,
    Contrast,
    LeaderboardResult,
    MethodResult,
    headline_of,
    holm,
    letters,
    paired,
)
from study.analysis.paired import interval, signed
from study.analysis.test_videos import over_seeds_and_videos
from study.plots.leaderboard import accuracy_and_cost, best_of_curves, means
from study.reporting.card import Card
from study.reporting.page import render
from study.text import counted, plain, span

TITLES = {"auc": "test AUC", "ano_auc": "AnoAUC", "ap": "test AP"}


def cards_of(found: LeaderboardResult) -> list[Card]:
    """The table; what tuning gave; accuracy against cost; the winning configurations."""
    return [_table_card(found), _tuning_card(found), _cost_card(found), _settings_card(found)]


def mean_of(method: MethodResult, metric: str) -> Estimate:
    """The mean over seeds, with an interval over seeds and test videos."""
    row = over_seeds_and_videos(method.test[metric], bound=0.0) if method.test else None
    return Estimate(math.nan, math.nan, math.nan) if row is None else row.estimate()


def _ordered(found: LeaderboardResult) -> list[MethodResult]:
    headline = headline_of(found.file)
    known = [m for m in found.methods if m.test]
    return sorted(known, key=lambda m: -mean_of(m, headline).value)


def _table_card(found: LeaderboardResult) -> Card:
    headline = headline_of(found.file)
    metrics = sorted(TITLES, key=lambda metric: metric != headline)
    order = _ordered(found)
    by_name = {m.name: m for m in order}
    pairs: dict[frozenset[str], Contrast] = {}
    for a, b in combinations(order, 2):
        one = paired(a, b, headline)
        if one is not None:
            pairs[frozenset((a.name, b.name))] = one
    adjusted = holm({pair: c.p for pair, c in pairs.items()})
    apart = {pair for pair, p in adjusted.items() if p < LEVEL}
    groups = letters([m.name for m in order], apart) if pairs else {}
    reference = by_name.get(found.file.reference)
    rows: list[dict[str, object]] = []
    for method in order:
        row: dict[str, object] = {"method": method.name}
        row[TITLES[headline]] = interval(mean_of(method, headline), 3)
        row["group"] = groups.get(method.name, "")
        difference = None
        if reference is not None and reference is not method:
            difference = paired(method, reference, headline)
        row[f"{TITLES[headline]} − {found.file.reference}"] = (
            "reference"
            if method is reference
            else signed(None if difference is None else difference.difference)
        )
        row["knows"] = found.file.config(method.name).knows
        for metric in metrics[1:]:
            row[TITLES[metric]] = interval(mean_of(method, metric), 3)
        row["seeds"] = len(method.test[headline])
        rows.append(row)
    for name, floor in found.floors.items():
        row = {"method": name, "knows": "a baseline"}
        row |= {TITLES[metric]: f"{floor[metric]:.3f}" for metric in metrics if metric in floor}
        rows.append(row)
    for name in [*found.failed, *(m.name for m in found.methods if not m.test)]:
        failed: dict[str, object] = {"method": name, "knows": "failed"}
        rows.append(failed)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = pd.DataFrame([[row.get(name, "") for name in columns] for row in rows], columns=columns)
    return Card(
        f"Detectors on {found.file.leaderboard.name}",
        _finding(order, groups, headline, found),
        table,
        means(
            {m.name: (mean_of(m, headline), m.test[headline][:, 0]) for m in order},
            TITLES[headline],
            found.floors,
            headline,
        ),
        f"Every seed as a point; means with 95% intervals over seeds and test videos. "
        f"{_caption(found)}",
        "Methods that share a letter in `group` are not told apart (pairs of equal seeds and test "
        "videos, Holm's correction over all pairs, level 5%). Differences from the reference are "
        "not corrected. No number here was selected on test."
        + (" SYNTHETIC DATA." if found.synthetic else ""),
    )


def _finding(
    order: Sequence[MethodResult], groups: dict[str, str], headline: str, found: LeaderboardResult
) -> str:
    if not order:
        return "No method has a result."
    first = order[0]
    text = (
        f"{first.name} has the highest {TITLES[headline]}, {interval(mean_of(first, headline), 3)}"
    )
    if not groups:
        return f"{text}; fewer than three seeds tell no two methods apart."
    shared = [
        m.name for m in order[1:] if set(groups.get(m.name, "")) & set(groups.get(first.name, ""))
    ]
    if shared:
        text += f", and is not told apart from {', '.join(shared)}"
    else:
        text += ", and is told apart from all others"
    floors = {name: floor.get(headline, math.nan) for name, floor in found.floors.items()}
    if floors:
        name, value = max(floors.items(), key=lambda item: item[1])
        below = [m.name for m in order if mean_of(m, headline).low <= value]
        text += f". The best baseline, {name}, has {value:.3f}; "
        text += f"not above it by their intervals: {', '.join(below)}" if below else "all are above"
    return f"{text}."


def _tuning_card(found: LeaderboardResult) -> Card:
    headline = headline_of(found.file)
    title = TITLES[headline]
    rows, curves = [], {}
    for method in _ordered(found):
        tuning = method.tuning
        if tuning is None:
            continue
        curves[method.name] = tuning.best_of
        row: dict[str, object] = {"method": method.name}
        row |= {f"best of {n}": round(value, 4) for n, value in tuning.best_of.items()}
        row |= {
            f"{title}, defaults": _rounded(tuning.default_test),
            f"{title}, chosen": _rounded(tuning.chosen_test),
            "selection gap": _rounded(tuning.best_test - tuning.chosen_test),
            "rank correlation": _rounded(tuning.agreement, 2),
            "diverged": method.diverged,
        }
        rows.append(row)
    metric = f"{found.file.objective.metric} on held-out videos"
    gaps = [
        (m.name, m.tuning.best_test - m.tuning.chosen_test) for m in _ordered(found) if m.tuning
    ]
    widest = max(gaps, key=lambda gap: gap[1], default=("", 0.0))
    return Card(
        "What tuning gave",
        f"The trial that validation chose is up to {widest[1]:.3f} {title} below the best trial on "
        f"test ({widest[0]}): the selection gap." if gaps else "No search has a result.",
        pd.DataFrame(rows),
        best_of_curves(curves, metric) if curves else None,
        f"Expected best {metric} of so many trials of each search, drawn without replacement. "
        f"{_caption(found)}",
        "Lines that cross: the ranking depends on the budget. The selection gap looks at test "
        "figures of all trials, which nothing was chosen by; single seeds of the search.",
    )  # fmt: skip


def _rounded(value: float | None, digits: int = 4) -> float:
    return math.nan if value is None else round(value, digits)


def _cost_card(found: LeaderboardResult) -> Card:
    headline = headline_of(found.file)
    rows, points = [], {}
    for method in _ordered(found):
        row: dict[str, object] = {"method": method.name}
        row |= {COSTS[n].title: COSTS[n].text(v) for n, v in method.costs.items()}
        row["one training"] = span(method.seconds)
        row["its search"] = span(method.tuning.seconds) if method.tuning else ""
        rows.append(row)
        points[method.name] = (method.costs.get("flops", 0.0) * 1e-6, mean_of(method, headline))
    return Card(
        "Accuracy against cost",
        "The winning configuration of each method: parameters, operations and time of one video.",
        pd.DataFrame(rows),
        accuracy_and_cost(points, TITLES[headline]) if points else None,
        f"Means with 95% intervals against {COSTS['flops'].title}. {_caption(found)}",
        "Times are of the machine that scored, or of the workers that trained.",
    )


def _settings_card(found: LeaderboardResult) -> Card:
    rows = [
        {
            "method": method.name,
            "hyperparameters": plain(method.params),
            "objective": round(method.objective, 4),
            "digest of the search": method.digests[0][:12],
            "of the retraining": method.digests[1][:12],
        }
        for method in _ordered(found)
    ]
    table = found.file.leaderboard
    evenly = max(1, (table.trials - 1) // 2)
    return Card(
        "Winning configurations",
        f"Each is the best of {counted(table.trials, 'trial')} on held-out videos: the defaults "
        f"first, then {counted(evenly, 'space-filling one')}, then TPE.",
        pd.DataFrame(rows),
        note="`python -m study.verify` verifies every study of the table.",
    )


def _caption(found: LeaderboardResult) -> str:
    table, counts = found.file.leaderboard, found.counts
    videos = ", ".join(f"{counts[k]} {k.replace('_', ' ')}" for k in counts if k in _COUNTED)
    return (
        f"{table.trials} trials and {table.seeds} seeds a method; videos: {videos}; data "
        f"{found.fingerprint[:12]}."
    )


_COUNTED = ("train", "train_abnormal", "test", "test_abnormal")


def latex(table: pd.DataFrame) -> str:
    """The table for a paper: booktabs, special characters escaped."""

    def escaped(value: object) -> str:
        text = str(value)
        for character in "&%$#_{}":
            text = text.replace(character, f"\\{character}")
        return text.replace("−", "$-$")

    head = " & ".join(escaped(column) for column in table.columns)
    lines = [" & ".join(escaped(v) for v in row) + r" \\" for row in table.itertuples(index=False)]
    columns = "l" * len(table.columns)
    body = "\n".join(lines)
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def page_of(found: LeaderboardResult, cards: Sequence[Card], source: str) -> str:
    """The page that needs no network."""
    table = found.file.leaderboard
    facts = {
        "methods": ", ".join(found.file.names),
        "budget": f"{table.trials} trials and {table.seeds} seeds a method",
        "selection": f"{found.file.objective.metric} on held-out videos, "
        f"{found.file.objective.epoch}; seed {table.seed}, split {found.file.split_seed}",
        "data fingerprint": found.fingerprint,
    }
    return render(
        f"Leaderboard {table.name}",
        [cards[0].finding],
        facts,
        list(cards),
        warning="synthetic data: these numbers say nothing about real videos"
        if found.synthetic
        else "",
        source=source,
    )
