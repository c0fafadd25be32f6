"""What a study's settings rule out: found before a trial runs, and said."""

from __future__ import annotations

from collections.abc import Sequence

from study.config.study_file import StudyFile
from study.progress.forecast import Forecaster
from study.search.proposal import longest
from study.space.dimension import Params
from study.text import counted, span


def unreachable(file: StudyFile) -> list[str]:
    """Sentences on what the file asks for and this number of trials or epochs never reaches."""
    if file.variants:
        return []
    trials, search, pruning = file.study.trials, file.search, file.pruning
    found = []
    if trials <= search.space_filling and search.sampler != "random":
        found.append(
            f"all {trials} trials are space-filling (search.space_filling: "
            f"{search.space_filling}), so {search.sampler} proposes none; set "
            f"search.space_filling below {trials}, or run more trials"
        )
    if pruning is None:
        return found
    if pruning.rule == "halving":
        return found + _rungs_out_of_reach(file)
    first = pruning.after_trials + search.window - 1
    if longest(file) <= pruning.warmup_epochs + 1:
        found.append(
            f"no trial can be pruned: the longest has {counted(longest(file), 'epoch')}, and "
            f"pruning.warmup_epochs is {pruning.warmup_epochs}"
        )
    elif trials <= first:
        found.append(
            f"no trial can be pruned: trial {first} is the first that could be "
            f"(pruning.after_trials {pruning.after_trials} + search.window {search.window} - 1), "
            f"and the study has {counted(trials, 'trial')}"
        )
    return found


def _rungs_out_of_reach(file: StudyFile) -> list[str]:
    assert file.pruning is not None
    search, trials, rung = file.search, file.study.trials, file.pruning.first_rung
    if longest(file) <= rung:
        return [
            f"no trial can be pruned: the longest has {counted(longest(file), 'epoch')}, and "
            f"pruning.first_rung is {rung}"
        ]
    whole = search.evenly(trials).stop
    first = max(whole, file.pruning.reduction + search.window - 1)
    if trials <= first:
        return [
            f"no trial can be pruned: trial {first} is the first that could be (space-filling "
            f"trials run whole), and the study has {counted(trials, 'trial')}"
        ]
    return []


def over_the_limit(
    file: StudyFile, forecaster: Forecaster, configurations: Sequence[Params]
) -> str | None:
    """A sentence where trials are expected to take longer than ``execution.trial_timeout``."""
    limit = file.execution.trial_timeout
    seconds = [forecaster.seconds_of(params) for params in configurations]
    known = [value for value in seconds if value is not None]
    if limit is None or not known or max(known) <= limit:
        return None
    over = sum(value > limit for value in known)
    which = f"{over} of the {len(known)} configurations" if len(known) > 1 else "a trial"
    return (
        f"execution.trial_timeout is {span(limit)}, and {which} would take longer (up to "
        f"{span(max(known))}): such a trial FAILS after its retries; raise it"
    )
