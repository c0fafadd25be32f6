"""Sections of the study file: the study, its search, its pruning, its execution."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from refinevad.config.section import KeyOf, Section
from refinevad.config.training import Runtime
from study.config.samplers import SAMPLERS
from study.space.dimension import Scalar

SOURCES = frozenset({"from_study", "from_csv", "from_optuna", "preset", "like_best_of"})
"""Keys of an entry of ``search.enqueue`` or ``search.import_trials`` that stands for others."""
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Pattern of a study's name, which names folders, also where a foreign ledger is published."""


def names_folder(longest: int) -> tuple[AfterValidator, WithJsonSchema]:
    """What checks text that names a folder or a file, and how its schema says it."""

    def check(name: str) -> str:
        if re.fullmatch(STUDY_NAME, name) is None or len(name) > longest:
            raise ValueError(
                f"found {name!r}, which cannot name a folder; use letters, digits, '.', '-' and "
                f"'_', a letter or digit first, at most {longest} characters"
            )
        return name

    schema = {"type": "string", "pattern": STUDY_NAME, "maxLength": longest}
    return AfterValidator(check), WithJsonSchema(schema)


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """``30m`` -> 1800.0; a bare number is seconds."""
    if isinstance(value, str) and value != "none":
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value.strip())
        if not match:
            raise ValueError(f"found {value!r}; expected a duration such as 90s, 30m or 2h")
        return float(match.group(1)) * _UNITS[match.group(2)]
    return _none(value)


def _none(value: object) -> object:
    return None if value == "none" else value


MEASURED = 0
"""Number of threads that stands for `auto`, until it is measured."""


def _threads(value: object) -> object:
    if value == "auto":
        return MEASURED
    if isinstance(value, str) and value.isdecimal():  # as a worker reports it
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"found {value!r}; expected a whole number from 1, or auto")
    return value


def section_or_none(value: object) -> object:
    if isinstance(value, str) and value != "none":
        raise ValueError(f"found {value!r}; expected none, or rule, percentile, …")
    return _none(value)


class StudySection(Section):
    """Name, length and seed of a study."""

    name: Annotated[str, *names_folder(100)]
    """Name of the study: its folder under `runs/` and its experiment in MLflow."""
    trials: Annotated[int, Field(ge=1)]
    """Trials in all. May be raised later: the study is then extended. With variants it is their
    number times `seeds`, and need not be given."""
    budget: Annotated[float | None, Field(gt=0.0), BeforeValidator(_seconds)] = None
    """Longest time that the study runs, all its sessions together: `8h`, or `none`. Trials that
    run then end; a larger one, or none, extends the study."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Decides every trial's parameters, its training seed and the validation split."""


class ImportedTrial(Section):
    """A trial that ran elsewhere."""

    params: dict[str, Scalar]
    """Every searched hyperparameter."""
    objective: float
    """Its objective, to be maximized; comparable with those of this study."""


class InheritedStudy(Section):
    """The study whose trials this one has taken over."""

    study: str
    """Its name or folder."""
    uid: str
    """Its unique name."""
    trials: Annotated[int, Field(ge=1)]
    """Number of its trials that fit, which are the first ones here."""
    digest: str
    """Digest of these trials there."""


class SearchSection(Section):
    """Ordered search: trial n is proposed once trials 0 … n - window have results."""

    space_filling: Annotated[int, Field(ge=0)] = 300
    """First trials, from a scrambled Sobol sequence; the sampler proposes the rest."""
    sampler: Annotated[str, KeyOf(SAMPLERS)] = "tpe"
    """What proposes them: `tpe`, `gp`, `cmaes` or `nsgaii`, which learn from results; `random` or
    `sobol`, which do not."""
    enqueue: tuple[dict[str, Scalar], ...] = ()
    """Configurations that come first, each a mapping of hyperparameters; what one leaves out is
    drawn at random. `{from_study: NAME, top: 3}` stands for the best of another study,
    `{from_csv: FILE}` for the rows of a table, `{preset: defaults}` for the detector's defaults,
    `{like_best_of: NAME, draws: 10}` for draws like the best tenth of a study on other data."""
    inherit: InheritedStudy | str | None = None
    """Name of a study whose trials become the first ones of this, where they fit: their settings
    are possible here, and data, objective, split and all else are the same."""
    import_trials: tuple[ImportedTrial | dict[str, Scalar], ...] = ()
    """Finished trials that the sampler knows from the first one on, and that are no trials of this
    study: `{from_study: NAME}`, `{from_csv: FILE}` with a column per hyperparameter and one called
    `objective`, or `{from_optuna: URL, study: NAME}`."""
    window: Annotated[int, Field(ge=1)] = 64
    """Trials that may run at once without changing the sequence. At least 4 x workers keeps
    the workers busy."""

    @property
    def inherited(self) -> int:
        """Number of trials that were taken over."""
        return self.inherit.trials if isinstance(self.inherit, InheritedStudy) else 0

    @property
    def sobol(self) -> range:
        """Numbers of the space-filling trials."""
        first = self.inherited + len(self.enqueue)
        return range(first, first + self.space_filling)

    def evenly(self, trials: int) -> range:
        """Numbers of the trials that cover the space evenly, whatever their results."""
        learns = SAMPLERS[self.sampler].learns
        first = self.sobol.start
        return self.sobol if learns else range(first, max(first, trials))


