"""The configuration of one run: the `data`, `model` and `train` sections of a study file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from refinevad.config.data import DataConfig
from refinevad.config.document import apply_overrides, read_document, validate
from refinevad.config.section import Section
from refinevad.config.training import TrainConfig
from refinevad.errors import InputError
from refinevad.models.refinevad.config import ModelConfig


class Config(Section):
    """One training run: what ``python -m refinevad.train`` reads of a study file."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


SECTIONS: dict[str, type[BaseModel]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
}


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """The ``data``, ``model`` and ``train`` sections of a study file, with ``--set`` applied.

    Raises:
        InputError: The file, a key or an override is wrong; the message says where.
    """
    document = read_document(path)
    apply_overrides(document, overrides, SECTIONS)
    if "data" not in document.data:
        raise InputError(f"{path}: no `data` section; it says where the features lie")
    wanted = {name: document.data[name] or {} for name in SECTIONS if name in document.data}
    return validate(document, Config, wanted)


def searched_fields(path: Path, overrides: Iterable[str] = ()) -> list[str]:
    """Fields of ``model`` and ``train`` that the file searches and no override sets."""
    space = read_document(path).data.get("space")
    given = {text.partition("=")[0].rpartition(".")[2] for text in overrides}
    fields = {name for model in SECTIONS.values() for name in model.model_fields}
    return [name for name in (space or ()) if name in fields and name not in given]
