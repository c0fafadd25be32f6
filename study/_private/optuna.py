"""What is used below the public face of Optuna.

Nothing private is imported before a function is called, so that a name that is gone does no harm
to those who do not use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution

from study._private.names import Name, missing

if TYPE_CHECKING:
    from optuna.samplers import TPESampler
    from optuna.storages.journal import JournalFileBackend

Numbers = np.ndarray[Any, np.dtype[Any]]

_SLOWER = "`study.search.tpe` asks Optuna's public sampler, which proposes the same and is slower"

ESTIMATORS = (
    Name(
        "optuna.samplers._tpe.parzen_estimator:_ParzenEstimator",
        takes=("observations", "search_space", "parameters"),
        use="fit TPE's two densities to columns of an array",
        gone=_SLOWER,
    ),
    Name(
        "optuna.samplers._tpe.parzen_estimator:_ParzenEstimator.sample",
        takes=("self", "rng", "size"),
        use="draw candidates",
        gone=_SLOWER,
    ),
    Name(
        "optuna.samplers._tpe.parzen_estimator:_ParzenEstimator.log_pdf",
        takes=("self", "samples_dict"),
        use="weigh candidates",
        gone=_SLOWER,
    ),
    Name(
        "optuna.samplers._tpe.sampler:default_gamma",
        takes=("x",),
        use="know how many trials count as the best",
        gone=_SLOWER,
    ),
    Name(
        "optuna.samplers:TPESampler._compare",
        takes=("samples", "acquisition_func_vals"),
        use="choose among candidates",
        gone=_SLOWER,
    ),
    Name(
        "optuna.samplers:TPESampler.__init__",
        code=("_rng", "_n_ei_candidates", "_parzen_estimator_parameters"),
        use="have the random numbers and the settings that the sampler itself would have",
        gone=_SLOWER,
    ),
    Name(
        "optuna.samplers._lazy_random_state:LazyRandomState.rng",
        use="have the random numbers that the sampler itself would have",
        gone=_SLOWER,
    ),
)
"""What TPE over arrays takes. `has_estimators` looks for all of it before any of it is used."""

NAMES = (
    *ESTIMATORS,
    Name(
        "optuna.importance._ped_anova.scott_parzen_estimator:ScottParzenEstimator",
        takes=("observations", "search_space", "predetermined_weights", "prior_weight"),
        use="fit PED-ANOVA's densities",
        gone="`study.importance` and the report of a search end (ImportError)",
    ),
    Name(
        "optuna.importance._ped_anova.scott_parzen_estimator:ScottParzenEstimator.pdf",
        takes=("self", "samples"),
        use="read PED-ANOVA's densities",
        gone="`study.importance` and the report of a search end (AttributeError)",
    ),
    Name(
        "optuna.storages.journal._storage:JournalOperation",
        use="hold our numbers of a journal's operations against Optuna's (a test does)",
        gone="nothing happens: journals that are written keep the numbers they have",
    ),
    Name(
        "optuna.storages.journal:JournalFileBackend.__init__",
        code=("_log_number_offset",),
        use="forget the place of every line but the next",
        gone="a long study's driver takes more memory",
    ),
)


class JournalOperation(IntEnum):
    """What a line of a journal does (``op_code``), as Optuna's own private class numbers it."""

    CREATE_STUDY = 0
    DELETE_STUDY = 1
    SET_STUDY_USER_ATTR = 2
    SET_STUDY_SYSTEM_ATTR = 3
    CREATE_TRIAL = 4
    SET_TRIAL_PARAM = 5
    SET_TRIAL_STATE_VALUES = 6
    SET_TRIAL_INTERMEDIATE_VALUE = 7
    SET_TRIAL_USER_ATTR = 8
    SET_TRIAL_SYSTEM_ATTR = 9


def forget_places(journal: JournalFileBackend) -> None:
    """Forgets where the lines of a journal begin that were read; the next to be read is enough."""
    places = getattr(journal, "_log_number_offset", None)
    if places:
        last, place = places.popitem()
        journal._log_number_offset = {0: 0, last: place}


@cache
def has_estimators() -> bool:
    """Whether this Optuna has all that `best_candidate` takes."""
    return not missing(ESTIMATORS)


def count_of_best(trials: int) -> int:
    """How many of so many completed trials count as the best for TPE."""
    from optuna.samplers._tpe.sampler import default_gamma

    return default_gamma(trials)


def best_candidate(
    sampler: TPESampler, space: Mapping[str, BaseDistribution], best: Numbers, others: Numbers
) -> dict[str, float]:
    """What a sampler that was just made would propose, as Optuna encodes it.

    Args:
        sampler: Gives the random numbers and the settings.
        space: What is searched, in the sampler's order.
        best: (parameters, n) the best trials' parameters, encoded, by number.
        others: (parameters, n) those of the others, with those that run.
    """
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator

    searched = dict(space)
    parameters = sampler._parzen_estimator_parameters
    below, above = (
        _ParzenEstimator(dict(zip(searched, columns, strict=True)), searched, parameters)
        for columns in (best, others)
    )
    samples = below.sample(sampler._rng.rng, sampler._n_ei_candidates)
    return sampler._compare(samples, below.log_pdf(samples) - above.log_pdf(samples))


def scott_density(
    observations: Numbers, counts: Numbers, distribution: BaseDistribution, where: Numbers
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Density of PED-ANOVA's estimator, by Scott's rule.

    Args:
        observations: (n,) values that were seen.
        counts: (n,) how often each.
        distribution: Their range.
        where: (m,) places that the density is asked at.
    """
    from optuna.importance._ped_anova.scott_parzen_estimator import ScottParzenEstimator

    density: np.ndarray[tuple[int], np.dtype[np.float64]] = ScottParzenEstimator(
        observations, distribution, counts, 1.0
    ).pdf(where)
    return density
