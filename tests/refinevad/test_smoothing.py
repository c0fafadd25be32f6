"""Smoothing of scores and normalisation of features, against slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from refinevad.layers.smoothing import Smoothing
from refinevad.models.base import Split
from refinevad.models.linear.config import LinearConfig
from refinevad.models.linear.model import Linear
from tests.support.detectors import task


def _slow(row: list[float], width: int, share: float) -> list[float]:
    logits = [math.log(s / (1 - s)) for s in row]
    half = width // 2
    windows = [logits[max(0, t - half) : t + half + 1] for t in range(len(row))]
    smooth = [sum(window) / len(window) for window in windows]
    mean = sum(smooth) / len(smooth)
    return [1 / (1 + math.exp(-((1 - share) * z + share * mean))) for z in smooth]


@pytest.mark.parametrize("width", [1, 3, 5, 15])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_smoothing_is_that_of_a_slow_loop_and_padding_counts_for_nothing(
    width: int, share: float
) -> None:
    lengths = (11, 4, 1)
    scores = torch.rand(3, 11, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
    mask = torch.arange(11) < torch.tensor(lengths).unsqueeze(1)
    scores = scores.masked_fill(~mask, 0.0)
    found = Smoothing(width, share)(scores, mask)
    for row, own, length in zip(found, scores, lengths, strict=True):
        expected = _slow(own[:length].double().tolist(), width, share)
        np.testing.assert_allclose(row[:length].numpy(), expected, atol=2e-5)
        assert not row[length:].any()


def test_no_smoothing_returns_the_scores_themselves() -> None:
    scores = torch.tensor([[0.0, 1.0, 0.3]])
    assert Smoothing()(scores) is scores
    assert torch.isfinite(Smoothing(3, 0.5)(scores)).all()


def test_a_smoothing_keeps_the_order_of_videos_that_are_constant() -> None:
    scores = torch.tensor([[0.2] * 6, [0.7] * 6])
    torch.testing.assert_close(Smoothing(5, 0.5)(scores), scores)


def test_an_even_width_is_refused() -> None:
    with pytest.raises(ValueError, match="odd number"):
        LinearConfig(smooth_segments=4)


def test_standard_features_have_mean_0_and_deviation_1_in_the_training_part() -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(3, 5, size=(130, 2, 4, 12)).astype(np.float32))
    features[..., 2] = 7.0  # never changes
    features[:50] += 100  # videos that are held out
    model = Linear(LinearConfig(normalise="standard"), task({"visual": 12}, 2))
    model.fit_normalisation(
        Split(features, torch.arange(50, 130), torch.zeros(80, 2, dtype=torch.bool))
    )
    rows = model.normalised(features[50:]).flatten(0, 2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    deviation = rows.std(0, correction=0)
    assert deviation[2] == 0
    torch.testing.assert_close(deviation[3:], torch.ones(9), atol=1e-4, rtol=0)


def test_l2_divides_each_segment_by_its_norm_and_an_empty_one_stays() -> None:
    model = Linear(LinearConfig(normalise="l2"), task({"visual": 12}, 2))
    x = torch.randn(2, 3, 12)
    x[0, 0] = 0
    found = model.normalised(x)
    norms = found.norm(dim=-1)
    assert norms[0, 0] == 0
    torch.testing.assert_close(norms.flatten()[1:], torch.ones(5))
    torch.testing.assert_close(model.predict(x).scores, model(found).scores)


def test_label_smoothing_moves_the_targets() -> None:
    from refinevad.layers.mil import bag_cross_entropy

    video, abnormal = torch.tensor([0.9, 0.2]), torch.tensor([True, False])
    loss = bag_cross_entropy(video, abnormal, 0.1)
    expected = -(
        0.95 * math.log(0.9) + 0.05 * math.log(0.1) + 0.05 * math.log(0.2) + 0.95 * math.log(0.8)
    )
    assert float(loss) == pytest.approx(expected / 2, rel=1e-5)
