"""The samplers there are: one entry each. Nothing here imports Optuna.

They stand beside the sections, for a study file is checked against them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplerEntry:
    """A sampler that a study file can name.

    Args:
        title: What a report calls it, after "found by".
        doc: How it proposes trials.
        implementation: ``module:class``; the class has the interface of
            :class:`study.search.base.Sampler`.
        learns: Whether its proposals depend on results. Those of one that does not cover the space
            as evenly as the space-filling trials do.
        with_cost: Likewise ``module:class``, where the objective has a cost; None: it knows none.
    """

    title: str
    doc: str
    implementation: str
    learns: bool = True
    with_cost: str | None = None


SAMPLERS = {
    "tpe": SamplerEntry(
        "TPE",
        "Optuna's tree-structured Parzen estimator (TPE)",
        "study.search.tpe:TrialArrays",
        with_cost="study.search.with_cost:TPE",
    ),
    "random": SamplerEntry(
        "random draws",
        "random draws from the space, whatever the results: a baseline",
        "study.search.random:RandomDraws",
        learns=False,
        with_cost="study.search.random:RandomDraws",
    ),
    "sobol": SamplerEntry(
        "the Sobol sequence",
        "further points of the space-filling sequence, whatever the results: even coverage",
        "study.search.sobol:SobolSequence",
        learns=False,
        with_cost="study.search.sobol:SobolSequence",
    ),
    "gp": SamplerEntry(
        "a Gaussian process",
        "Optuna's Gaussian process with expected improvement, for some hundred trials: a proposal "
        "takes seconds from there on",
        "study.search.from_optuna:GaussianProcess",
        with_cost="study.search.with_cost:GaussianProcess",
    ),
    "cmaes": SamplerEntry(
        "CMA-ES",
        "CMA-ES, of the library behind Optuna's, over ranges; choices are drawn at random",
        "study.search.cmaes:EvolutionStrategy",
    ),
    "nsgaii": SamplerEntry(
        "NSGA-II",
        "Optuna's genetic algorithm NSGA-II, whose generations are 20 trials each in their order",
        "study.search.from_optuna:Genetic",
        with_cost="study.search.with_cost:Genetic",
    ),
}
"""``search.sampler`` -> what proposes the trials after the space-filling ones."""


def samplers_table() -> str:
    """The table of docs/study.md, in Markdown."""
    rows = ["| `sampler` | proposes by |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {s.doc} |" for name, s in SAMPLERS.items())]) + "\n"
