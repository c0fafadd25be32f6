"""The study file: everything that determines a study's results, validated before it starts."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from refinevad.config.data import (
    Config,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    Runtime,
    Section,
    TrainConfig,
)
from refinevad.config.document import Document, apply_overrides, nearest, read_document, validate
from refinevad.errors import InputError
from study.config.variants import (
    ARM,
    MOST_REPLICATES,
    START,
    SourceSection,
    Start,
    arm_distributions,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Params = dict[str, Any]
"""A trial's searched hyperparameters: field name -> int, float, str, bool or None."""

STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""It names folders, also of whoever publishes a ledger that was made elsewhere."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_COMBINATIONS = 20_000


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


def _section_or_none(value: object) -> object:
    if isinstance(value, str) and value != "none":
        raise ValueError(f"found {value!r}; expected none, or percentile, warmup_epochs, …")
    return _none(value)


class StudySection(Section):
    """Which study, how long, which seed."""

    name: Annotated[str, Field(pattern=STUDY_NAME, max_length=100)]
    """Name of the study: its folder under `runs/` and its experiment in MLflow."""
    trials: Annotated[int, Field(ge=1)]
    """Trials in all. May be raised later: the study is then extended. With arms it is their number
    times `seeds`, and need not be given."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Decides every trial's parameters, its training seed and the validation split."""


class SearchSection(Section):
    """Ordered search: trial n is asked when the results of trials 0 … n - window are in."""

    space_filling: Annotated[int, Field(ge=0)] = 300
    """First trials, from a scrambled Sobol sequence; TPE proposes the rest."""
    window: Annotated[int, Field(ge=1)] = 64
    """Trials that may run at once without changing the sequence. At least 4 x workers keeps
    the workers busy."""


class PruningSection(Section):
    """A trial stops when its best so far falls below the stopping curve it was launched with."""

    percentile: Annotated[float, Field(gt=0.0, lt=100.0)] = 20.0
    """Percentile of the earlier trials' best-so-far objective, epoch by epoch."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 5
    """Epochs that are never stopped after."""
    after_trials: Annotated[int, Field(ge=1)] = 100
    """Results that must be in before there is a curve."""


class ExecutionSection(Section):
    """How trials are run. Threads, precision, device and determinism decide a result's bits."""

    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one trial."""
    gpu: Annotated[float, Field(ge=0.0)] | Literal["auto"] = "auto"
    """Share of a GPU one trial takes, where the machine or cluster has any; `auto`: measured when
    the study begins."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a trial that crashed, ran out of memory or time, or lost its node is run again."""
    trial_timeout: Annotated[float | None, Field(gt=0.0), BeforeValidator(_seconds)] = 1800.0
    """Longest time of one attempt: `90s`, `30m`, `2h`, or `none`."""
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


Scalar = bool | int | float | str | None
WholeRange = tuple[int, int]


