"""Reading a study file and checking it against the fields it names."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from refinevad.config.detector import DetectorConfig
from refinevad.config.document import Document, read_document, validate
from refinevad.config.messages import expectation, nearest_key
from refinevad.config.section import Section
from refinevad.config.training import TrainConfig
from refinevad.errors import InputError
from refinevad.run_config import read_with_overrides
from study.config.sections import SOURCES
from study.config.study_file import StudyFile
from study.config.variants import (
    START,
    VARIANT,
    Start,
)
from study.space.constraints import Constraint
from study.space.dimension import Params, Scalar

_MAX_COMBINATIONS = 20_000


def load_study(
    path: Path, overrides: Iterable[str] = (), say: Callable[[str], None] | None = None
) -> StudyFile:
    """Reads and checks a study file, with ``--set`` applied.

    Args:
        path: The file.
        overrides: ``KEY=VALUE``. One that names a searched hyperparameter takes it out of the
            space.
        say: Called with a sentence where that happens.

    Raises:
        InputError: The file is wrong; the message names the line, the error and the allowed values.
    """
    return study_of(read_document(path), overrides, say)


def study_of(
    document: Document, overrides: Iterable[str] = (), say: Callable[[str], None] | None = None
) -> StudyFile:
    """Checks a file that was already read; otherwise as :func:`load_study`."""
    plain = {
        name: annotation
        for name, field in StudyFile.model_fields.items()
        if isinstance(annotation := field.annotation, type) and issubclass(annotation, Section)
    }
    whole = ("pruning", "space", "variants", "seeds", "constraints")
    _rename_arms(document)
    sections = read_with_overrides(document, map(_without_arms, overrides), plain, whole)
    _fix_searched(document, say)
    for section in ("objective", "search", "execution", "model", "train"):
        if document.data.get(section, ...) is None:  # `model:` with nothing below it
            document.data[section] = {}
    study = validate(document, StudyFile, document.data, sections)
    (_check_variants if study.variants else _check_space)(document, study)
    return study


def _fix_searched(document: Document, say: Callable[[str], None] | None) -> None:
    """Takes hyperparameters that a ``--set`` fixes out of the space."""
    space = document.data.get("space")
    if not isinstance(space, dict):
        return
    flags = {
        searched: document.origins[section, name]
        for section, values in document.data.items()
        if section in ("model", "train") and isinstance(values, dict)
        for name in values
        if (searched := "epochs" if name == "steps" else name) in space
        and document.origins.get((section, name), "").startswith("--set ")
    }  # `steps` are a run's length, as epochs are
    for name in flags:
        del space[name]
    if flags and not space:
        raise InputError(f"{next(iter(flags.values()))}: nothing is left to search")
    named = document.origins.get(("study", "name"), "").startswith("--set ")
    for name, flag in flags.items():
        if say is not None:
            say(
                f"{flag} fixes {name}, which the file searches: {len(space)} hyperparameter"
                f"{'s are' if len(space) > 1 else ' is'} still searched. This is a study of its "
                f"own{'' if named else '; name it with --set study.name=NAME'}"
            )


def _rename_arms(document: Document) -> None:
    """``arms``, as versions up to 0.3 wrote it, are variants."""
    if "arms" not in document.data:
        return
    if "variants" in document.data:
        raise document.error(("arms",), "the same as variants, which are given too; remove one")
    document.data["variants"] = document.data.pop("arms")
    for location, origin in list(document.origins.items()):
        if location[:1] == ("arms",):
            document.origins["variants", *location[1:]] = origin


def _without_arms(override: str) -> str:
    key, equals, value = override.partition("=")
    return re.sub(r"^\s*arms(?=\.|\s*$)", "variants", key) + equals + value


def _check_space(document: Document, study: StudyFile) -> None:
    """Checks that every searched name is a field that is not fixed, and every value is valid."""
    model = type(study.model)
    fields = _settings_of(model)
    if study.train.steps is not None:
        for name in sorted({"epochs", "batch_size"} & set(study.space)):
            raise document.error(
                ("train", "steps"), f"the length of a run depends on {name}, which is searched; "
                "give `epochs` instead"
            )  # fmt: skip
    for name, dimension in study.space.items():
        place = ("space", name)
        if name == "steps":
            raise document.error(place, "steps are not searched; search epochs")
        if name == "name":
            raise document.error(
                place,
                "a detector cannot be searched; compare detectors with `variants`, search one",
            )
        if name not in fields:
            if model.fitted and name in TrainConfig.model_fields:
                raise document.error(place, _not_trained(study.model.name))
            raise document.error(place, f"unknown hyperparameter{nearest_key(name, fields)}")
        for section in ("model", "train"):
            if name in (document.data.get(section) or {}):
                both = f"both searched here and fixed in `{section}`; remove one"
                raise document.error(place, both)
        for value in dimension.bounds():
            _check_value(document, model, place, {name: value})
        _check_when(document, study, name)
    _check_constraints(document, study)
    _check_combinations(document, study)
    for number, item in enumerate(study.search.enqueue):
        if not SOURCES & item.keys():
            _check_enqueued(document, study, ("search", "enqueue", number), item)


def _check_when(document: Document, study: StudyFile, name: str) -> None:
    """Checks that the condition of a hyperparameter can be true and false."""
    place = ("space", name, "when")
    for other, wanted in (study.space[name].when or {}).items():
        if other == name:
            raise document.error(place, f"{name} cannot depend on itself")
        if other not in study.space:
            raise document.error(
                place, f"{other} is not searched, so that {name} is searched always or never; "
                f"search {other} too, or remove the condition"
            )  # fmt: skip
        choices = study.space[other].choice
        for value in wanted if isinstance(wanted, tuple) else (wanted,):
            if choices is not None and value not in choices:
                raise document.error(place, f"{value!r} is not a choice of {other}: {choices}")
    seen = {name}
    rest = list(study.space[name].when or {})
    while rest:
        other = rest.pop()
        if other in seen:
            raise document.error(place, f"{name} and {other} depend on each other")
        seen.add(other)
        rest += study.space[other].when or {} if other in study.space else {}


def _check_constraints(document: Document, study: StudyFile) -> None:
    """Checks that every constraint is an expression of settings that has an answer."""
    known = _settings_of(type(study.model))
    for number, text in enumerate(study.constraints):
        place = ("constraints", number)
        try:
            constraint = Constraint(text)
        except ValueError as error:
            raise document.error(place, str(error)) from None
        for name in sorted(constraint.names):
            if name not in known:
                raise document.error(place, f"no setting {name!r}{nearest_key(name, known)}")
        if not constraint.names & study.space.keys():
            raise document.error(place, f"{text!r} names nothing that is searched; remove it")
        first = {name: study.space[name].bounds()[0] for name in study.space}
        try:
            study.accepts(first)
        except ValueError as error:
            raise document.error(place, str(error)) from None


def _check_enqueued(
    document: Document, study: StudyFile, place: tuple[str | int, ...], item: Mapping[str, Scalar]
) -> None:
    """Checks that a configuration is in the space and fulfils the constraints."""
    from study.space.membership import contains

    for name, value in item.items():
        if name not in study.space:
            hint = nearest_key(name, study.space)
            raise document.error(place, f"{name} is not searched here{hint}")
        if not contains(study.space[name].distribution(), value):
            raise document.error(
                place, f"{name} = {value!r} is not in the space of {name}; widen it, or remove this"
            )
    if not study.accepts(item):
        raise document.error(place, "this configuration does not fulfil the constraints")


def _settings_of(model: type[DetectorConfig]) -> dict[str, FieldInfo]:
    """Fields that a trial of a detector may set: the detector's, and those of training."""
    train = TrainConfig.model_fields
    if model.fitted:
        train = {"seed": train["seed"]}
    own = {name: field for name, field in model.model_fields.items() if name != "name"}
    return {**own, **train}


