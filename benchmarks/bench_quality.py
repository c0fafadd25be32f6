"""What a search finds for its cost, beside other tools, on a table of recorded runs.

``python benchmarks/bench_quality.py --set msad`` reads the full curves of ``record_curves.py``, as
many configurations as there are. A trial's curve is the mean of those of the five nearest recorded
configurations, weighted by distance and stretched to its epochs, and noise of its own is added: a
study takes milliseconds, and every tool meets the same function. W workers are simulated: an epoch
costs one unit of a worker's time, and events come in the order of time. Each tool has the same
time, that of 60 whole trials, divided by the workers; 30 repeats.

- *ours*: space-filling trials and TPE in order, with a window of 4 W (or as named), without pruning
  and with successive halving;
- *Optuna*: its TPE as it comes, with ``constant_liar`` for W > 1; alone, and with its Hyperband;
- *Ray Tune*: OptunaSearch's sampler with ASHA, of which Ray's own bracket class decides;
- *Syne Tune*: its ASHA and its CQR (multi-fidelity), where it is installed;
- *random search*.

A tool's choice is the whole trial with the best (noisy) objective. Shown, at a quarter, half and
all of the time: its objective without the noise, below the best of 4,096 configurations (regret),
and the test AUC there. The picture has the regret curves.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import logging
import statistics
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from common import RESULTS, publish
from numpy.typing import NDArray
from record_curves import SETS, recorded, study_of

RULE = "mean_second_half"
TRIALS = 60
REPEATS = 30
FRACTIONS = (0.25, 0.5, 1.0)
NEIGHBOURS = 5
NOISE = 0.005
"""Standard deviation of a trial's own noise, the same at all its epochs."""
JITTER = 0.003
"""That of each epoch."""
Floats = NDArray[np.float64]


class Table:
    """A function made of recorded curves."""

    def __init__(self, name: str, metric: str) -> None:
        from study.config.study_file import StudyFile
        from study.search import first_proposals
        from study.space.encoding import Encoder

        self.file = StudyFile.model_validate(study_of(name))
        rows = [r for r in recorded(name) if r["split"] == 0 and not r["diverged"]]
        self.encoder = Encoder(self.file.distributions())
        self._codes = self.encoder.encode([row["params"] for row in rows])
        self._curves = [[epoch[metric] for epoch in row["epochs"]] for row in rows]
        self._tests = [[epoch["test/auc"] for epoch in row["epochs"]] for row in rows]
        self.configurations = len(rows)
        self.longest = max(map(len, self._curves))
        self.mean_epochs = statistics.fmean(map(len, self._curves))
        values = [self.at(params)[0] for params in first_proposals(self.file, 4096)]
        objectives = [objective(curve) for curve in values]
        self.best, self.worst = max(objectives), min(objectives)

    def at(self, params: dict[str, Any]) -> tuple[list[float], list[float]]:
        """The curve and the test curve of a configuration, without noise."""
        code = self.encoder.encode([params])[0]
        distances = np.sqrt(((self._codes - code) ** 2).sum(axis=1))
        near = np.argsort(distances)[:NEIGHBOURS]
        weights = 1 / (distances[near] + 0.05) ** 2
        weights /= weights.sum()
        places = np.linspace(0, 1, params["epochs"])

        def mean_of(curves: list[list[float]]) -> list[float]:
            rows = [np.interp(places, np.linspace(0, 1, len(curves[i])), curves[i]) for i in near]
            return list(map(float, weights @ np.stack(rows)))

        return mean_of(self._curves), mean_of(self._tests)


def objective(curve: list[float]) -> float:
    """A trial's objective."""
    from refinevad.config.epochs import chosen

    return chosen(curve, RULE)[0]


class Tool(Protocol):
    """A search that is asked for trials and told of epochs."""

    def ask(self) -> tuple[Any, dict[str, Any]] | None:
        """A handle and parameters; None: it waits for a result."""

    def told(self, handle: Any, epoch: int, value: float) -> bool:
        """Takes the objective so far after an epoch; returns whether the trial goes on."""

    def ended(self, handle: Any, curve: list[float], whole: bool) -> None:
        """Takes the end of a trial."""