class Dimension(Section):
    """One searched hyperparameter: exactly one of the kinds below."""

    choice: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    """Any of the values."""
    uniform: tuple[float, float] | None = None
    """A real number between two bounds."""
    log_uniform: tuple[float, float] | None = None
    """A real number whose logarithm is uniform."""
    int: WholeRange | None = None
    """A whole number, both bounds included."""
    log_int: WholeRange | None = None
    """A whole number, uniform in its logarithm."""

    @model_validator(mode="after")
    def _one_valid_kind(self) -> Self:
        kinds = list(self.model_fields_set)
        if len(kinds) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        if self.choice is not None:
            if len(set(map(repr, self.choice))) < len(self.choice):
                raise ValueError(f"choice {list(self.choice)} has a value twice")
            return self
        bounds = getattr(self, kinds[0])
        if bounds is None:
            raise ValueError(f"{kinds[0]} is empty; expected [low, high]")
        low, high = bounds
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{kinds[0]} [{low:g}, {high:g}] has a bound that is not finite")
        if low >= high:
            raise ValueError(f"empty range: {kinds[0]} [{low:g}, {high:g}] needs low < high")
        if kinds[0].startswith("log") and low <= 0:
            raise ValueError(f"{kinds[0]} from {low:g}: the lower bound must be above 0")
        return self

    def distribution(self) -> BaseDistribution:
        """The same as Optuna writes it."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.choice is not None:
            return CategoricalDistribution(self.choice)
        if self.uniform is not None:
            return FloatDistribution(*self.uniform)
        if self.log_uniform is not None:
            return FloatDistribution(*self.log_uniform, log=True)
        if self.int is not None:
            return IntDistribution(*self.int)
        assert self.log_int is not None
        return IntDistribution(*self.log_int, log=True)

    def ends(self) -> tuple[Any, ...]:
        """All choices, or both bounds."""
        if self.choice is not None:
            return self.choice
        return self.uniform or self.log_uniform or self.int or self.log_int or ()

    def all_values(self) -> Sequence[Any]:
        """All choices, all whole numbers, or both bounds of a real range."""
        whole = self.int or self.log_int
        return range(whole[0], whole[1] + 1) if whole else self.ends()


_SINCE_0_2: tuple[tuple[str | None, str, Any], ...] = (
    (None, "arms", {}),
    (None, "space", {}),
    (None, "source", None),
    ("model", "temporal", "motar"),
    ("model", "category_weights", "soft"),
)
"""Section, field and default of what studies of version 0.2 did not know."""


class StudyFile(Section):
    """One file says everything that determines a study's results."""

    study: StudySection
    objective: ObjectiveConfig = ObjectiveConfig()
    search: SearchSection = SearchSection()
    pruning: Annotated[PruningSection | None, BeforeValidator(_section_or_none)] = None
    execution: ExecutionSection = ExecutionSection()
    data: DataConfig
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    space: dict[str, Dimension] = Field(default_factory=dict)
    """What is searched. A study has a space or arms."""
    arms: dict[Annotated[str, Field(pattern=STUDY_NAME, max_length=50)], dict[str, Scalar]] = Field(
        default_factory=dict
    )
    """Named configurations that are compared: each the fields in which it differs."""
    seeds: Annotated[int, Field(ge=1, le=MOST_REPLICATES)] | None = None
    """Training seeds of each arm, the same for all. May be raised later."""
    source: SourceSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _trials_of_arms(cls, values: Any) -> Any:
        """Arms times seeds, unless the number is given."""
        if not (isinstance(values, dict) and isinstance(values.get("study"), dict)):
            return values
        arms, seeds = values.get("arms"), values.get("seeds")
        if isinstance(arms, dict):
            count = len(arms) * seeds if isinstance(seeds, int) else 0
            values = values | {"study": {"trials": max(1, count)} | values["study"]}
        return values

    @model_validator(mode="after")
    def _space_or_arms(self) -> Self:
        if bool(self.space) == bool(self.arms):
            raise ValueError("give either a space to search or arms to compare")
        if not self.arms:
            if self.seeds is not None:
                raise ValueError("seeds belong to arms; a search has study.seed alone")
            return self
        if self.seeds is None:
            raise ValueError("arms need seeds: how often each is trained")
        if self.study.trials != len(self.arms) * self.seeds:
            raise ValueError(
                f"{len(self.arms)} arms with {self.seeds} seeds each are "
                f"{len(self.arms) * self.seeds} trials, not {self.study.trials}; "
                "leave study.trials out and change seeds"
            )
        if self.pruning is not None:
            raise ValueError("arms are compared whole: remove pruning")
        if self.train.seed is not None:
            raise ValueError("arms differ in their seeds: remove train.seed")
        return self

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of every searched field, by name: the order of a file's lines
        must not change the sequence of trials."""
        if self.arms:
            return arm_distributions(list(self.arms))
        return {name: self.space[name].distribution() for name in sorted(self.space)}

    def trial_config(self, params: Mapping[str, Any]) -> Config:
        """The run of one trial: the fixed knobs and its searched ones.

        Raises:
            ValidationError: The combination is impossible.
        """
        if self.arms:
            params = self.arms[params[ARM]]
        model = {k: v for k, v in params.items() if k in ModelConfig.model_fields}
        train = {k: v for k, v in params.items() if k in TrainConfig.model_fields}
        return Config(
            data=self.data,
            model=ModelConfig.model_validate(self.model.model_dump() | model),
            train=TrainConfig.model_validate(self.train.model_dump() | train),
        )

    def start_of(self, params: Mapping[str, Any]) -> Start:
        """Where a trial's weights come from."""
        if not self.arms:
            return "scratch"
        start: Start = self.arms[params[ARM]].get(START, "scratch")  # type: ignore[assignment]
        return start

    def epochs_of(self, params: Mapping[str, Any]) -> int:
        """How long a trial is; what trains nothing has one epoch."""
        if self.start_of(params) == "zero_shot":
            return 1
        own: Mapping[str, Any] = self.arms[params[ARM]] if self.arms else params
        return int(own.get("epochs", self.train.epochs))

    def check_against(self, widths: Mapping[str, int], source: Path) -> None:
        """Raises InputError where the model wants a modality that the data do not have."""
        fusions = {self.model.fusion, *(arm.get("fusion", "concat") for arm in self.arms.values())}
        if "fusion" in self.space:
            fusions = set(self.space["fusion"].ends())
        for fusion in sorted(map(str, fusions)):
            if fusion != "concat" and fusion not in widths:
                raise InputError(
                    f"{source}: fusion = {fusion}, but the data have only {' and '.join(widths)}"
                    " features; use concat"
                )

    def to_yaml(self) -> str:
        """The study file with every default written out; it can be run as it is."""
        dump = self.model_dump(mode="json", exclude_none=True)
        for name in self.space:
            dump["model"].pop(name, None)
            dump["train"].pop(name, None)
        dump["execution"].setdefault("trial_timeout", "none")
        for unused in ("space", "arms"):
            if not dump[unused]:
                del dump[unused]
        if self.arms:
            del dump["study"]["trials"]
        return yaml.safe_dump(dump, sort_keys=False, default_flow_style=None, width=100)

    def determinants(self) -> dict[str, Any]:
        """What decides the results: everything but the number of trials, places and retries.

        The data enter by their fingerprint, so a moved folder is no change.
        """
        dump = self.model_dump(mode="json")
        del dump["study"]["trials"], dump["study"]["name"]
        for key in ("gpu", "retries", "trial_timeout", "keep_checkpoints"):
            del dump["execution"][key]
        for source in ("visual", "text"):
            if dump["data"][source]:
                dump["data"][source] = {"layout": dump["data"][source]["layout"]}
        del dump["data"]["annotations"]
        if self.source:
            dump["source"] = {f"seed {i}": sha for i, sha in enumerate(self.source.sha256)}
        del dump["seeds"]
        # A study that was begun before there was a field keeps its hash.
        for section, name, default in _SINCE_0_2:
            within = dump[section] if section else dump
            if within.get(name) == default:
                within.pop(name, None)
        return dump

    def hash(self, fingerprint: str) -> str:
        """Sixteen hex digits that name the study: its determinants and its data."""
        content = {"determinants": self.determinants(), "data": fingerprint}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load_study(path: Path, overrides: Iterable[str] = ()) -> StudyFile:
    """Reads and checks a study file, with ``--set`` applied.

    Raises:
        InputError: What is wrong, at which line, what is allowed.
    """
    return study_of(read_document(path), overrides)


