"""What a run reports about itself: held-out losses, the activity of CORE, and its warnings."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.evaluation.metrics import video_metrics
from refinevad.models.base import Task
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.monitor import core_sentence, few_steps, warnings_of
from refinevad.training.results import RunResult
from refinevad.training.run import TrainingRun

CPU = Runtime(device="cpu", precision="fp32")
SMALL = {"d_model": 16, "d_proj": 8, "d_emb": 8, "encoder_feedforward": 16, "shift_groups": 4}


def run_of(
    model: dict[str, Any], *, objective: ObjectiveConfig = ObjectiveConfig(), **section: Any
) -> TrainingRun:
    config = Config.model_validate(
        {
            "data": {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3},
            "model": SMALL | model,
            "train": {"epochs": 30, "batch_size": 8, **section},
        }
    )
    return TrainingRun(tiny_store(), config, seed=1, split_seed=1, objective=objective, runtime=CPU)


def finished(model: dict[str, Any], **options: Any) -> RunResult:
    run = run_of(model, **options)
    while not run.done:
        run.run_epoch()
    return run.result()


def test_a_label_that_leaks_through_the_prototype_is_seen_in_the_held_out_loss() -> None:
    """The held-out videos are ranked perfectly either way: AUC does not show the leak."""
    leaking = finished({"injection": "linear", "label_prototype": True}).last
    paired = finished({"injection": "linear", "label_prototype": "paired"}).last
    assert leaking["val/auc"] == paired["val/auc"] == 1.0
    assert leaking["train/mil"] < 0.1 < 0.9 < leaking["val/mil"]
    assert abs(paired["val/mil"] - paired["train/mil"]) < 0.1
    assert any("model.label_prototype" in text for text in warnings_of(leaking))
    assert not any("model.label_prototype" in text for text in warnings_of(paired))


def test_held_out_mil_is_the_mean_hinge_of_all_pairs() -> None:
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.3], [0.6, 0.0]])
    labels = torch.tensor([[True], [False], [False]])
    config = RefineVADConfig(mil_top_k=1)
    found = RefineVAD.held_out_losses(scores, labels, config)["mil"]
    # pairs (.9, .3) and (.9, .6): 1 - .9 + .3 and 1 - .9 + .6
    assert found.item() == pytest.approx((0.4 + 0.7) / 2)


@pytest.mark.parametrize(("top_k", "k"), [(None, 1), (3, 3), ("loss", 5)])
def test_a_k_of_its_own_judges_videos(top_k: Any, k: int) -> None:
    """Not the k of the loss, which a study may search; `loss` is what versions up to 0.4 did."""
    run = run_of({"mil_top_k": 5}, epochs=1, objective=ObjectiveConfig(top_k=top_k))
    metrics = run.run_epoch().metrics
    judge, model = run.judge, run.model
    held_out = judge.held_out
    crops = judge.features[held_out].float().unbind(1)
    with torch.inference_mode():
        scores = np.mean([model.eval()(crop).scores.numpy() for crop in crops], axis=0)
    videos = np.sort(scores, axis=1)[:, -k:].mean(axis=1)
    expected = video_metrics(videos, judge.store.train.labels[held_out].any(axis=1))
    assert metrics["val/ap"] == pytest.approx(expected["ap"], abs=1e-6)
    assert metrics["val/auc"] == pytest.approx(expected["auc"], abs=1e-6)


def test_the_share_of_videos_with_a_category_above_the_threshold() -> None:
    run = run_of({"threshold": 0.3}, epochs=1)
    metrics = run.run_epoch().metrics
    judge, model = run.judge, run.model
    crops = judge.features[judge.held_out].float().unbind(1)
    with torch.inference_mode():
        probs = [model.eval().outputs(crop).category_probs for crop in crops]
    reached = np.mean([(p >= 0.3).any(1).numpy() for p in probs], axis=0)
    abnormal = judge.store.train.labels[judge.held_out].any(axis=1)
    assert metrics["core/s_abnormal"] == pytest.approx(reached[abnormal].mean())
    assert metrics["core/s_normal"] == pytest.approx(reached[~abnormal].mean())


def detector(**fields: Any) -> RefineVAD:
    torch.manual_seed(0)
    config = RefineVADConfig.model_validate(SMALL | fields)
    return RefineVAD(config, Task({"visual": 12}, ("a", "b", "c"))).eval()


def test_the_effect_of_prototypes_is_that_of_swapping_them() -> None:
    model, x = detector(threshold=0.0), torch.randn(6, 8, 12)
    labels = torch.tensor([[1, 0, 0]] * 3 + [[0, 0, 0]] * 3, dtype=torch.bool)
    with torch.inference_mode():
        found = model.effects(x, labels)["core/prototypes"]
        before = model.outputs(x).logits
    with torch.no_grad():
        model.core.prototypes.vectors.copy_(model.core.prototypes.vectors[[2, 0, 1]].clone())
        after = model.outputs(x).logits
    expected = (after - before)[:3].abs().mean() / before.std()
    assert found == pytest.approx(expected.item(), rel=1e-4)
    assert found > 0


def test_prototypes_have_no_effect_where_no_category_reaches_the_threshold() -> None:
    model, x = detector(threshold=1.0), torch.randn(6, 8, 12)
    labels = torch.ones(6, 3, dtype=torch.bool)
    with torch.inference_mode():
        assert model.effects(x, labels)["core/prototypes"] == pytest.approx(0.0, abs=1e-6)


def test_without_monitoring_only_what_version_0_4_logged_is_there() -> None:
    silent = run_of({}, epochs=1, objective=ObjectiveConfig(monitor=False)).run_epoch().metrics
    named = run_of({}, epochs=1).run_epoch().metrics
    assert named.keys() - silent.keys() == {"val/mil", "core/s_abnormal", "core/s_normal"}
    assert {name: named[name] for name in silent} == silent, "watching changes no bit"


def test_on_the_test_split_core_is_watched_on_test_videos() -> None:
    result = finished({}, epochs=1, objective=ObjectiveConfig(split="test"))
    assert {"core/s_abnormal", "core/s_normal", "core/prototypes"} <= result.selected.keys()
    assert "val/mil" not in result.selected


def test_an_inactive_core_is_said() -> None:
    metrics = {"core/s_abnormal": 0.02, "core/s_normal": 0.0, "core/prototypes": 0.0}
    assert any(text.startswith("CORE is inactive") for text in warnings_of(metrics))
    assert warnings_of(metrics | {"core/s_abnormal": 0.9}) == []
    assert warnings_of({"test/auc": 0.8}) == []
    assert core_sentence({"test/auc": 0.8}) == ""
    assert "in 2% of abnormal and 0% of normal videos" in core_sentence(metrics)


@pytest.mark.parametrize(
    ("abnormal", "normal", "batch", "epochs", "said"),
    [
        (
            58,
            58,
            64,
            20,
            r"has 20 gradient steps \(1 an epoch.*batch_size: 16 or more epochs",
        ),
        (58, 58, 64, 100, ""),
        (58, 58, 16, 20, ""),
        (400, 58, 64, 39, "with 400 abnormal and 58 normal"),
        (6, 6, 2, 6, r"36 gradient steps \(6 an epoch.*try more epochs$"),
        (800, 810, 64, 7, ""),
        (0, 10, 64, 7, ""),
    ],
)
def test_a_run_with_few_steps_is_told(
    abnormal: int, normal: int, batch: int, epochs: int, said: str
) -> None:
    labels = np.zeros((abnormal + normal, 2), dtype=bool)
    labels[:abnormal, 0] = True
    found = few_steps(labels, batch, epochs)
    assert re.search(said, found) if said else found == ""