class Ours:
    """The product's search and pruning."""

    def __init__(
        self, table: Table, seed: int, workers: int, *, window: int, pruning: dict[str, Any] | None,
        sampler: str = "tpe",
    ) -> None:  # fmt: skip
        from study.search.proposal import ordered_search, pruning_of

        self.file = table.file.model_copy(
            update={
                "study": table.file.study.model_copy(update={"seed": seed}),
                "search": type(table.file.search).model_validate(
                    {"space_filling": 12, "window": window, "sampler": sampler}
                ),
                "pruning": None if pruning is None else _pruning(pruning),
                "objective": table.file.objective.model_copy(update={"epoch": RULE}),
            }
        )
        self.search, self.pruning = ordered_search(self.file), pruning_of(self.file)
        self.records: list[Any] = []
        self.curves: dict[int, list[float] | None] = {}

    def ask(self) -> tuple[Any, dict[str, Any]] | None:
        from study.ledger.records import TrialRecord
        from study.search.proposal import propose

        if not self.search.ready:
            return None
        asked = propose(self.file, self.search, self.pruning, self.records)
        number = len(self.records)
        self.records.append(TrialRecord(number, str(number), asked.params, 0, "RUNNING"))
        self.curves[number] = asked.stopping_curve
        return number, asked.params

    def told(self, handle: int, epoch: int, value: float) -> bool:
        curve = self.curves[handle]
        return not (curve and epoch <= len(curve) and value < curve[epoch - 1])

    def ended(self, handle: int, curve: list[float], whole: bool) -> None:
        from study.ledger.records import TrialResult

        result = TrialResult(
            "COMPLETE" if whole else "PRUNED", objective(curve),
            curve=[{"epoch": e, "objective": v} for e, v in enumerate(curve, 1)],
        )  # fmt: skip
        self.records[handle] = self.records[handle].with_result(result)
        self.search.record(handle, result.objective)


def _pruning(settings: dict[str, Any]) -> Any:
    from study.config.sections import PruningSection

    return PruningSection.model_validate(settings)


class Optuna:
    """Optuna as its documentation has it, and the stopping rule of Ray's ASHA in its place."""

    def __init__(self, table: Table, seed: int, workers: int, *, pruner: str) -> None:
        import optuna
        from ray.tune.schedulers.async_hyperband import _Bracket

        self.table = table
        longest = table.longest
        self.bracket = _Bracket(1, longest, 4, 0) if pruner == "asha" else None
        self.study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=workers > 1),
            pruner=optuna.pruners.HyperbandPruner(1, longest, 3)
            if pruner == "hyperband"
            else optuna.pruners.NopPruner(),
            direction="maximize",
        )

    def ask(self) -> tuple[Any, dict[str, Any]] | None:
        trial = self.study.ask(self.table.file.distributions())
        return trial, trial.params

    def told(self, handle: Any, epoch: int, value: float) -> bool:
        if self.bracket is not None:
            proxy = type("T", (), {"trial_id": str(handle.number)})()
            return self.bracket.on_result(proxy, epoch, value) == "CONTINUE"
        handle.report(value, epoch)
        return not handle.should_prune()

    def ended(self, handle: Any, curve: list[float], whole: bool) -> None:
        import optuna

        if whole or self.bracket is not None:  # Ray Tune tells its searcher the last value
            self.study.tell(handle, objective(curve))
        else:
            self.study.tell(handle, state=optuna.trial.TrialState.PRUNED)


