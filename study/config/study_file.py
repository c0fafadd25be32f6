"""The study file: everything that determines a study's results, validated before it starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, model_validator

from refinevad.config.costs import COSTS
from refinevad.config.data import HOW_SOURCES_ARE_READ, DataConfig
from refinevad.config.detector import NO_TEXTS, DetectorConfig
from refinevad.config.section import Section
from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.errors import InputError
from refinevad.models.refinevad.config import LOSS_FIELDS, RefineVADConfig
from refinevad.models.registry import AnyDetectorConfig, config_class
from refinevad.run_config import Config, losses_to_model
from study.config.samplers import SAMPLERS
from study.config.sections import (
    ExecutionSection,
    PruningSection,
    SearchSection,
    StudySection,
    names_folder,
    section_or_none,
)
from study.config.variants import (
    MOST_REPLICATES,
    START,
    VARIANT,
    SourceSection,
    Start,
    variant_distributions,
)
from study.space.constraints import Constraint
from study.space.dimension import Dimension, Scalar

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


_SINCE_0_2: tuple[tuple[str | None, str, Any], ...] = (
    (None, "arms", {}),
    (None, "space", {}),
    (None, "source", None),
    ("model", "temporal", "motar"),
    ("model", "category_weights", "soft"),
    ("search", "sampler", "tpe"),
    ("objective", "top_k", "loss"),
    ("objective", "monitor", False),
    ("model", "category_outputs", "mean"),
    ("train", "steps", None),
    ("objective", "epoch", "best"),
    ("objective", "folds", 1),
    ("objective", "fold_kind", "repeated"),
    ("objective", "cost", None),
    ("train", "ema", 0.0),
    ("train", "batches", "balanced"),
    ("train", "optimizer", "adamw"),
    ("pruning", "rule", "percentile"),
    (None, "constraints", []),
    ("search", "enqueue", []),
    ("search", "import_trials", []),
    ("search", "inherit", None),
)
"""Section, field and value of settings that earlier versions did not have, and that stand for
what these versions did."""
_OF_DETECTORS_SINCE_0_5: Mapping[str, Any] = {
    "normalise": "none",
    "smooth_segments": 1,
    "video_share": 0.0,
    "mil_loss": "hinge",
    "label_smoothing": 0.0,
    "pool": "scores",
}
"""Likewise of the detectors, those of variants included."""


VariantName = Annotated[str, *names_folder(50)]


class StudyFile(Section):
    """The study file: everything that determines a study's results."""

    study: StudySection
    objective: ObjectiveConfig = ObjectiveConfig()
    search: SearchSection = SearchSection()
    pruning: Annotated[PruningSection | None, BeforeValidator(section_or_none)] = None
    execution: ExecutionSection = ExecutionSection()
    data: DataConfig
    model: AnyDetectorConfig = RefineVADConfig()
    train: TrainConfig = TrainConfig()
    space: dict[str, Dimension] = Field(default_factory=dict)
    """Searched fields and their ranges. A study has a space or variants."""
    constraints: tuple[str, ...] = ()
    """Conditions between settings that every trial fulfils, such as `d_proj % injection_heads ==
    0`; what does not is not proposed."""
    variants: dict[VariantName, dict[str, Scalar]] = Field(default_factory=dict)
    """Variants of a comparison study: name -> the fields in which it differs."""
    seeds: Annotated[int, Field(ge=1, le=MOST_REPLICATES)] | None = None
    """Training seeds of each variant, the same for all. May be raised later."""
    source: SourceSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _losses_are_the_models(cls, values: Any) -> Any:
        return losses_to_model(values)

    @model_validator(mode="before")
    @classmethod
    def _trials_of_variants(cls, values: Any) -> Any:
        """``arms``, as versions up to 0.3 wrote it, are variants; trials are variants times seeds,
        unless the number is given."""
        if isinstance(values, dict) and "arms" in values:
            if values.get("variants"):
                raise ValueError("variants and arms are the same: give one of them")
            values = {("variants" if k == "arms" else k): v for k, v in values.items()}
        if not (isinstance(values, dict) and isinstance(values.get("study"), dict)):
            return values
        variants, seeds = values.get("variants"), values.get("seeds")
        if isinstance(variants, dict):
            count = len(variants) * seeds if isinstance(seeds, int) else 0
            values = values | {"study": {"trials": max(1, count)} | values["study"]}
        return values

    @model_validator(mode="after")
    def _space_or_variants(self) -> Self:
        if bool(self.space) == bool(self.variants):
            raise ValueError("give either a space to search or variants to compare")
        if not self.variants:
            if self.seeds is not None:
                raise ValueError("seeds belong to variants; a search has study.seed alone")
            return self
        if self.seeds is None:
            raise ValueError("variants need seeds: how often each is trained")
        if self.study.trials != len(self.variants) * self.seeds:
            raise ValueError(
                f"{len(self.variants)} variants with {self.seeds} seeds each are "
                f"{len(self.variants) * self.seeds} trials, not {self.study.trials}; "
                "leave study.trials out and change seeds"
            )
        if self.pruning is not None:
            raise ValueError("variants are compared whole: remove pruning")
        if self.train.seed is not None:
            raise ValueError("variants differ in their seeds: remove train.seed")
        if self.search.sampler != SearchSection().sampler:
            raise ValueError("variants are not proposed by a sampler: remove search.sampler")
        return self

    @model_validator(mode="after")
    def _cost_and_metric(self) -> Self:
        if self.objective.cost is None:
            return self
        if self.pruning is not None:
            raise ValueError(
                "pruning stops a trial by its metric alone, and a cheap one with a lower metric "
                "may be worth having: with a cost remove pruning"
            )
        if not self.variants and SAMPLERS[self.search.sampler].with_cost is None:
            able = [name for name, entry in SAMPLERS.items() if entry.with_cost]
            raise ValueError(
                f"search.sampler {self.search.sampler} knows no cost; give one of {', '.join(able)}"
            )
        if self.search.import_trials:
            raise ValueError("imported trials have no cost: remove search.import_trials")
        return self

    @property
    def not_reproducible(self) -> str:
        """Why the same bits do not come out again; empty where they do."""
        if not self.execution.deterministic:
            return "execution.deterministic is false"
        cost = self.objective.cost
        if cost is not None and COSTS[cost].measured:
            return f"objective.cost {cost} is measured by a clock"
        return ""

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of every searched field, by name: the order of a file's lines
        must not change the sequence of trials."""
        if self.variants:
            return variant_distributions(list(self.variants))
        return {name: self.space[name].distribution() for name in sorted(self.space)}

    def trial_config(self, params: Mapping[str, Any]) -> Config:
        """The run of one trial: the fixed knobs and its searched ones.

        Raises:
            ValidationError: The combination is impossible.
        """
        params = self.variants[params[VARIANT]] if self.variants else self.active(params)
        base = self.detector_of(params)
        model = {k: v for k, v in params.items() if k in type(base).model_fields}
        train = {k: v for k, v in params.items() if k in TrainConfig.model_fields}
        return Config(
            data=self.data,
            model=type(base).model_validate(base.model_dump() | model),
            train=TrainConfig.model_validate(self.train.model_dump() | train),
        )

    def active(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The searched hyperparameters that a trial has: those whose ``when`` is fulfilled.

        One that depends on another that is not searched here is off too.
        """
        fixed = self.model.model_dump() | self.train.model_dump()
        found = dict(params)
        while True:
            settings = fixed | found
            off = [n for n in found if n in self.space and not self.space[n].allows(settings)]
            if not off:
                return found
            for name in off:
                del found[name]

    @cached_property
    def _conditions(self) -> list[Constraint]:
        return [Constraint(text) for text in self.constraints]

    def accepts(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration fulfils the constraints; of a part of one, those that it decides.

        Raises:
            ValueError: The values cannot be put into a constraint.
        """
        if not self.constraints:
            return True
        fixed = self.model.model_dump() | self.train.model_dump()
        settings = {k: v for k, v in fixed.items() if k not in self.space or k in params}
        settings |= {k: fixed[k] for k in params} | self.active(params)
        return all(c.holds(settings) for c in self._conditions if c.names <= settings.keys())

    def detector_of(self, settings: Mapping[str, Any]) -> DetectorConfig:
        """The detector that a variant starts from: the file's, or another at its defaults.

        Raises:
            ValueError: There is no detector of the variant's ``name``.
        """
        name = settings.get("name", self.model.name)
        return (
            self.model if name == self.model.name else config_class({"name": name})(name=str(name))
        )

    def detectors(self) -> list[DetectorConfig]:
        """The detector of every variant; of a search the one that it searches."""
        return [self.trial_config({VARIANT: variant}).model for variant in self.variants] or [
            self.model
        ]

    def start_of(self, params: Mapping[str, Any]) -> Start:
        """Origin of a trial's initial weights."""
        if not self.variants:
            return "scratch"
        start: Start = self.variants[params[VARIANT]].get(START, "scratch")  # type: ignore[assignment]
        return start

    @property
    def split_seed(self) -> int:
        """Seed of the validation split: the study's, unless the file fixes another."""
        fixed = self.data.split_seed
        return self.study.seed if fixed is None else fixed

    def epochs_of(self, params: Mapping[str, Any]) -> int:
        """Epochs of a trial; one where nothing is trained."""
        own: Mapping[str, Any] = self.variants[params[VARIANT]] if self.variants else params
        if self.start_of(params) == "zero_shot" or self.detector_of(own).fitted:
            return 1
        return int(own.get("epochs", self.train.epochs))

    def check_against(self, widths: Mapping[str, int], source: Path) -> None:
        """Raises InputError where a detector does not go with the features of the data."""
        models = self.detectors()
        for name in type(self.model).model_fields:  # each searched value on its own
            if name in self.space:
                values = self.space[name].bounds()
                models += [self.model.model_copy(update={name: value}) for value in values]
        for model in models:
            if model.needs_embeddings and self.data.category_embeddings is None:
                raise InputError(f"{source}: model {model.name}: {NO_TEXTS}")
            try:
                model.check_data(widths)
            except ValueError as error:
                raise InputError(f"{source}: {error}") from None

    def to_yaml(self) -> str:
        """The study file with every default written out; it can be run as it is."""
        dump = self.model_dump(mode="json", exclude_none=True)
        for name in self.space:
            dump["model"].pop(name, None)
            dump["train"].pop(name, None)
        dump["execution"].setdefault("trial_timeout", "none")
        if self.pruning is not None:
            dump["pruning"] = self.pruning.of_its_rule(dump["pruning"])
        for unused in ("space", "variants", "constraints"):
            if not dump[unused]:
                del dump[unused]
        if self.variants:
            del dump["study"]["trials"]
        return yaml.safe_dump(dump, sort_keys=False, default_flow_style=None, width=100)

    def determinants(self) -> dict[str, Any]:
        """Settings that decide the results: all but the number of trials, folders and retries.

        The data enter by their fingerprint, so a moved folder is no change.
        """
        dump = self.model_dump(mode="json")
        dump["arms"] = dump.pop("variants")  # as studies of version 0.3 are hashed
        for key in ("trials", "name", "budget"):
            del dump["study"][key]
        for key in ("gpu", "retries", "trial_timeout", "keep_checkpoints"):
            del dump["execution"][key]
        for source in ("visual", "text"):
            if dump["data"][source]:
                dump["data"][source] = {"layout": dump["data"][source]["layout"]}
        for key in ("annotations", "groups", "category_embeddings", *HOW_SOURCES_ARE_READ):
            del dump["data"][key]
        if self.source:
            dump["source"] = {f"seed {i}": sha for i, sha in enumerate(self.source.sha256)}
        del dump["seeds"]
        for dimension in dump["space"].values():
            if dimension["when"] is None:
                del dimension["when"]
        # A study that was begun before there was a field keeps its hash.
        if self.pruning is not None:
            dump["pruning"] = self.pruning.of_its_rule(dump["pruning"])
        for section, name, default in _SINCE_0_2:
            within = dump[section] if section else dump
            if within and name in within and within[name] == default:
                within.pop(name, None)
        model = dump["model"]
        _drop_new(model)
        if self.model.name == RefineVADConfig.model_fields["name"].default:
            # As version 0.3 wrote it.
            del model["name"]
            dump["train"] |= {name: model.pop(name) for name in LOSS_FIELDS}
        if self.model.revision != 1:
            model["revision"] = self.model.revision
        others = {
            variant: self.detector_of(settings)
            for variant, settings in self.variants.items()
            if "name" in settings
        }
        if others:  # what their defaults are is part of what is compared
            dump["detectors"] = {
                variant: other.model_dump(mode="json") | {"revision": other.revision}
                for variant, other in others.items()
            }
            for other in dump["detectors"].values():
                _drop_new(other)
        return dump

    def hash(self, fingerprint: str) -> str:
        """Sixteen hex digits that name the study: its determinants and its data."""
        content = {"determinants": self.determinants(), "data": fingerprint}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _drop_new(detector: dict[str, Any]) -> None:
    """Takes fields that version 0.5 did not have out of a detector's section, where they stand for
    what it did."""
    for name, value in _OF_DETECTORS_SINCE_0_5.items():
        if name in detector and detector[name] == value:
            del detector[name]
