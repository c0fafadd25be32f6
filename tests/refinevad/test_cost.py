"""The costs of a detector: by hand, on any kind of run, and without a trace in the run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from refinevad.config.costs import COSTS
from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.evaluation.cost import cost_of
from refinevad.models.base import Task
from refinevad.models.registry import config_class, detector_class
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.results import RunResult
from refinevad.training.run import train

CPU = Runtime(device="cpu", precision="fp32")


def _train(model: dict[str, Any], cost: str | None, **settings: Any) -> RunResult:
    config = Config.model_validate(
        {
            "data": {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3},
            "model": model,
            "train": {"epochs": 2, "batch_size": 8} | settings,
        }
    )
    objective = ObjectiveConfig(cost=cost)
    return train(tiny_store(), config, seed=1, split_seed=1, objective=objective, runtime=CPU)


def test_a_linear_scorers_cost_by_hand() -> None:
    config = config_class({"name": "linear"})(name="linear")
    model = detector_class("linear")(config, Task({"visual": 10}, ("a",))).train()

    def cost(name: str) -> float:
        return cost_of(name, model, segments=8, epoch_seconds=[1.0, 2.0])[f"cost/{name}"]

    assert cost("flops") == 2 * 10 * 8  # ten products and ten sums for each of eight segments
    assert cost("parameters") == 10 + 1
    assert cost("epoch_seconds") == 1.5
    assert 0 < cost("latency") < 10_000
    assert model.training, "its mode is put back"


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("model", ["linear", "refinevad", "ocsvm"])
def test_every_kind_of_run_has_every_cost(model: str, cost: str) -> None:
    found = _train({"name": model}, cost).cost
    assert list(found) == [f"cost/{cost}"]
    assert found[f"cost/{cost}"] >= (0 if (model, cost) == ("ocsvm", "flops") else 1e-9)


def test_what_a_run_costs_changes_nothing_in_it() -> None:
    small = {"d_model": 16, "d_proj": 8, "d_emb": 8, "encoder_feedforward": 16, "shift_groups": 4}
    plain, weighed = _train(small, None), _train(small, "flops")
    assert plain.cost == {}
    assert plain.objective == weighed.objective
    assert plain.selected == weighed.selected
    assert plain.model_state is not None
    assert weighed.model_state is not None
    for name, tensor in plain.model_state.items():
        assert torch.equal(tensor, weighed.model_state[name])


def test_wider_models_cost_more_and_the_count_is_the_same_again() -> None:
    def flops(width: int) -> float:
        own = {"d_model": width, "encoder_feedforward": 16, "shift_groups": 4}
        return _train(own, "flops", epochs=1).cost["cost/flops"]

    assert flops(16) == flops(16) < flops(32)


def test_a_diverged_run_has_its_cost() -> None:
    result = _train({"name": "refinevad", "d_model": 16}, "flops", lr=1e30, clip_norm=0.0)
    assert result.diverged
    assert result.cost["cost/flops"] > 0