def _not_trained(name: str) -> str:
    return f"{name} is fitted in one go: it has no epochs, learning rate or batches"


def _check_variants(document: Document, study: StudyFile) -> None:
    """Checks that every variant names fields and gives a valid model."""
    for variant, settings in study.variants.items():
        try:
            model = type(study.detector_of(settings))
        except ValueError as error:
            raise document.error(("variants", variant, "name"), str(error)) from None
        name_of_model = model.model_fields["name"].default
        fields = _settings_of(model)
        for name, value in settings.items():
            place = ("variants", variant, name)
            if name == "name":
                continue
            if name == START:
                _check_start(document, study, place, value)
                continue
            if name == "steps":
                raise document.error(place, "steps stand in `train`; a variant has its own epochs")
            if name not in fields or name == "seed":
                hint = nearest_key(name, [*fields, START, "name"])
                if name == "seed":
                    hint = "; seeds are the variants' own"
                elif model.fitted and name in TrainConfig.model_fields:
                    hint = f": {_not_trained(name_of_model)}"
                raise document.error(place, f"no setting of a variant of {name_of_model}{hint}")
            _check_value(document, model, place, {name: value})
        try:
            study.trial_config({VARIANT: variant})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"]
            message = f"an impossible combination: {problem}"
            raise document.error(("variants", variant), message) from None
        if settings.get(START) == "frozen_core" and "core" not in model.transferable:
            raise document.error(
                ("variants", variant, START), f"frozen_core: {name_of_model} has no CORE to freeze"
            )


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
    document: Document, model: type[DetectorConfig], place: tuple[str, ...], params: Params
) -> None:
    """Checks type and bounds of one searched value (combinations are checked together)."""
    section = model if place[-1] in model.model_fields else TrainConfig
    try:
        section.model_validate(params)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["loc"]:
                found = params[place[-1]]
                wanted = expectation(detail)
                raise document.error(place, f"{found!r} is not possible: {wanted}") from None


def _check_combinations(document: Document, study: StudyFile) -> None:
    """Tries every combination of the searched fields that depend on each other."""
    for group in study.model.dependent:
        searched = [name for name in group if name in study.space]
        values = [study.space[name].all_values() for name in searched]
        if math.prod(map(len, values)) > _MAX_COMBINATIONS:
            raise document.error(
                ("space", searched[0]),
                f"too many combinations of {' and '.join(searched)} to check; use choice",
            )
        for combination in itertools.product(*values):
            params = dict(zip(searched, combination, strict=True))
            if not study.accepts(params):
                continue
            try:
                study.trial_config(params)
            except ValidationError as error:
                problem = str(error.errors(include_url=False)[0]["ctx"]["error"])
                named = [name for name in searched if name in problem]
                place = ("space", *named[:1])
                raise document.error(place, f"an impossible combination: {problem}") from None