def study_of(document: Document, overrides: Iterable[str] = ()) -> StudyFile:
    """As :func:`load_study`, of a file that was read already."""
    sections = {
        name: annotation
        for name, field in StudyFile.model_fields.items()
        if isinstance(annotation := field.annotation, type) and issubclass(annotation, Section)
    }
    apply_overrides(document, overrides, sections, whole=("pruning", "space", "arms", "seeds"))
    for section in ("objective", "search", "execution", "model", "train"):
        if document.data.get(section, ...) is None:  # `model:` with nothing below it
            document.data[section] = {}
    study = validate(document, StudyFile, document.data)
    (_check_arms if study.arms else _check_space)(document, study)
    return study


def _check_space(document: Document, study: StudyFile) -> None:
    """Every searched name is a field, searched only, and every value of it is possible."""
    fields = {**ModelConfig.model_fields, **TrainConfig.model_fields}
    for name, dimension in study.space.items():
        place = ("space", name)
        if name not in fields:
            raise document.error(place, f"unknown hyperparameter{nearest(name, fields)}")
        for section in ("model", "train"):
            if name in (document.data.get(section) or {}):
                both = f"both searched here and fixed in `{section}`; remove one"
                raise document.error(place, both)
        for value in dimension.ends():
            _check_value(document, study, place, {name: value})
    _check_combinations(document, study)


