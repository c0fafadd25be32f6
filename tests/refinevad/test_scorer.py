"""The snippet scorer: one set of weights, two sets of statistics, padding in neither."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.scorer import SnippetScorer, TwoPassBatchNorm

torch.set_num_threads(1)


def lengths_to_mask(lengths: list[int], segments: int) -> Tensor:
    return torch.arange(segments) < torch.tensor(lengths).unsqueeze(1)


def statistics(norm: TwoPassBatchNorm, which: str) -> tuple[Tensor, Tensor]:
    return getattr(norm, f"{which}_mean").clone(), getattr(norm, f"{which}_var").clone()


def test_a_pass_leaves_the_statistics_of_the_other_alone() -> None:
    norm = TwoPassBatchNorm(4)
    before = statistics(norm, "final")
    norm(torch.randn(3, 5, 4) + 10, "rough", None)
    assert (norm.rough_mean > 0.5).all()
    assert all(torch.equal(a, b) for a, b in zip(before, statistics(norm, "final"), strict=True))
    norm(torch.randn(3, 5, 4) - 10, "final", lengths_to_mask([5, 2, 3], 5))
    assert (norm.rough_mean > 0.5).all()
    assert (norm.final_mean < -0.5).all()


def test_evaluation_normalises_each_pass_with_its_own_statistics() -> None:
    norm = TwoPassBatchNorm(4)
    rough, final = torch.randn(64, 8, 4) * 3 + 10, torch.randn(64, 8, 4) - 10
    for _ in range(60):
        norm(rough, "rough", None)
        norm(final, "final", None)
    norm.eval()
    for x, which in ((rough, "rough"), (final, "final")):
        y = norm(x, which, None)
        torch.testing.assert_close(y.mean(dim=(0, 1)), torch.zeros(4), atol=0.1, rtol=0)
        torch.testing.assert_close(y.var(dim=(0, 1)), torch.ones(4), atol=0.1, rtol=0)


def test_each_pass_is_torch_batch_norm() -> None:
    ours, theirs = TwoPassBatchNorm(6), nn.BatchNorm1d(6)
    for _ in range(3):
        x = torch.randn(4, 7, 6) * 2 + 1
        expected = theirs(x.flatten(0, 1)).view_as(x)
        torch.testing.assert_close(ours(x, "rough", None), expected)
    torch.testing.assert_close(ours.rough_mean, theirs.running_mean)
    torch.testing.assert_close(ours.rough_var, theirs.running_var)


def test_padded_segments_count_in_no_statistic() -> None:
    mask = lengths_to_mask([7, 3, 1], 7)
    x = torch.randn(3, 7, 6)
    x[~mask] = 1e4
    ours, theirs = TwoPassBatchNorm(6), nn.BatchNorm1d(6)
    ours_x, theirs_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = ours(ours_x, "final", mask)[mask]
    expected = theirs(theirs_x[mask])
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.final_mean, theirs.running_mean)
    torch.testing.assert_close(ours.final_var, theirs.running_var)
    upstream = torch.randn_like(y)
    y.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours_x.grad, theirs_x.grad, rtol=1e-4, atol=1e-5)


def test_a_mask_of_ones_is_no_mask() -> None:
    x, ones = torch.randn(3, 5, 6), torch.ones(3, 5, dtype=torch.bool)
    one, other = TwoPassBatchNorm(6), TwoPassBatchNorm(6)
    torch.testing.assert_close(one(x, "rough", ones), other(x, "rough", None))
    torch.testing.assert_close(one.rough_var, other.rough_var)


def test_both_passes_train_the_same_weights() -> None:
    scorer = SnippetScorer(RefineVADConfig(d_model=8))
    names = {name for name, _ in scorer.named_parameters()}
    assert not any("rough" in name or "final" in name for name in names)
    assert sum(p.numel() for p in scorer.parameters()) == (
        8 * 512 + 512 + 2 * 512 + 512 * 128 + 128 + 2 * 128 + 128 + 1
    )


def test_scores_of_valid_segments_ignore_padding() -> None:
    torch.manual_seed(0)
    for norm in ("batch", "layer"):
        config = RefineVADConfig.model_validate({"d_model": 8, "scorer_norm": norm})
        scorer = SnippetScorer(config).eval()
        x = torch.randn(2, 6, 8)
        mask = lengths_to_mask([6, 2], 6)
        logits = scorer(x, "final", mask)
        torch.testing.assert_close(logits[1, :2], scorer(x[1:, :2], "final", None)[0])


def test_layer_norm_keeps_no_statistics() -> None:
    assert not list(SnippetScorer(RefineVADConfig(d_model=8, scorer_norm="layer")).buffers())
