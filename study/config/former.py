"""Defaults of earlier versions, which studies that were begun with them keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refinevad.config.section import Section
from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.models.registry import CONFIGS, DEFAULT
from study.config.study_file import StudyFile

_NEWEST = ("objective", "top_k")
"""A field that versions up to 0.4 did not have."""


def of_former_version(config: Mapping[str, Any]) -> bool:
    """Whether a recorded study file is of version 0.4 or older."""
    section, field = _NEWEST
    return field not in (config.get(section) or {})


def written_out(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded study file in which fields that its version did not have are written out."""
    if not of_former_version(config):
        return dict(config)
    model = config.get("model") or {}
    detector = CONFIGS[model.get("name", DEFAULT)]
    sections: dict[str, type[Section]] = {
        "objective": ObjectiveConfig,
        "model": detector,
        "train": TrainConfig,
    }
    # losses of RefineVAD stood in `train` up to version 0.3
    moved = {*model, *(config.get("train") or {})}
    found = dict(config)
    for name, section in sections.items():
        former = {k: v for k, v in section.former.items() if name != "model" or k not in moved}
        found[name] = {**former, **(config.get(name) or {})}
    return found


def as_begun(file: StudyFile, recorded: Mapping[str, Any]) -> StudyFile:
    """The study file with the defaults of the version that began the study.

    Args:
        file: As it is read now. What it does not say takes its former default.
        recorded: The study file as the ledger keeps it.
    """
    if not of_former_version(recorded):
        return file
    changed: dict[str, Section] = {}
    for name in ("objective", "model", "train"):
        section: Section = getattr(file, name)
        unsaid = {k: v for k, v in section.former.items() if k not in section.model_fields_set}
        changed[name] = section.model_copy(update=unsaid)
    return file.model_copy(update=changed)
