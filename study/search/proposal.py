"""Proposals of trials: a function of the study file and of earlier trials' results.

The driver proposes trials with it, and `study.verify` re-proposes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.config.sections import ImportedTrial
from study.config.study_file import StudyFile
from study.config.variants import REPLICATE
from study.ledger.records import TrialRecord
from study.search.base import Pruning, Search
from study.search.halving import HalvingRule
from study.search.ordered import OrderedSearch
from study.search.pruning import StoppingRule
from study.search.registry import sampler_class
from study.search.variants import VariantSearch
from study.space.dimension import Params
from study.space.seeds import derived_seed


@dataclass(frozen=True)
class Proposal:
    """The parameters, seed and stopping curve that a trial is launched with."""

    params: Params
    seed: int
    """Seed of its training."""
    stopping_curve: list[float] | None


def ordered_search(file: StudyFile, *, ahead: int = 0) -> Search:
    """The search of a study, before its first trial; ``ahead``: a window of so many at least."""
    if file.variants:
        return VariantSearch(list(file.variants))
    return OrderedSearch(
        file.distributions(),
        seed=file.study.seed,
        space_filling=file.search.space_filling,
        window=max(file.search.window, ahead),
        sampler=sampler_class(file.search.sampler, with_cost=file.objective.cost is not None),
        enqueued=file.search.enqueue,
        inherited=file.search.inherited,
        accepts=file.accepts if file.constraints else None,
        imported=[
            (dict(trial.params), trial.objective)
            for trial in file.search.import_trials
            if isinstance(trial, ImportedTrial)
        ],
    )


def first_proposals(file: StudyFile, count: int) -> list[Params]:
    """The first configurations of a study's sequence, which need no results; trials that it has
    taken over are not among them."""
    own = file.search.model_copy(update={"inherit": None})
    search = ordered_search(file.model_copy(update={"search": own}), ahead=count)
    proposals: list[Params] = []
    while len(proposals) < min(count, file.study.trials) and search.ready:
        proposals.append(search.ask())
    return proposals


def pruning_of(file: StudyFile) -> Pruning | None:
    """The pruning of a study; None: it prunes nothing."""
    if file.pruning is None:
        return None
    if file.pruning.rule == "halving":
        return HalvingRule(
            file.pruning,
            longest(file),
            file.objective.epoch,
            epochs_of=file.epochs_of,
            whole=file.search.evenly(file.study.trials).stop,
            seed=file.study.seed,
        )
    return StoppingRule(file.pruning, longest(file), file.objective.epoch)


def propose(
    file: StudyFile,
    search: Search,
    pruning: Pruning | None,
    records: Sequence[TrialRecord],
) -> Proposal:
    """Proposes the next trial; call only when ``search`` is ready. ``records``: by number."""
    number = search.next_number
    params = search.ask()
    seed = params.get("seed", file.train.seed)
    if seed is None:  # variants of one replicate have the same
        seed = derived_seed(file.study.seed, params.get(REPLICATE, number), "training")
    results = max(file.search.inherited, number - file.search.window + 1)
    curve = pruning.curve(records, results, number, params) if pruning else None
    return Proposal(params, seed, curve)


def longest(file: StudyFile) -> int:
    """Epochs of the longest possible trial."""
    dimension = file.space.get("epochs")
    return int(max(dimension.bounds())) if dimension else file.train.epochs
