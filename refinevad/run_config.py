"""The configuration of one run: the `data`, `model` and `train` sections of a study file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from refinevad.config.data import DataConfig
from refinevad.config.detector import DetectorConfig
from refinevad.config.document import Document, apply_overrides, read_document, validate
from refinevad.config.section import Section
from refinevad.config.training import TrainConfig
from refinevad.errors import InputError
from refinevad.models.refinevad.config import LOSS_FIELDS, RefineVADConfig
from refinevad.models.registry import AnyDetectorConfig, config_class


class Config(Section):
    """The configuration of one run: the sections that ``python -m refinevad.train`` reads."""

    data: DataConfig
    model: AnyDetectorConfig = RefineVADConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="before")
    @classmethod
    def _losses_are_the_models(cls, values: Any) -> Any:
        return losses_to_model(values)


def losses_to_model(values: Any) -> Any:
    """The sections of a file or ledger, RefineVAD's losses in ``model``.

    Up to version 0.3 they stood in ``train``.
    """
    if not isinstance(values, Mapping):
        return values
    model, train = values.get("model") or {}, values.get("train")
    if not (isinstance(model, Mapping) and isinstance(train, Mapping)):
        return values
    moved = {name: train[name] for name in LOSS_FIELDS if name in train}
    if not moved or config_class(model) is not RefineVADConfig:
        return values
    for name in moved:
        if name in model:
            raise ValueError(f"{name} is given in `model` and in `train`; remove one")
    rest = {name: value for name, value in train.items() if name not in moved}
    return {**values, "model": {**model, **moved}, "train": rest}


def read_with_overrides(
    document: Document,
    overrides: Iterable[str],
    sections: Mapping[str, type[BaseModel]],
    whole: Sequence[str] = (),
) -> dict[str, type[BaseModel]]:
    """Applies ``--set`` to a document, and determines its detector.

    Args:
        document: Changed in place; losses of RefineVAD that stand in ``train`` move to ``model``.
        overrides: ``KEY=VALUE``.
        sections: Section -> its class, without ``model``.
        whole: Top-level keys that may be set as one value.

    Returns:
        The sections, ``model`` among them.

    Raises:
        InputError: An override is wrong, or there is no such detector.
    """
    given = list(overrides)
    keys = ("model.name",) if "study" in sections else ("model.name", "name")
    names = [text for text in given if text.partition("=")[0].strip() in keys]
    apply_overrides(document, names, {"model": DetectorConfig})
    found = {**sections, "model": _detector(document)}
    moved: dict[str, str] = {}
    if found["model"] is RefineVADConfig:
        moved = {f"train.{name}": f"model.{name}" for name in LOSS_FIELDS}
        for name in LOSS_FIELDS:
            document.move(("train", name), ("model", name))
    rest = [text for text in given if text not in names]
    apply_overrides(document, rest, found, whole, moved)
    train = document.data.get("train")
    if isinstance(train, dict) and train.get("steps") is not None and "epochs" in train:
        raise document.error(("train", "steps"), "give either `epochs` or `steps`, not both")
    return found


def _detector(document: Document) -> type[DetectorConfig]:
    try:
        return config_class(document.data.get("model"))
    except ValueError as error:
        raise document.error(("model", "name"), str(error)) from None


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """The ``data``, ``model`` and ``train`` sections of a study file, with ``--set`` applied.

    Raises:
        InputError: The file, a key or an override is wrong; the message says where.
    """
    document = read_document(path)
    plain: dict[str, type[BaseModel]] = {"data": DataConfig, "train": TrainConfig}
    sections = read_with_overrides(document, overrides, plain)
    if "data" not in document.data:
        raise InputError(f"{path}: no `data` section; add one that names the features")
    wanted = {name: document.data[name] or {} for name in sections if name in document.data}
    return validate(document, Config, wanted, sections)


def searched_fields(path: Path, overrides: Iterable[str] = ()) -> list[str]:
    """Fields of ``model`` and ``train`` that the file searches and no override sets."""
    document = read_document(path)
    space = document.data.get("space")
    given = {text.partition("=")[0].strip().rpartition(".")[2] for text in overrides}
    if "steps" in given:  # the length of a run, as epochs are
        given.add("epochs")
    fields = {*_detector(document).model_fields, *TrainConfig.model_fields}
    if not isinstance(space, Mapping):
        return []
    return [name for name in space if name in fields and name not in given]
