"""Each loss on numbers worked out by hand, the sign of its gradient, and its invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from refinevad.layers.mil import mil_loss, regulariser, top_k_mean
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.losses import (
    Losses,
    balanced_class_weights,
    category_loss,
    gmm_loss,
    mixture,
    moments,
    training_loss,
)
from refinevad.models.refinevad.model import RefineVAD
from refinevad.models.refinevad.output import Output
from tests.support.detectors import task

torch.set_num_threads(1)


def all_valid(scores: Tensor) -> Tensor:
    return torch.ones_like(scores, dtype=torch.bool)


def output(
    scores: Tensor,
    mask: Tensor | None = None,
    category_logits: Tensor | None = None,
    mu: Tensor | None = None,
    sigma: Tensor | None = None,
    weights: Tensor | None = None,
) -> Output:
    """An Output of two categories with what a loss looks at; the rest is empty."""
    batch, empty = len(scores), torch.empty(0)
    half = torch.full((batch, 2), 0.5)
    return Output(
        logits=empty,
        scores=scores,
        rough_logits=empty,
        category_logits=torch.zeros(batch, 2, 2) if category_logits is None else category_logits,
        category_probs=empty,
        category_weights=half if weights is None else weights,
        x_tc=empty,
        x_ca=empty,
        mu=half if mu is None else mu,
        sigma=half if sigma is None else sigma,
        shift=empty,
        mask=all_valid(scores) if mask is None else mask,
    )


def test_top_k_is_one_per_started_sixteen_segments_plus_one() -> None:
    scores = torch.linspace(0, 1, 32).unsqueeze(0)
    best = [1.0, 30 / 31, 29 / 31]
    assert top_k_mean(scores, all_valid(scores)).item() == pytest.approx(sum(best) / 3)
    short = torch.tensor([[0.1, 0.9, 0.5]])
    assert top_k_mean(short, all_valid(short)).item() == pytest.approx(0.9)
    assert top_k_mean(short, all_valid(short), 2).item() == pytest.approx(0.7)
    assert top_k_mean(short, all_valid(short), 99).item() == pytest.approx(0.5)


def test_top_k_counts_the_valid_segments_of_each_video() -> None:
    scores = torch.rand(3, 40)
    lengths = [40, 17, 1]
    mask = torch.arange(40) < torch.tensor(lengths).unsqueeze(1)
    for k in (None, 2):
        together = top_k_mean(scores, mask, k)
        for b, length in enumerate(lengths):
            alone = scores[b : b + 1, :length]
            assert together[b] == top_k_mean(alone, all_valid(alone), k)[0]


def test_mil_on_numbers_worked_out_by_hand() -> None:
    video = torch.tensor([0.9, 0.2, 0.4, 0.1])
    abnormal = torch.tensor([True, False, True, False])
    # pairs (a, n): 1-.9+.2=.3, 1-.9+.1=.2, 1-.4+.2=.8, 1-.4+.1=.7
    assert mil_loss(video, abnormal, 1.0).item() == pytest.approx(0.5)
    # margin .5: 0, 0, .3, .2
    assert mil_loss(video, abnormal, 0.5).item() == pytest.approx(0.125)


def test_mil_pulls_abnormal_videos_up_and_normal_ones_down() -> None:
    video = torch.tensor([0.5, 0.5], requires_grad=True)
    mil_loss(video, torch.tensor([True, False]), 1.0).backward()
    assert video.grad is not None
    assert video.grad.tolist() == [-1.0, 1.0]


def test_a_batch_of_one_class_has_no_pairs_and_no_nan() -> None:
    for flag in (True, False):
        assert mil_loss(torch.rand(3), torch.full((3,), flag), 1.0).item() == 0.0


def test_mil_ignores_the_order_inside_a_bag_and_inside_a_batch() -> None:
    scores = torch.rand(6, 32)
    abnormal = torch.tensor([True, False, True, False, False, True])
    shuffled = scores[:, torch.randperm(32)]
    order = torch.randperm(6)
    expected = mil_loss(top_k_mean(scores, all_valid(scores)), abnormal, 1.0)
    inside = mil_loss(top_k_mean(shuffled, all_valid(scores)), abnormal, 1.0)
    between = mil_loss(top_k_mean(scores, all_valid(scores))[order], abnormal[order], 1.0)
    torch.testing.assert_close(inside, expected)
    torch.testing.assert_close(between, expected)


@pytest.mark.parametrize(("outputs", "share"), [("sum", 1.0), ("mean", 0.5)])
def test_category_loss_on_numbers_worked_out_by_hand(outputs: str, share: float) -> None:
    ln3 = math.log(3)  # sigmoid 3/4
    z = torch.tensor([[[0.0, ln3], [ln3, 0.0]]])
    labels = torch.tensor([[True, True]])
    # category 0: -ln(1/2), -ln(3/4); category 1: -ln(1/4), -ln(1/2)
    first, second = math.log(2) + math.log(4 / 3), math.log(4) + math.log(2)
    expected = pytest.approx(share * (first + second))
    assert category_loss(z, labels, None, outputs).item() == expected
    twice = torch.cat([z, z]), torch.cat([labels, labels])
    assert category_loss(*twice, None, outputs).item() == expected


def test_class_weights_worked_out_by_hand() -> None:
    labels = torch.zeros(10, 3, dtype=torch.bool)
    labels[:2, 0] = True  # 8 negatives, 2 positives; one positive; none
    labels[5, 1] = True
    assert balanced_class_weights(labels).tolist() == [4.0, 9.0, 1.0]
    assert balanced_class_weights(labels, "sqrt_balanced").tolist() == [2.0, 3.0, 1.0]


def test_class_weights_count_the_videos_that_have_the_category_only() -> None:
    z = torch.zeros(2, 2, 2)
    labels = torch.tensor([[True, False], [False, False]])
    weights = torch.tensor([5.0, 7.0])
    # 2 ln 2 for each of four; the one positive counts five times; mean over two videos
    assert category_loss(z, labels, weights).item() == pytest.approx(math.log(4) * (5 + 3) / 2)


def test_category_loss_moves_both_outputs_towards_the_label() -> None:
    z = torch.zeros(1, 2, 2, requires_grad=True)
    category_loss(z, torch.tensor([[True, False]]), None).backward()
    assert z.grad is not None
    normal, anomalous = z.grad[0, :, 0], z.grad[0, :, 1]
    assert normal[0] > 0 > anomalous[0]
    assert normal[1] < 0 < anomalous[1]


def test_mixture_on_numbers_worked_out_by_hand() -> None:
    out = output(
        torch.zeros(1, 2),
        mu=torch.tensor([[0.25, 0.75]]),
        sigma=torch.tensor([[0.5, 0.25]]),
        weights=torch.tensor([[0.8, 0.2]]),
    )
    # tau = .25, .75; beta .7; exponents of the off-centre: .7 * .25 / (2 * .25), .7 * .25 / .125
    wide, narrow = math.exp(-0.35), math.exp(-1.4)
    expected = torch.tensor([[0.8 + 0.2 * narrow, 0.8 * wide + 0.2]])
    torch.testing.assert_close(mixture(out, 0.7), expected)


def test_time_is_a_share_of_the_valid_length() -> None:
    mask = torch.tensor([[True, True, False, False]])
    args = {
        "mu": torch.tensor([[0.25, 0.75]]),
        "sigma": torch.tensor([[0.5, 0.25]]),
        "weights": torch.tensor([[0.8, 0.2]]),
    }
    padded = mixture(output(torch.zeros(1, 4), mask=mask, **args), 0.7)
    torch.testing.assert_close(padded[:, :2], mixture(output(torch.zeros(1, 2), **args), 0.7))


def test_moments_on_numbers_worked_out_by_hand() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    # tau = 1/8, 3/8, 5/8, 7/8; mu = 1/4, variance = 1/64
    away = torch.tensor([[1 / 8, 1 / 8, 3 / 8, 5 / 8]])
    expected = torch.exp(-0.7 * away**2 / (2 * (1 / 64 + 1e-6)))
    torch.testing.assert_close(moments(scores, all_valid(scores), 0.7), expected)


def test_moments_give_no_gradient_and_ignore_padding() -> None:
    scores = torch.rand(2, 6, requires_grad=True)
    mask = torch.arange(6) < torch.tensor([[6], [3]])
    target = moments(scores, mask, 0.7)
    assert not target.requires_grad
    alone = scores[1:, :3]
    torch.testing.assert_close(target[1, :3], moments(alone, all_valid(alone), 0.7)[0])


def test_gmm_loss_is_over_the_valid_segments_of_abnormal_videos() -> None:
    scores = torch.tensor([[0.5, 0.1, 0.9], [0.9, 0.9, 0.9]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    target = torch.tensor([[0.2, 0.5, 0.0], [0.0, 0.0, 0.0]])
    loss = gmm_loss(scores, target, mask, torch.tensor([True, False]))
    assert loss.item() == pytest.approx((0.3**2 + 0.4**2) / 2)
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[0, 0] > 0 > scores.grad[0, 1]
    assert not scores.grad[0, 2]
    assert not scores.grad[1].any()


def test_regulariser_on_numbers_worked_out_by_hand() -> None:
    scores = torch.tensor([[0.5, 0.1, 0.9], [0.2, 0.2, 0.2], [0.9, 0.0, 0.9]])
    mask = torch.tensor([[True, True, False], [True, True, True], [True, True, True]])
    abnormal = torch.tensor([True, True, False])
    # first: .4^2 + .6 ; second: 0 + .6 ; mean over two
    expected = (0.16 + 0.6 + 0.6) / 2
    assert regulariser(scores, mask, abnormal).item() == pytest.approx(expected)


def test_regulariser_flattens_and_lowers_abnormal_scores_only() -> None:
    scores = torch.tensor([[0.2, 0.9, 0.2], [0.2, 0.9, 0.2]], requires_grad=True)
    regulariser(scores, all_valid(scores), torch.tensor([True, False])).backward()
    assert scores.grad is not None
    assert scores.grad[0, 1] > 1 > scores.grad[0, 0]
    assert not scores.grad[1].any()


LABELS = torch.tensor([[True, False], [False, False], [True, True], [False, False]])


def losses_of_model(config: RefineVADConfig, order: Tensor | None = None) -> Losses:
    torch.manual_seed(0)
    model = RefineVAD(RefineVADConfig(d_model=16, d_proj=8, d_emb=4), task({"visual": 6}, 2)).eval()
    x, order = torch.randn(4, 20, 6), torch.arange(4) if order is None else order
    return training_loss(model.outputs(x[order]), LABELS[order], config)


def test_total_is_the_weighted_sum_and_a_weight_of_zero_switches_a_term_off() -> None:
    config = RefineVADConfig(lambda_cat=0.3, lambda_gmm=0.7, lambda_reg=0.01)
    losses = losses_of_model(config)
    expected = losses.mil + 0.3 * losses.cat + 0.7 * losses.gmm + 0.01 * losses.reg
    torch.testing.assert_close(losses.total, expected)
    assert min(x.item() for x in (losses.mil, losses.cat, losses.gmm, losses.reg)) > 0
    off = losses_of_model(RefineVADConfig(lambda_cat=0, lambda_gmm=0, lambda_reg=0))
    assert torch.equal(off.total, off.mil)
    assert off.cat.item() == off.gmm.item() == off.reg.item() == 0


def test_order_of_videos_in_a_batch_does_not_matter() -> None:
    config = RefineVADConfig()
    shuffled = losses_of_model(config, torch.tensor([1, 2, 3, 0]))
    torch.testing.assert_close(shuffled.total, losses_of_model(config).total)


def test_the_mil_loss_judges_the_final_scores() -> None:
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.3]])
    losses = training_loss(
        output(scores), torch.tensor([[True, False], [False, False]]), RefineVADConfig()
    )
    assert losses.mil.item() == pytest.approx(1 - 0.9 + 0.3)


def test_losses_are_float32_under_autocast() -> None:
    torch.manual_seed(0)
    model = RefineVAD(RefineVADConfig(d_model=16, d_proj=8, d_emb=4), task({"visual": 6}, 2))
    for gmm in ("mixture", "moments"):
        with torch.autocast("cpu", torch.bfloat16):
            losses = training_loss(
                model.outputs(torch.randn(4, 8, 6), labels=LABELS),
                LABELS,
                RefineVADConfig.model_validate({"gmm": gmm}),
            )
        for term in (losses.total, losses.mil, losses.cat, losses.gmm, losses.reg):
            assert term.dtype == torch.float32
            assert term.isfinite()


def test_padding_changes_no_loss() -> None:
    torch.manual_seed(0)
    model = RefineVAD(RefineVADConfig(d_model=16, d_proj=8, d_emb=4), task({"visual": 6}, 2)).eval()
    x = torch.randn(4, 9, 6)
    padded = torch.cat([x, torch.randn(4, 5, 6)], dim=1)
    mask = (torch.arange(14) < 9).expand(4, 14)
    for gmm in ("mixture", "moments"):
        config = RefineVADConfig.model_validate({"gmm": gmm, "lambda_reg": 1.0})
        torch.testing.assert_close(
            training_loss(model.outputs(padded, mask), LABELS, config).total,
            training_loss(model.outputs(x), LABELS, config).total,
            rtol=1e-4,
            atol=1e-5,
        )
