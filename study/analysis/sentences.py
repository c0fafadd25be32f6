"""Importance results in sentences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from study.analysis.estimate import Estimate
from study.analysis.importance import NEGLIGIBLE, Importance
from study.analysis.ped_anova import LEAST_TRIALS
from study.analysis.surrogate import PREDICTS

_SURE = 0.95


def fit_check(answer: Importance) -> str:
    """States whether the surrogate model fits, and so whether the shares mean anything."""
    found = answer.fit
    kind = "space-filling trials" if found.space_filling else "trials (too few are space-filling)"
    seen = f"R² {interval(found.r2)} on {found.trials} held-out {kind}"
    if found.trustworthy:
        return f"the surrogate model (a {found.model}) fits: {seen}"
    return (
        "Do not interpret these importances: the surrogate model does not fit "
        f"({seen}, less than {PREDICTS})"
    )


def finding(answer: Importance) -> str:
    """States which hyperparameters matter, in one sentence."""
    if not answer.fit.trustworthy:
        return (
            f"These {answer.trials} trials do not show which hyperparameters matter: the surrogate "
            f"model (a {answer.fit.model}) reaches only R² {answer.fit.r2.value:.2f} on held-out "
            "trials."
        )
    ranked = [p for p in answer.parameters if p.above_noise]
    if not ranked:
        return "No hyperparameter can be told from noise by these trials." + _undecided(answer)
    candidates = sorted(answer.parameters, key=lambda p: -p.first)
    sums = itertools.accumulate(p.first for p in candidates)
    count = next((i for i, s in enumerate(sums, 1) if s >= _SURE), len(candidates))
    leader = candidates[0]
    share = interval(leader.shares["permutation"])
    if count == 1:
        text = f"{leader.name} matters most, with {share} of the importance"
    else:
        names = [f"{p.name} ({p.first:.0%})" for p in candidates[:count]]
        text = f"The most important hyperparameter is one of {_listed(names)}"
    others = [p for p in ranked if p not in candidates[:count]]
    if others:
        named = [f"{p.name} {interval(p.shares['permutation'])}" for p in others]
        text += f"; then {_listed(named)}"
    noise = [p.name for p in answer.parameters if p.negligible]
    if noise:
        has = "has" if len(noise) == 1 else "have"
        each = " each" if len(noise) > 1 else ""
        text += f"; {_listed(noise)} {has} less than {NEGLIGIBLE:.0%}{each}"
    return text + "." + _undecided(answer, [p.name for p in candidates[:count]])


def _undecided(answer: Importance, named: Sequence[str] = ()) -> str:
    """States for which hyperparameters the trials decide nothing."""
    undecided = [
        p.name
        for p in answer.parameters
        if not p.above_noise and not p.negligible and p.name not in named
    ]
    if not undecided:
        return ""
    return (
        f" Not decided: {_listed(undecided)}; the {answer.fit.unexplained:.0%} of the variance "
        "that the surrogate model does not explain may be noise, or may be theirs."
    )


def best_tenth(answer: Importance) -> str:
    """States in which hyperparameters the best tenth of the space-filling trials differs."""
    if answer.apart is None:
        return (
            f"Best tenth: not compared, because fewer than {LEAST_TRIALS} trials are space-filling."
        )
    if not answer.apart:
        return (
            "The best tenth of the space-filling trials does not differ from the others in any "
            "hyperparameter."
        )
    return (
        "The best tenth of the space-filling trials differs from the others in "
        f"{_listed(answer.apart[:3])} (permutation test, 5% over all hyperparameters)."
    )


def settled(answer: Importance) -> str:
    """States whether the ranking is stable, or more trials are likely to change it."""
    *earlier, last = answer.stages
    if not answer.fit.trustworthy:
        return "Ranking stability: not assessed, because the surrogate model does not fit."
    if not earlier:
        return "Ranking stability: not assessed, because there are too few trials."
    clear = [
        (one, other)
        for one, other in itertools.permutations((p.name for p in answer.parameters), 2)
        if last.shares[one].low > last.shares[other].high
    ]
    if not clear:
        return "Ranking stability: no two hyperparameters are clearly apart yet."
    contradicted = [
        [(a, b) for a, b in clear if stage.shares[b].value > stage.shares[a].value]
        for stage in earlier
    ]
    if contradicted[-1]:
        one, other = contradicted[-1][0]
        return (
            f"Ranking not stable: after {earlier[-1].trials} of {last.trials} trials, {other} was "
            f"still ranked above {one}."
        )
    since = last.trials
    for stage, against in zip(reversed(earlier), reversed(contradicted), strict=True):
        if against:
            break
        since = stage.trials
    return (
        f"Ranking stable: all {len(clear)} clear pairwise orders are the same from {since} of "
        f"{last.trials} trials on."
    )


def interactions(answer: Importance) -> str:
    """States which hyperparameters interact."""
    found = [i for i in answer.interactions if i.above_noise] if answer.fit.trustworthy else []
    if not found:
        return "No two hyperparameters interact more than noise does."
    named = [f"{' and '.join(i.names)} ({interval(i.share)} of the variance)" for i in found[:3]]
    more = f", and {len(found) - 3} weaker pairs" if len(found) > 3 else ""
    return f"The best value of one depends on the other for {_listed(named)}{more}."


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def interval(estimate: Estimate) -> str:
    """``0.48 [0.46, 0.52]``."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
