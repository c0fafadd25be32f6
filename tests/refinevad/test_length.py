"""The length of a run in gradient steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import refinevad
from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.data.batches import BalancedBatches, steps_of_an_epoch
from refinevad.errors import InputError
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.judge import training_videos, with_epochs
from study.config.load import load_study
from study.session.prepared import of_these_data
from tests.support.workspace import SMALL_STUDY


@pytest.mark.parametrize(
    ("abnormal", "normal", "batch", "steps"),
    [(58, 58, 64, 1), (58, 58, 16, 7), (10, 100, 4, 5), (3, 3, 64, 1)],
)
def test_the_steps_of_an_epoch_are_those_of_its_batches(
    abnormal: int, normal: int, batch: int, steps: int
) -> None:
    labels = np.zeros((abnormal + normal, 2), dtype=bool)
    labels[:abnormal, 0] = True
    assert steps_of_an_epoch(labels, batch) == steps
    batches = BalancedBatches(torch.from_numpy(labels), batch, torch.Generator(), crops=1)
    assert len(list(batches.epoch())) == steps


def config(**train: Any) -> Config:
    model = {"d_model": 16, "d_proj": 8, "d_emb": 8, "encoder_feedforward": 16, "shift_groups": 4}
    data = {"synthetic": "ucf-like", "segments": 8}
    return Config.model_validate({"data": data, "model": model, "train": train})


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (3, 1), (4, 2), (10, 4)])
def test_a_run_has_as_few_epochs_as_have_the_steps(steps: int, epochs: int) -> None:
    store = tiny_store()
    given = config(steps=steps, batch_size=8)
    training, _ = training_videos(store, given.data, ObjectiveConfig(), 42)
    assert steps_of_an_epoch(store.train.labels[training], 8) == 3
    found = with_epochs(given.train, store, given.data, ObjectiveConfig(), 42)
    assert (found.epochs, found.steps) == (epochs, None)
    trained = refinevad.train_detector(given, store)
    assert len(trained.curve) == epochs


def test_epochs_stay_as_they_are() -> None:
    given = config(epochs=5)
    assert with_epochs(given.train, tiny_store(), given.data, ObjectiveConfig(), 42) is given.train


def test_a_study_has_the_epochs_in_its_ledger(tmp_path: Path) -> None:
    text = SMALL_STUDY.replace("batch_size: 16", "batch_size: 8, steps: 10")
    text = text.replace("  epochs: {int: [2, 4]}\n", "")
    (tmp_path / "s.yaml").write_text(text)
    file = load_study(tmp_path / "s.yaml")
    found = of_these_data(file, tiny_store())
    assert (found.train.epochs, found.train.steps) == (4, None)
    assert "steps" not in found.determinants()["train"]
    same = load_study(tmp_path / "s.yaml").model_copy(
        update={"train": TrainConfig.model_validate(
            {**file.train.model_dump(exclude={"steps", "epochs"}), "epochs": 4})}
    )  # fmt: skip
    assert found.hash("f") == same.hash("f")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("batch_size: 16", "batch_size: 16, steps: 10", "depends on epochs, which is searched"),
        ("batch_size: 16", "batch_size: 16, steps: 10, epochs: 3", "give either `epochs` or"),
        ("  epochs: {int: [2, 4]}", "  steps: {int: [20, 40]}", "steps are not searched"),
    ],
)
def test_a_length_that_is_not_one_is_refused(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    (tmp_path / "s.yaml").write_text(SMALL_STUDY.replace(old, new))
    with pytest.raises(InputError, match=words):
        load_study(tmp_path / "s.yaml")
