"""Frozen categories and zero-shot scoring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.errors import InputError
from refinevad.evaluation.scores import score_test
from refinevad.evaluation.splits import test_metrics as metrics_of
from refinevad.models import checkpoint
from refinevad.models.base import Detector
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.results import RunResult
from refinevad.training.run import TrainingRun, train
from refinevad.training.zero_shot import ZeroShotRun
from tests.support.detectors import task

CPU = Runtime(device="cpu", precision="fp32")
CONFIG = Config.model_validate(
    {
        "data": {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3},
        "model": {
            "d_model": 16, "d_proj": 8, "d_emb": 8, "encoder_feedforward": 16, "shift_groups": 4,
        },
        "train": {"epochs": 3, "batch_size": 8, "lr": 3e-3},
    }
)  # fmt: skip


def source_of(result: RunResult) -> tuple[Detector, checkpoint.Meta]:
    assert result.model_state is not None
    store = tiny_store()
    content = checkpoint.dumps(
        result.model_state, model=CONFIG.model, categories=store.categories, widths=store.widths
    )
    return checkpoint.loads(content)


def trained(seed: int = 1, **options: Any) -> RunResult:
    return train(tiny_store(), CONFIG, seed=seed, split_seed=1, runtime=CPU, **options)


def test_frozen_categories_are_the_sources_and_stay_so() -> None:
    source, _ = source_of(trained())
    run = TrainingRun(tiny_store(), CONFIG, seed=2, split_seed=1, runtime=CPU, frozen_from=source)
    curve = []
    while not run.done:
        curve.append(run.run_epoch())
    state = run.result().model_state
    assert state is not None
    theirs = source.state_dict()
    frozen = [n for n in state if n.startswith(("core.classifier", "core.prototypes"))]
    assert len(frozen) > 3
    for name in frozen:
        assert torch.equal(state[name], theirs[name]), name
    assert not torch.equal(state["fuse.weight"], theirs["fuse.weight"])
    assert all(row.metrics["train/cat"] == 0 for row in curve)
    fresh = trained(seed=2).model_state
    assert fresh is not None
    assert not torch.equal(state["fuse.weight"], fresh["fuse.weight"])


def test_categories_may_be_others_in_number() -> None:
    torch.manual_seed(0)
    store = tiny_store()
    assert isinstance(CONFIG.model, RefineVADConfig)
    source = RefineVAD(CONFIG.model, task(store.widths, len(store.categories) + 3))
    run = TrainingRun(store, CONFIG, seed=2, split_seed=1, runtime=CPU, frozen_from=source)
    while not run.done:
        run.run_epoch()
    state = run.result().model_state
    assert state is not None
    assert len(state["core.prototypes.vectors"]) == len(store.categories) + 3


def test_other_widths_are_refused() -> None:
    store = tiny_store()
    wide = CONFIG.model.model_copy(update={"d_emb": 16})
    model = RefineVAD(CONFIG.model, task(store.widths, 3))
    with pytest.raises(InputError, match="d_emb = 16, this model 8"):
        model.take_frozen(RefineVAD(wide, task(store.widths, 3)))


def test_zero_shot_is_the_source_scored_as_it_is() -> None:
    result = trained()
    source, meta = source_of(result)
    run = ZeroShotRun(
        tiny_store(), source, meta, CONFIG,
        split_seed=1, objective=ObjectiveConfig(), runtime=CPU,
    )  # fmt: skip
    assert not run.done
    record = run.run_epoch()
    assert run.done
    found = run.result()
    store = tiny_store()
    scores = score_test(source, store, length="segments")
    expected = metrics_of(scores, store)
    assert {k: v for k, v in found.selected.items() if k.startswith("test/")} == expected
    # On the data it was trained on, with the same videos held out, it is the selected epoch.
    assert record.objective == result.objective
    assert found.selected["test/auc"] == result.selected["test/auc"]
    assert np.isfinite(record.seconds)


def test_zero_shot_needs_the_same_features() -> None:
    source, meta = source_of(trained())
    other = checkpoint.Meta(meta.model, meta.categories, {"visual": 5}, {})
    with pytest.raises(InputError, match="the checkpoint reads visual 5"):
        ZeroShotRun(
            tiny_store(), source, other, CONFIG,
            split_seed=1, objective=ObjectiveConfig(), runtime=CPU,
        )  # fmt: skip
