"""Deep MIL ranking against numbers worked out by hand and a slow loop."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from refinevad.layers.mil import bag_cross_entropy, fine_grained_loss, paired_mil_loss, top_k_logits
from refinevad.models.base import Batch
from refinevad.models.deepmil.config import DeepMILConfig
from refinevad.models.deepmil.model import DeepMIL
from tests.support.detectors import task


class Scored(DeepMIL):
    """Takes the first feature for the score."""

    def _score(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return x[..., 0], None


def scored(**knobs: Any) -> Scored:
    return Scored(DeepMILConfig.model_validate(knobs), task({"visual": 1}, 1))


@pytest.mark.parametrize(
    ("width", "parameters"),
    [(384, 213_569), (512, 279_105), (768, 410_177), (1024, 541_249)],
)
def test_it_has_the_published_number_of_parameters(width: int, parameters: int) -> None:
    model = DeepMIL(DeepMILConfig(), task({"visual": width}, 13))
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_weights_start_as_xavier_has_them_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    model = DeepMIL(DeepMILConfig(), task({"visual": 384}, 13))
    first = model.body[0]
    assert isinstance(first, torch.nn.Linear)
    bound = math.sqrt(6 / (384 + 512))
    assert 0.99 * bound < first.weight.abs().max() <= bound
    assert not first.bias.any()


def test_the_loss_of_one_pair_is_the_papers() -> None:
    """[1 - .9 + .4] + 8e-5 (.7^2 + 1.1) = .5001272."""
    x = torch.tensor([[[0.2], [0.9]], [[0.4], [0.1]]])
    losses = scored().losses(Batch(x, torch.tensor([[True], [False]])))
    assert losses["loss"].item() == pytest.approx(0.5001272, abs=1e-7)
    assert losses["reg"].item() == pytest.approx(0.49 + 1.1)


@pytest.mark.parametrize("pairs", ["all", "index"])
@pytest.mark.parametrize("top_k", [1, 3])
def test_the_ranking_loss_is_that_of_a_slow_loop(pairs: str, top_k: int) -> None:
    torch.manual_seed(1)
    x = torch.rand(6, 9, 1)
    labels = torch.tensor([[True], [False], [False], [True], [True], [False]])
    losses = scored(pairs=pairs, top_k=top_k, margin=0.7).losses(Batch(x, labels))
    best = [sum(sorted(video.flatten().tolist())[-top_k:]) / top_k for video in x]
    above = [b for b, label in zip(best, labels.flatten().tolist(), strict=True) if label]
    below = [b for b, label in zip(best, labels.flatten().tolist(), strict=True) if not label]
    both = (
        list(zip(above, below, strict=True))
        if pairs == "index"
        else [(a, n) for a in above for n in below]
    )
    expected = sum(max(0.0, 0.7 - a + n) for a, n in both) / len(both)
    assert losses["mil"].item() == pytest.approx(expected, rel=1e-5)


def test_pairs_by_index_stop_where_one_kind_ends() -> None:
    video = torch.tensor([0.9, 0.1, 0.5])
    abnormal = torch.tensor([True, False, True])
    assert paired_mil_loss(video, abnormal, 1.0).item() == pytest.approx(1 - 0.9 + 0.1)
    assert paired_mil_loss(video, torch.tensor([True] * 3), 1.0).item() == 0


def test_the_class_head_names_classes_and_learns_them_from_video_labels() -> None:
    """With k = 1, logits [[2, 0], [0, 1], [1, 1]] and class 1: the maxima are (2, 1)."""
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    assert torch.equal(top_k_logits(logits), torch.tensor([[2.0, 1.0]]))
    loss = fine_grained_loss(logits, torch.tensor([[True]]))
    assert loss.item() == pytest.approx(1.31326, abs=1e-5)
    normal = fine_grained_loss(logits, torch.tensor([[False]]))
    assert normal.item() == pytest.approx(0.31326, abs=1e-5)


def test_two_labels_weigh_half_each() -> None:
    logits = torch.tensor([[[0.0, 1.0, 3.0]]])
    log_p = logits.log_softmax(-1).flatten()
    expected = -(log_p[1] + log_p[2]) / 2
    assert fine_grained_loss(logits, torch.tensor([[True, True]])).item() == pytest.approx(
        expected.item()
    )


def test_weights_of_zero_switch_terms_off() -> None:
    config = DeepMILConfig(lambda_smooth=0, lambda_class=0, fine_grained=True)
    model = DeepMIL(config, task({"visual": 4}, 3))
    losses = model.losses(Batch(torch.randn(4, 6, 4), torch.eye(4)[:, :3].bool()))
    assert losses["reg"].item() == losses["class"].item() == 0
    assert torch.equal(losses["loss"], losses["mil"])


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    config = DeepMILConfig(lambda_smooth=0.01, lambda_class=0.3, fine_grained=True)
    model = DeepMIL(config, task({"visual": 4}, 3)).eval()
    found = model.losses(Batch(torch.randn(4, 6, 4), torch.eye(4)[:, :3].bool()))
    expected = found["mil"] + 0.01 * found["reg"] + 0.3 * found["class"]
    torch.testing.assert_close(found["loss"], expected)


def test_the_cross_entropy_of_bags_is_clamped() -> None:
    loss = bag_cross_entropy(torch.tensor([0.0, 1.0]), torch.tensor([True, False]))
    assert loss.item() == pytest.approx(-math.log(1e-6), rel=1e-3)


@pytest.mark.parametrize("fine_grained", [False, True])
def test_dropout_follows_both_hidden_layers(fine_grained: bool) -> None:
    """With weights of one, what is dropped is seen: a unit is 0, or 1 / (1 - p) times itself."""
    model = DeepMIL(
        DeepMILConfig(dropout=0.6, fine_grained=fine_grained), task({"visual": 4}, 3)
    ).train()
    torch.manual_seed(0)
    seen = []
    for layer in model.body:
        if isinstance(layer, torch.nn.Dropout):
            layer.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    model(torch.rand(8, 32, 4))
    assert [given.shape[-1] for given, _ in seen] == [512, 32]
    for given, out in seen:
        alive = given != 0
        kept = (out != 0)[alive]
        assert kept.float().mean().item() == pytest.approx(0.4, abs=0.03)
        torch.testing.assert_close(out[alive][kept], given[alive][kept] / 0.4)