class PruningSection(Section):
    """A trial stops when its objective falls below the stopping curve it was launched with."""

    rule: Literal["percentile", "halving"] = "percentile"
    """`percentile`: the curve is a percentile of earlier trials, after every epoch. `halving`:
    successive halving (ASHA) in the order of the trials; a trial is compared at a few epochs, the
    rungs, and space-filling trials run whole."""
    percentile: Annotated[float, Field(gt=0.0, lt=100.0)] = 20.0
    """`percentile`: percentile of the earlier trials' objective so far, epoch by epoch."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 5
    """`percentile`: first epochs, after which no trial is stopped."""
    after_trials: Annotated[int, Field(ge=1)] = 100
    """`percentile`: number of results needed before there is a curve."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """`halving`: one trial in so many passes a rung, and the next rung is so many times later."""
    first_rung: Annotated[int, Field(ge=1)] = 1
    """`halving`: epoch of the first rung, of the longest possible trial where rungs are shares."""
    brackets: Annotated[int, Field(ge=1)] = 1
    """`halving`: trials begin to be compared at the first, second, … of so many rungs, most of them
    at the first (Hyperband)."""
    rungs: Literal["epochs", "share"] = "epochs"
    """`halving`: rungs are at the same epochs for all trials, or at the same shares of a trial's
    own length."""

    @model_validator(mode="after")
    def _of_one_rule(self) -> Self:
        for name in sorted(self.model_fields_set & _OF_OTHER_RULE[self.rule]):
            if getattr(self, name) == type(self).model_fields[name].default:
                continue  # as a ledger keeps it
            other = "halving" if self.rule == "percentile" else "percentile"
            raise ValueError(f"{name} belongs to rule: {other}; this file has rule: {self.rule}")
        return self

    def of_its_rule(self, values: dict[str, object]) -> dict[str, object]:
        """Those of some fields' values that its rule has."""
        return {k: v for k, v in values.items() if k not in _OF_OTHER_RULE[self.rule]}

    @property
    def spared_epochs(self) -> int:
        """First epochs of any trial, after which it is never stopped."""
        return self.warmup_epochs if self.rule == "percentile" else 0


_OF_OTHER_RULE = {
    "percentile": {"reduction", "first_rung", "brackets", "rungs"},
    "halving": {"percentile", "warmup_epochs", "after_trials"},
}


class ExecutionSection(Section):
    """Execution of trials. Threads, precision, device and determinism decide a result's bits."""

    threads: Annotated[
        int,
        BeforeValidator(_threads),
        PlainSerializer(lambda threads: threads or "auto"),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
    ] = 1
    """CPU threads of one trial. `auto`: measured when the study begins, and kept from then on."""
    gpu: Annotated[float, Field(ge=0.0)] | Literal["auto"] = "auto"
    """Share of a GPU one trial takes, where the machine or cluster has any; `auto`: measured when
    the study begins."""
    retries: Annotated[int, Field(ge=0)] = 2
    """Number of retries of a trial that crashed, ran out of memory or time, or lost its node."""
    trial_timeout: Annotated[float | None, Field(gt=0.0), BeforeValidator(_seconds)] = 1800.0
    """Longest time of one attempt: `90s`, `30m`, `2h`, or `none`. It is processor time, divided by
    `threads`, so that a busy machine changes no result. An attempt without progress for ten times
    as long on the clock hangs, and is ended too."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where trials train; `auto`: on GPUs where there are any."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bfloat16 where the device computes in it."""
    deterministic: bool = True
    """Deterministic algorithms on GPUs. False is faster; the digest is then not reproducible."""
    keep_checkpoints: Annotated[int, Field(ge=0)] = 5
    """Checkpoints kept: those of the best trials."""

    def runtime(self, device: Literal["cpu", "cuda"]) -> Runtime:
        """The arithmetic of one trial on ``device``."""
        return Runtime(
            device=device,
            threads=self.threads,
            precision=self.precision,
            deterministic=self.deterministic,
        )