class SyneTune:
    """A scheduler of Syne Tune."""

    def __init__(self, table: Table, seed: int, workers: int, *, scheduler: str) -> None:
        from optuna.distributions import CategoricalDistribution, IntDistribution
        from syne_tune.config_space import choice, loguniform, randint, uniform
        from syne_tune.optimizer import baselines

        space: dict[str, Any] = {}
        for name, d in table.file.distributions().items():
            if isinstance(d, CategoricalDistribution):
                space[name] = choice(list(d.choices))
            elif isinstance(d, IntDistribution):
                space[name] = randint(d.low, d.high)
            else:
                space[name] = (loguniform if d.log else uniform)(d.low, d.high)
        self.scheduler = getattr(baselines, scheduler)(
            space, metric="value", time_attr="epoch", max_t=table.longest,
            do_minimize=False, random_seed=seed,
        )  # fmt: skip
        self.count = itertools.count()

    def ask(self) -> tuple[Any, dict[str, Any]] | None:
        import datetime

        from syne_tune.backend.trial_status import Trial

        suggestion = self.scheduler.suggest()
        trial = Trial(next(self.count), suggestion.config, datetime.datetime.now())
        self.scheduler.on_trial_add(trial)
        return trial, dict(suggestion.config)

    def told(self, handle: Any, epoch: int, value: float) -> bool:
        return bool(
            self.scheduler.on_trial_result(handle, {"epoch": epoch, "value": value}) == "CONTINUE"
        )

    def ended(self, handle: Any, curve: list[float], whole: bool) -> None:
        if whole:
            last = {"epoch": len(curve), "value": objective(curve)}
            self.scheduler.on_trial_complete(handle, last)


Found = tuple[float, float, float, float]
"""When a trial ended whole, its objective, the same without noise, and the test AUC there."""


def simulate(
    tool: Tool, table: Table, workers: int, budget: float, seed: int
) -> tuple[list[Found], float]:
    """Trials that ran whole, and the epochs that were run."""
    from refinevad.config.epochs import chosen, so_far

    events: list[tuple[float, int, Any]] = []
    order = itertools.count()
    found: list[Found] = []
    rng = np.random.default_rng([seed, 7])
    ran = 0.0
    idle = workers
    now = 0.0
    while True:
        while idle and now < budget:
            asked = tool.ask()
            if asked is None:
                break
            handle, params = asked
            truth, tests = table.at(params)
            noise = NOISE * rng.normal() + JITTER * rng.normal(size=len(truth))
            curve = [float(min(max(v, 0.0), 1.0)) for v in np.asarray(truth) + noise]
            idle -= 1
            heapq.heappush(events, (now + 1, next(order), (handle, curve, truth, tests, 1)))
        if not events:
            break
        now, _, (handle, curve, truth, tests, epoch) = heapq.heappop(events)
        if now > budget:
            break
        ran += 1
        goes_on = epoch < len(curve)
        stopped = goes_on and not tool.told(handle, epoch, so_far(curve[:epoch], RULE)[-1])
        if goes_on and not stopped:
            event = (now + 1, next(order), (handle, curve, truth, tests, epoch + 1))
            heapq.heappush(events, event)
            continue
        idle += 1
        tool.ended(handle, curve[:epoch], not stopped)
        if not stopped:
            value, kept = chosen(curve, RULE)
            found.append((now, value, objective(truth), tests[kept - 1]))
    return found, ran


