"""The leaderboard file: data, budget and methods of a fair table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from refinevad.config.data import DataConfig
from refinevad.config.detector import DetectorConfig
from refinevad.config.document import Document, read_document, validate
from refinevad.config.section import Section
from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.errors import InputError
from refinevad.models.registry import CONFIGS, config_class
from study.config.load import study_of
from study.config.sections import ExecutionSection, names_folder
from study.config.study_file import StudyFile
from study.space.dimension import Dimension, Params

SHARED: Mapping[str, Mapping[str, Any]] = {
    "lr": {"log_uniform": [1e-5, 1e-2]},
    "weight_decay": {"log_uniform": [1e-6, 1e-1]},
    "epochs": {"int": [5, 60]},
    "schedule": {"choice": ["constant", "cosine"]},
}
"""Hyperparameters of every method that is trained by gradient steps."""
SEEDS_OF_RETRAINING = 1_000_003
"""Added to the table's seed: no training seed of the search comes again."""


class TableSection(Section):
    """Name and budget of the table. No method gets another budget."""

    name: Annotated[str, *names_folder(60)]
    """Name of the table: the beginning of its studies' names, and its folder under `runs/`."""
    trials: Annotated[int, Field(ge=2)] = 60
    """Trials of each method's search: its defaults, then space-filling ones, then TPE."""
    seeds: Annotated[int, Field(ge=1)] = 10
    """Seeds that each method's best configuration is trained with again."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Decides the search, the split and all training seeds: the same for all methods."""
    reference: str | None = None
    """The method that others are compared with; None: the first."""
    gate: bool = True
    """Whether a method must first learn eight videos of these data by heart."""


class LeaderboardFile(Section):
    """A leaderboard file, validated."""

    leaderboard: TableSection
    methods: Annotated[tuple[str | dict[str, Any], ...], Field(min_length=1)]
    """Detectors: a name, or a mapping with `name` and what is fixed for it on these data."""
    objective: ObjectiveConfig = ObjectiveConfig(epoch="mean_second_half")
    execution: ExecutionSection = ExecutionSection()
    data: DataConfig
    train: TrainConfig = TrainConfig()
    space: dict[str, Dimension] = Field(default_factory=dict)
    """Ranges of shared hyperparameters, in place of the usual ones."""

    @model_validator(mode="after")
    def _methods_are_known(self) -> Self:
        names = self.names
        for name in names:
            if name not in CONFIGS:
                raise ValueError(f"there is no detector {name!r}; known: {', '.join(CONFIGS)}")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"methods named twice: {', '.join(twice)}")
        reference = self.leaderboard.reference
        if reference is not None and reference not in names:
            raise ValueError(f"reference {reference!r} is none of the methods: {', '.join(names)}")
        unknown = sorted(self.space.keys() - SHARED.keys())
        if unknown:
            raise ValueError(
                f"space has {', '.join(unknown)}; here it has the shared hyperparameters alone: "
                f"{', '.join(SHARED)}"
            )
        if self.objective.split != "val":
            raise ValueError("a fair table selects on held-out videos: objective.split is val")
        return self

    @property
    def names(self) -> list[str]:
        """Names of the methods, in order."""
        return [m if isinstance(m, str) else str(m.get("name")) for m in self.methods]

    @property
    def reference(self) -> str:
        """The method that others are compared with."""
        return self.leaderboard.reference or self.names[0]

    def config(self, method: str) -> type[DetectorConfig]:
        """The section class of a method."""
        return config_class({"name": method})

    def fixed(self, method: str) -> dict[str, Any]:
        """What the file fixes of a method's knobs, ``name`` among it."""
        given = self.methods[self.names.index(method)]
        return {"name": method} if isinstance(given, str) else dict(given)

    def search(self, method: str) -> StudyFile:
        """The search of a method: its defaults first, half of the rest space-filling, then TPE."""
        config, fixed, table = self.config(method), self.fixed(method), self.leaderboard
        space: dict[str, Any] = {k: dict(v) for k, v in config.space.items() if k not in fixed}
        if not config.fitted:
            given = {k: v.model_dump(exclude_none=True) for k, v in self.space.items()}
            space |= {name: given.get(name, dict(SHARED[name])) for name in SHARED}
        content = self._shared() | {
            "study": {
                "name": search_name(table.name, method),
                "trials": table.trials,
                "seed": table.seed,
            },
            "search": {
                "space_filling": max(1, (table.trials - 1) // 2),
                "window": 8,
                "enqueue": [{"preset": "defaults"}],
            },
            "model": fixed,
            "space": space,
        }
        for name in space:
            content["train"].pop(name, None)
        return self._checked(method, content)

    def retraining(self, method: str, params: Params) -> StudyFile:
        """The winner of a method's search, trained again: the same split, seeds of its own."""
        table = self.leaderboard
        settings = {k: v for k, v in self.fixed(method).items() if k != "name"} | dict(params)
        content = self._shared() | {
            "study": {
                "name": retraining_name(table.name, method),
                "seed": table.seed + SEEDS_OF_RETRAINING,
            },
            "seeds": table.seeds,
            "variants": {method: {"name": method} | settings},
        }
        content["data"] = content["data"] | {"split_seed": self.split_seed}
        kept = {"keep_checkpoints": table.seeds}
        content["execution"] = content["execution"] | kept
        return self._checked(method, content)

    @property
    def split_seed(self) -> int:
        """Seed of the validation split of all studies."""
        given = self.data.split_seed
        return self.leaderboard.seed if given is None else given

    def _shared(self) -> dict[str, Any]:
        sections = {
            "objective": self.objective,
            "execution": self.execution,
            "data": self.data,
            "train": self.train,
        }
        return {
            name: section.model_dump(mode="json", exclude_unset=True, exclude_none=True)
            for name, section in sections.items()
        }

    def _checked(self, method: str, content: dict[str, Any]) -> StudyFile:
        content = json.loads(json.dumps(content))
        return study_of(Document(f"methods.{method}", content))


def search_name(table: str, method: str) -> str:
    """Name of a method's search."""
    return f"{table}.{method}"


def retraining_name(table: str, method: str) -> str:
    """Name of the study that trains a method's winner again."""
    return f"{table}.{method}.seeds"


def load_leaderboard(path: Path) -> LeaderboardFile:
    """Reads and checks a leaderboard file.

    Raises:
        InputError: The file is wrong; the message says where.
    """
    document = read_document(path)
    sections: dict[str, Any] = {
        "leaderboard": TableSection,
        "objective": ObjectiveConfig,
        "execution": ExecutionSection,
        "data": DataConfig,
        "train": TrainConfig,
    }
    file = validate(document, LeaderboardFile, document.data, sections)
    for method in file.names:
        try:
            file.search(method)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return file
