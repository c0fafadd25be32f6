"""The study file as a JSON schema, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from refinevad.models.refinevad.config import LOSS_FIELDS
from refinevad.models.registry import CONFIGS, DEFAULT
from study.config.study_file import StudyFile


def study_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a study file, every detector's section among it.

    It checks names, types and bounds. What must fit together is checked by
    ``study.run --dry-run``; ``${VARIABLES}`` are strings anywhere.
    """
    schema = StudyFile.model_json_schema(mode="validation")
    sections = {
        name: TypeAdapter(config).json_schema(ref_template="#/$defs/{model}")
        for name, config in CONFIGS.items()
    }
    alternatives = []
    for name, section in sections.items():
        schema["$defs"] |= section.pop("$defs", {})
        if name != DEFAULT:
            section["required"] = [*section.get("required", []), "name"]
        schema["$defs"][section["title"]] = section
        alternatives.append({"$ref": f"#/$defs/{section['title']}"})
    properties = schema["properties"]
    properties["model"] = {
        "description": "The detector: the section of the one that `name` names, by default "
        f"{DEFAULT}.",
        "anyOf": alternatives,
    }
    properties["arms"] = properties["variants"] | {"deprecated": True}
    train = schema["$defs"]["TrainConfig"]["properties"]
    for name in LOSS_FIELDS:  # as files up to version 0.3 have them
        train[name] = sections[DEFAULT]["properties"][name] | {"deprecated": True}
    study = schema["$defs"]["StudySection"]
    study["required"] = [name for name in study["required"] if name != "trials"]
    _allow_units(schema)
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Study file of RefineVAD Study",
    }
    return schema


def _allow_units(schema: dict[str, Any]) -> None:
    """Durations may have a unit, and ``none`` stands for null."""
    execution = schema["$defs"]["ExecutionSection"]["properties"]["trial_timeout"]
    execution["anyOf"].append({"type": "string", "pattern": "^(none|[0-9.]+ *[smhd])$"})
    schema["properties"]["pruning"]["anyOf"].append({"const": "none"})