HALVING = {"rule": "halving", "reduction": 3, "first_rung": 2}
TOOLS: dict[str, Callable[[Table, int, int], Tool]] = {
    "ours, no pruning": lambda t, s, w: Ours(t, s, w, window=4 * w, pruning=None),
    "ours, halving": lambda t, s, w: Ours(t, s, w, window=4 * w, pruning=HALVING),
    "ours, halving, window 2 W": lambda t, s, w: Ours(t, s, w, window=2 * w, pruning=HALVING),
    "Optuna TPE": lambda t, s, w: Optuna(t, s, w, pruner="none"),
    "Optuna TPE + Hyperband": lambda t, s, w: Optuna(t, s, w, pruner="hyperband"),
    "Ray Tune OptunaSearch + ASHA": lambda t, s, w: Optuna(t, s, w, pruner="asha"),
    "Syne Tune ASHA": lambda t, s, w: SyneTune(t, s, w, scheduler="ASHA"),
    "Syne Tune CQR (multi-fidelity)": lambda t, s, w: SyneTune(t, s, w, scheduler="ASHACQR"),
    "random search": lambda t, s, w: Ours(t, s, w, window=4 * w, pruning=None, sampler="random"),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--set", choices=[*SETS], default="msad")
    parser.add_argument("--metric", default="val/ap")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--tools", nargs="*", default=[*TOOLS])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    table = Table(args.set, args.metric)
    rows, curves = [], {}
    for workers in args.workers:
        budget = TRIALS * table.mean_epochs / workers
        for title in args.tools:
            try:
                runs = [
                    simulate(TOOLS[title](table, seed, workers), table, workers, budget, seed)
                    for seed in range(args.repeats)
                ]
            except ImportError as error:
                print(f"{title}: left out ({error})")
                continue
            row: dict[str, Any] = {
                "tool": title, "workers": workers, "repeats": args.repeats,
                "configurations": table.configurations,
                "epochs": round(statistics.fmean(ran for _, ran in runs) / (budget * workers), 3),
            }  # fmt: skip
            for fraction in FRACTIONS:
                regrets, tests = zip(
                    *(_best(found, fraction * budget, table) for found, _ in runs), strict=True
                )
                mean, half = _with_half(regrets)
                row[f"regret_{fraction:g}"] = round(mean, 5)
                row[f"regret_{fraction:g}_±"] = round(half, 5)
                mean, half = _with_half(tests)
                row[f"test_{fraction:g}"] = round(mean, 4)
                row[f"test_{fraction:g}_±"] = round(half, 4)
            rows.append(row)
            grid = np.linspace(0.02, 1.0, 50)
            curves[title, workers] = [
                [_best(found, at * budget, table)[0] for at in grid] for found, _ in runs
            ]
            print(title, workers, row["regret_0.5"], row["regret_1"], flush=True)
    publish(
        f"quality_{args.set}",
        rows,
        command=f"python benchmarks/bench_quality.py --set {args.set} --metric {args.metric}",
    )
    _draw(curves, args.set)


def _best(found: list[Found], until: float, table: Table) -> tuple[float, float]:
    known = [entry for entry in found if entry[0] <= until]
    if not known:
        return table.best - table.worst, float("nan")
    _, _, truth, test = max(known, key=lambda entry: entry[1])
    return table.best - truth, test


def _with_half(values: Any) -> tuple[float, float]:
    numbers = np.array([v for v in values if v == v])
    if len(numbers) < 2:
        return float("nan"), float("nan")
    return float(numbers.mean()), float(1.96 * numbers.std(ddof=1) / np.sqrt(len(numbers)))


def _draw(curves: dict[tuple[str, int], list[list[float]]], name: str) -> None:
    from study.plots.style import DASHES, LINES, figure, save, styled

    counts = sorted({workers for _, workers in curves})
    late = [np.mean(rows, axis=0)[15] for rows in curves.values()]
    ylim = 2 * max(late)  # what is before the first whole trials is above this view
    with styled():
        picture = figure(3.4 * len(counts) + 0.6, 4.2)
        axes = picture.subplots(1, len(counts), sharey=True, squeeze=False)[0]
        for panel, workers in zip(axes, counts, strict=True):
            grid = np.linspace(0.02, 1.0, 50)
            titles = [title for title, w in curves if w == workers]
            for i, title in enumerate(titles):
                values = np.array(curves[title, workers])
                mean = values.mean(axis=0)
                half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
                colour = LINES[i % len(LINES)]
                panel.plot(
                    grid, mean, color=colour, linestyle=DASHES[i // len(LINES) % len(DASHES)],
                    linewidth=1.4, label=title,
                )  # fmt: skip
                panel.fill_between(grid, mean - half, mean + half, color=colour, alpha=0.1)
            panel.set_title(f"{workers} worker{'s' if workers > 1 else ''}")
            panel.set_xlabel("share of the time")
        axes[0].set_ylabel("regret of the best whole trial")
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].set_ylim(0, ylim)
        picture.legend(handles, labels, loc="outside upper left", ncols=3)
    repeats = len(next(iter(curves.values())))
    caption = (
        f"Means of {repeats} repeats with 95% intervals, on a function made of recorded curves."
    )
    save(picture, RESULTS / f"quality_{name}", caption)


if __name__ == "__main__":
    main()
