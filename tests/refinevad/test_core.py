"""CORE: eq. 6 on numbers worked out by hand, prototypes, the Gaussian head, freezing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.core import (
    CORE,
    category_weights,
    paired_labels,
    pooling_weights,
)

torch.set_num_threads(1)


def logits(anomalous: list[float], normal: list[float]) -> Tensor:
    return torch.tensor([list(zip(normal, anomalous, strict=True))])


def core(n_categories: int = 3, **fields: object) -> CORE:
    torch.manual_seed(0)
    base: dict[str, object] = {"d_model": 24, "d_proj": 16, "d_emb": 10}
    return CORE(RefineVADConfig.model_validate(base | fields), n_categories)


def test_eq_6_on_numbers_worked_out_by_hand() -> None:
    probs, weights = category_weights(logits([2.0, 0.0, 1.0], [0.0, 1.0, 3.0]), 0.5)
    # p = sigmoid(2, -1, -2); the first reaches 0.5, so softmax of (2, 0, 1) over all three
    torch.testing.assert_close(probs, torch.tensor([[0.880797, 0.268941, 0.119203]]))
    torch.testing.assert_close(weights, torch.tensor([[0.665241, 0.090031, 0.244728]]))


def test_no_category_over_the_threshold_weighs_all_exactly_the_same() -> None:
    _, weights = category_weights(logits([2.0, 0.0, 1.0], [2.1, 1.0, 3.0]), 0.5)
    assert weights.tolist() == [[torch.tensor(1 / 3).item()] * 3]


def test_a_probability_on_the_threshold_counts() -> None:
    _, weights = category_weights(logits([1.0, 0.0], [1.0, 9.0]), 0.5)
    torch.testing.assert_close(weights, torch.tensor([[0.731059, 0.268941]]))


def test_the_threshold_is_a_knob() -> None:
    z = logits([2.0, 0.0], [0.0, 1.0])
    assert category_weights(z, 0.9)[1].tolist() == [[0.5, 0.5]]
    assert category_weights(z, 0.8)[1][0, 0] > 0.8


def test_videos_of_a_batch_are_thresholded_one_by_one() -> None:
    both = torch.cat([logits([2.0, 0.0], [0.0, 1.0]), logits([0.0, 0.0], [1.0, 1.0])])
    weights = category_weights(both, 0.5)[1]
    assert weights[0, 0] > 0.8
    assert weights[1].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_pooling_weights_sum_to_one_over_valid_segments(kind: str) -> None:
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    weights = pooling_weights(torch.randn(2, 4) * 3, mask, kind)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    assert not weights[1, 2:].any()


def test_pooling_on_numbers_worked_out_by_hand() -> None:
    rough = torch.tensor([[0.0, 1.0986123]])  # ln 3: odds 3, sigmoid 3/4
    assert pooling_weights(rough, None, "softmax").tolist()[0] == pytest.approx([1 / 4, 3 / 4])
    assert pooling_weights(rough, None, "sigmoid").tolist()[0] == pytest.approx([2 / 5, 3 / 5])


def test_every_category_starts_below_the_threshold_by_about_one() -> None:
    torch.manual_seed(0)
    module = CORE(RefineVADConfig(), 13).eval()
    x = torch.nn.functional.layer_norm(torch.randn(16, 32, 768), (768,))
    z = module(x, torch.zeros(16, 32)).category_logits
    margin = z[..., 1] - z[..., 0]
    assert margin.mean().item() == pytest.approx(-1.0, abs=0.1)
    assert (margin < 0).all()


def test_label_prototype_is_the_mean_over_labels_and_nothing_for_normal_videos() -> None:
    prototypes = core().prototypes
    labels = torch.tensor([[True, False, True], [False, False, False]])
    e_y = prototypes.of_labels(labels)
    torch.testing.assert_close(e_y[0], (prototypes.vectors[0] + prototypes.vectors[2]) / 2)
    assert not e_y[1].any()


def refine(module: CORE, labels: Tensor | None) -> Tensor:
    g = torch.Generator().manual_seed(1)
    x, rough = torch.randn(2, 5, 24, generator=g), torch.randn(2, 5, generator=g)
    out: Tensor = module(x, rough, None, labels).x_ca
    return out


def test_paired_labels_give_each_normal_video_those_of_an_abnormal_one() -> None:
    labels = torch.tensor([[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]], dtype=torch.bool)
    expected = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]], dtype=torch.bool)
    assert torch.equal(paired_labels(labels), expected)
    assert not paired_labels(labels[:1]).any(), "no abnormal video to take a label from"
    assert labels.sum() == 2, "the labels themselves stay"


def test_paired_label_prototypes_do_not_say_which_videos_are_abnormal() -> None:
    """With as many videos of each kind, the e_y that are added are the same set in both."""
    labels = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]], dtype=torch.bool)
    prototypes = core().prototypes
    added = prototypes.of_labels(paired_labels(labels))
    assert torch.equal(added[:2], added[2:])
    assert not torch.equal(added[0], added[1])


def test_label_prototype_only_in_training_only_on_abnormal_videos_only_if_wanted() -> None:
    labels = torch.tensor([[True, False, True], [False, False, False]])
    module = core(category_dropout=0.0, label_prototype=True)
    with_labels, without = refine(module, labels), refine(module, None)
    assert not torch.allclose(with_labels[0], without[0], atol=1e-4)
    assert torch.equal(with_labels[1], without[1])
    module.eval()
    assert torch.equal(refine(module, labels), refine(module, None))
    paired = core(category_dropout=0.0, label_prototype="paired")
    with_labels, without = refine(paired, labels), refine(paired, None)
    assert not torch.allclose(with_labels[1], without[1], atol=1e-4)
    assert torch.equal(refine(paired, labels[:1].repeat(2, 1)), with_labels)
    off = core(category_dropout=0.0, label_prototype=False)
    assert torch.equal(refine(off, labels), refine(off, None))


def test_centres_and_widths_of_the_gaussians_are_in_range_and_ignore_padding() -> None:
    module = core().eval()
    x, rough = torch.randn(2, 6, 24) * 5, torch.randn(2, 6)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    refined = module(x, rough, mask)
    assert ((refined.mu > 0) & (refined.mu < 1)).all()
    assert (refined.sigma > 0).all()
    alone = module(x[1:, :2], rough[1:, :2], None)
    torch.testing.assert_close(refined.mu[1], alone.mu[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(refined.sigma[1], alone.sigma[0], rtol=1e-4, atol=1e-5)


def test_the_gaussian_head_is_the_average_of_its_answers_over_time() -> None:
    module = core().gaussians
    x, v = torch.randn(2, 6, 24), torch.randn(2, 10)
    each = module.head(torch.cat([x, v.unsqueeze(1).expand(2, 6, 10)], dim=-1)).mean(dim=1)
    mu, sigma = module(x, v, None)
    torch.testing.assert_close(mu, each[:, :3].sigmoid(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sigma, torch.nn.functional.softplus(each[:, 3:]) + 1e-6)


def test_frozen_categories_do_not_learn_or_waver_and_the_injection_does_learn() -> None:
    module = core(category_dropout=0.5)
    module.freeze_categories()
    module.train()
    x, rough = torch.randn(4, 5, 24), torch.randn(4, 5)
    first, second = module(x, rough), module(x, rough)
    assert torch.equal(first.category_logits, second.category_logits)
    first.x_ca.sum().backward()
    assert all(p.grad is None for p in module.classifier.parameters())
    assert module.prototypes.vectors.grad is None
    assert any(p.grad is not None and p.grad.any() for p in module.injection.parameters())
