"""The linear detector against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from refinevad.models.base import Batch
from refinevad.models.linear.config import LinearConfig
from refinevad.models.linear.model import Linear
from tests.support.detectors import task


def by_hand(config: LinearConfig) -> Linear:
    model = Linear(config, task({"visual": 2}, 1))
    with torch.no_grad():
        model.scorer.weight.copy_(torch.tensor([[1.0, -2.0]]))
        model.scorer.bias.fill_(0.5)
    return model


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_it_has_a_weight_per_feature_and_a_bias() -> None:
    model = Linear(LinearConfig(), task({"visual": 384}, 13))
    assert sum(p.numel() for p in model.parameters()) == 385


def test_scores_and_losses_are_those_of_a_logistic_regression() -> None:
    model = by_hand(LinearConfig(top_k=1, l2=0.1))
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [2.0, 1.0]]])
    scores = model(x).scores
    logits = [[1.5, -1.5], [0.5, 0.5]]
    expected = torch.tensor([[sigmoid(z) for z in row] for row in logits])
    torch.testing.assert_close(scores, expected)
    losses = model.losses(Batch(x, torch.tensor([[True], [False]])))
    bce = -(math.log(sigmoid(1.5)) + math.log(1 - sigmoid(0.5))) / 2
    assert losses["bce"].item() == pytest.approx(bce, rel=1e-5)
    assert losses["l2"].item() == pytest.approx(5.0)
    assert losses["loss"].item() == pytest.approx(bce + 0.1 * 5.0, rel=1e-5)


def test_without_a_weight_the_norm_is_not_computed() -> None:
    losses = by_hand(LinearConfig()).losses(
        Batch(torch.zeros(2, 3, 2), torch.tensor([[True], [False]]))
    )
    assert losses["l2"].item() == 0
    assert torch.equal(losses["loss"], losses["bce"])


def test_a_certain_score_has_a_finite_loss() -> None:
    model = by_hand(LinearConfig(top_k=1))
    x = torch.full((2, 1, 2), 0.0)
    x[0, 0, 0] = -1e4  # abnormal, and certainly taken for normal
    x[1, 0, 0] = 1e4
    losses = model.losses(Batch(x, torch.tensor([[True], [False]])))
    assert losses["loss"].item() == pytest.approx(-math.log(1e-6), rel=1e-3)


@pytest.mark.parametrize(("top_k", "counted"), [(1, 1), (3, 3), (99, 40), (None, 40 // 16 + 1)])
def test_a_video_is_judged_by_so_many_of_its_segments(top_k: int | None, counted: int) -> None:
    x = torch.randn(2, 40, 2, generator=torch.Generator().manual_seed(0))
    losses = by_hand(LinearConfig(top_k=top_k)).losses(Batch(x, torch.tensor([[True], [False]])))
    best = []
    for video in x.tolist():
        scores = sorted((sigmoid(a - 2 * b + 0.5) for a, b in video), reverse=True)
        best.append(sum(scores[:counted]) / counted)
    expected = -(math.log(best[0]) + math.log(1 - best[1])) / 2
    assert losses["bce"].item() == pytest.approx(expected, rel=1e-5)


def test_the_mean_logit_of_all_segments_is_a_regression_on_the_mean_feature() -> None:
    model = by_hand(LinearConfig(top_k=99, pool="logits"))
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [2.0, 1.0]]])
    losses = model.losses(Batch(x, torch.tensor([[True], [False]])))
    mean = [0.5 * 1 - 2 * 0.5 + 0.5, 1.0 - 2 * 0.5 + 0.5]  # logits of (.5, .5) and (1, .5)
    bce = -(math.log(sigmoid(mean[0])) + math.log(1 - sigmoid(mean[1]))) / 2
    assert losses["bce"].item() == pytest.approx(bce, rel=1e-6)