def _check_arms(document: Document, study: StudyFile) -> None:
    """Every arm names fields, and makes a model that is possible."""
    fields = {**ModelConfig.model_fields, **TrainConfig.model_fields, START: None}
    for arm, settings in study.arms.items():
        for name, value in settings.items():
            place = ("arms", arm, name)
            if name not in fields or name == "seed":
                hint = nearest(name, fields) if name != "seed" else "; seeds are the arms' own"
                raise document.error(place, f"no setting of an arm{hint}")
            if name == START:
                _check_start(document, study, place, value)
            else:
                _check_value(document, study, place, {name: value})
        try:
            study.trial_config({ARM: arm})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            message = f"an impossible combination: {problem}"
            raise document.error(("arms", arm), message) from None


def _check_start(
    document: Document, study: StudyFile, place: tuple[str, ...], value: Scalar
) -> None:
    if value not in get_args(Start):
        raise document.error(place, f"found {value!r}; expected {', '.join(get_args(Start))}")
    if value != "scratch" and study.source is None:
        raise document.error(place, f"{value} needs a source: checkpoints of another data set")
    if study.source and len(study.source.sha256) < (study.seeds or 0):
        raise document.error(("source",), "fewer checkpoints than seeds")


def _check_value(
    document: Document, study: StudyFile, place: tuple[str, ...], params: Params
) -> None:
    """One searched value on its own: type and bounds (combinations are checked together)."""
    section = ModelConfig if place[-1] in ModelConfig.model_fields else TrainConfig
    try:
        section.model_validate(params)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["loc"]:
                found = params[place[-1]]
                message = detail["msg"][:1].lower() + detail["msg"][1:]
                raise document.error(place, f"{found!r} is not possible: {message}") from None


_DEPENDENT = (
    ("d_model", "encoder_heads", "shift_groups", "temporal"),
    ("d_proj", "injection_heads", "injection"),
)
"""Model fields whose values must fit each other (heads must divide widths)."""


def _check_combinations(document: Document, study: StudyFile) -> None:
    """Tries every combination of the searched fields that depend on each other."""
    for group in _DEPENDENT:
        searched = [name for name in group if name in study.space]
        values = [study.space[name].all_values() for name in searched]
        if math.prod(map(len, values)) > _MAX_COMBINATIONS:
            raise document.error(
                ("space", searched[0]),
                f"too many combinations of {' and '.join(searched)} to check; use choice",
            )
        for combination in itertools.product(*values):
            try:
                study.trial_config(dict(zip(searched, combination, strict=True)))
            except ValidationError as error:
                problem = str(error.errors(include_url=False)[0]["ctx"]["error"])
                named = [name for name in searched if name in problem]
                place = ("space", *named[:1])
                raise document.error(place, f"an impossible combination: {problem}") from None
