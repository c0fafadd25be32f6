"""Losses and layers of other people's detectors, by hand and against slow loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from refinevad.layers.global_local import GlobalLocalLayer
from refinevad.layers.lgt import likeness, nearness
from refinevad.layers.magnitude import MagnitudeWeights, longest, magnitude_losses, pair_loss
from refinevad.layers.mil import fine_grained_loss
from refinevad.layers.perturbed_top_k import hard_top_k, perturbed_top_k
from refinevad.models.base import Batch
from refinevad.models.bnwvad.model import distance, separation
from refinevad.models.hlnet.model import distillation, edge, equal_scores
from refinevad.models.ifsvad.model import cycled, offsets, unlikeness
from refinevad.models.mgfn.model import contrast_of
from refinevad.models.pel4vad.model import alignment, pooled, texts_of
from refinevad.models.registry import CONFIGS, detector_class
from refinevad.models.tevad.config import TEVADConfig
from refinevad.models.urdmu.model import divergence, mean_of_top, memory_loss, triplet_loss
from refinevad.models.vadclip.model import apartness
from refinevad.testing.detectors import built, labels_of, videos
from tests.support.detectors import task

ALL = torch.tensor([True, False])


def weights(**changes: Any) -> MagnitudeWeights:
    own = {"top_k": 3, "dropped": 0.0, "alpha": 1e-4, "margin": 100.0}
    return MagnitudeWeights(**(own | {"sparsity": 0.0, "smoothness": 0.0} | changes))


# ---- RTFM


def test_rtfms_loss_by_hand() -> None:
    """F_A = 60, F_N = 10, v_A = .8, BCE of the abnormal video alone: .25 + .22314."""
    f = torch.zeros(2, 3, 2)
    f[0, :, 0], f[1, :, 1] = 60.0, 10.0
    scores = torch.tensor([[0.8] * 3, [1e-6] * 3])  # the normal video costs nothing
    found = magnitude_losses(f, scores, ALL, weights())
    assert found["magnitude"].item() * 1e-4 == pytest.approx(0.25)
    assert found["bce"].item() * 2 == pytest.approx(0.22314, abs=1e-5)


def test_rtfms_loss_is_that_of_a_slow_loop() -> None:
    rng = torch.Generator().manual_seed(3)
    f = torch.randn(6, 9, 5, generator=rng)
    scores = torch.rand(6, 9, generator=rng)
    abnormal = torch.tensor([False, True, True, False, True, False])
    bce, lengths, norm, smooth = 0.0, [], 0.0, 0.0
    for video in range(6):
        order = sorted(range(9), key=lambda t: -float(f[video, t].norm()))[:3]
        v = float(scores[video, order].mean())
        bce -= math.log(v if abnormal[video] else 1 - v) / 6
        lengths.append(float(f[video, order].mean(0).norm()))
        if abnormal[video]:
            norm += float(scores[video].square().sum())
            smooth += sum(float(scores[video, t + 1] - scores[video, t]) ** 2 for t in range(8))
    pairs = zip((1, 2, 4), (0, 3, 5), strict=True)
    magnitude = sum((abs(100 - lengths[a]) + lengths[n]) ** 2 for a, n in pairs) / 3
    found = magnitude_losses(f, scores, abnormal, weights(sparsity=8e-3, smoothness=8e-4))
    assert found["bce"].item() == pytest.approx(bce, rel=1e-4)
    assert found["magnitude"].item() == pytest.approx(magnitude, rel=1e-4)
    assert found["sparsity"].item() == pytest.approx(math.sqrt(norm), rel=1e-4)
    assert found["smooth"].item() == pytest.approx(smooth, rel=1e-4)
    total = bce + 1e-4 * magnitude + 8e-3 * math.sqrt(norm) + 8e-4 * smooth
    assert found["loss"].item() == pytest.approx(total, rel=1e-4)


def test_the_longest_are_valid_segments_and_fewer_in_a_short_video() -> None:
    lengths = torch.tensor([[1.0, 9.0, 3.0, 99.0], [5.0, 4.0, 3.0, 2.0]])
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    found = longest(lengths, mask, 2)
    assert found.tolist() == [[0, 0.5, 0.5, 0], [1, 0, 0, 0]]


def test_a_dropped_segment_is_hardly_ever_among_the_longest() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([[9.0, *[1.0] * 31]]).expand(4000, 32)
    share = longest(lengths, torch.ones(4000, 32, dtype=torch.bool), 1, dropped=0.7)[:, 0] > 0
    assert share.float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_pairs_are_of_one_index() -> None:
    lengths, abnormal = torch.tensor([1.0, 60.0, 10.0, 90.0]), torch.tensor([0, 1, 0, 1]).bool()
    assert pair_loss(lengths, abnormal, 100.0).item() == ((40 + 1) ** 2 + (10 + 10) ** 2) / 2


# ---- CLIP-TSA


def test_a_perturbed_top_k_sums_to_k_and_of_all_is_one() -> None:
    torch.manual_seed(0)
    values = torch.rand(3, 8)
    found = perturbed_top_k(values, 5, draws=100, noise=0.05)
    torch.testing.assert_close(found.sum(1), torch.full((3,), 5.0))
    assert torch.equal(perturbed_top_k(values, 8, draws=10, noise=0.05), torch.ones(3, 8))


def test_its_gradient_is_that_of_finite_differences() -> None:
    """The same draws move the values; many of them, for both are estimates."""
    draws, step = 400_000, 0.05
    values = torch.tensor([[0.5, 0.45, 0.4, 0.55]], requires_grad=True)
    upstream = torch.tensor([[1.0, -2.0, 0.5, 3.0]])

    def expected(moved: Tensor) -> float:
        torch.manual_seed(5)
        return float((perturbed_top_k(moved, 2, draws=draws, noise=0.1) * upstream).sum())

    torch.manual_seed(5)
    (perturbed_top_k(values, 2, draws=draws, noise=0.1) * upstream).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    for place in range(4):
        by = torch.zeros(1, 4)
        by[0, place] = step
        with torch.no_grad():
            slope = (expected(values + by) - expected(values - by)) / (2 * step)
        assert values.grad[0, place].item() == pytest.approx(slope, abs=0.35)


def test_a_hard_top_k_takes_its_share_of_the_valid_ones() -> None:
    values = torch.tensor([[0.1, 0.9, 0.5, 0.8], [0.9, 0.1, 0.2, 0.3]])
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    assert hard_top_k(values, mask, 0.5).tolist() == [[0, 1, 0, 1], [1, 0, 0, 0]]
    assert hard_top_k(values, mask, 1.0).tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert hard_top_k(values, mask, 0.01).sum().item() == 2


# ---- TEVAD


def test_tevad_wants_two_modalities() -> None:
    TEVADConfig().check_data({"visual": 12, "text": 5})
    with pytest.raises(ValueError, match=r"have 1 \(visual\); give data.visual and data.text"):
        TEVADConfig().check_data({"visual": 12})


# ---- HL-Net


def test_edges_of_scores_and_what_the_causal_head_learns_by_hand() -> None:
    assert edge(torch.tensor(0.0), 0.1).item() == pytest.approx(0.99331, abs=1e-5)
    assert edge(torch.tensor(1.0), 0.1).item() == pytest.approx(0.00669, abs=1e-5)
    full, online = torch.tensor([0.8]).logit().requires_grad_(), torch.tensor([0.5]).logit()
    assert distillation(full, online).item() == pytest.approx(0.55452, abs=1e-5)
    assert not distillation(full, online).requires_grad


def test_the_graph_of_scores_is_that_of_a_slow_loop() -> None:
    p = torch.tensor([[0.1, 0.2, 0.9, 0.5]])
    mask = torch.tensor([[True, True, True, False]])
    found = equal_scores(p, mask, 0.1)[0]
    for t in range(4):
        row = [1 / (1 + math.exp(-(0.5 - abs(float(p[0, t] - p[0, s]))) / 0.1)) for s in range(3)]
        total = sum(math.exp(value) for value in row)
        for s in range(3):
            assert found[t, s].item() == pytest.approx(math.exp(row[s]) / total, rel=1e-4)
        assert found[t, 3] == 0


def test_the_causal_head_sees_no_later_segment() -> None:
    model = built(CONFIGS["hlnet"].model_validate({"head": "online"})).eval()
    x = videos(1, 12)
    later = x.clone()
    later[:, 7:] += 3
    assert torch.equal(model(x).scores[:, :7], model(later).scores[:, :7])
    assert not torch.equal(model(x).scores[:, 7:], model(later).scores[:, 7:])


# ---- UR-DMU


def test_the_divergence_by_hand() -> None:
    mean, log_variance = torch.ones(2, 32, 512), torch.zeros(2, 32, 512)
    assert divergence(mean, log_variance, "features").item() == pytest.approx(256)
    assert divergence(mean, log_variance, "time").item() == pytest.approx(16)


def test_the_memories_loss_by_hand() -> None:
    """T = 2, k = 1: one abnormal and one normal video."""
    normal = torch.tensor([[0.9, 0.3], [0.8, 0.6]])
    abnormal = torch.tensor([[0.2, 0.7], [0.1, 0.4]])
    by_hand = (
        -math.log(0.7)  # anomaly is excited somewhere
        - math.log(1 - 0.3)  # and normality not everywhere
        - (math.log(0.8) + math.log(0.6)) / 2
        - (math.log(0.9) + math.log(0.6)) / 2
    )
    assert memory_loss(normal, abnormal, ALL).item() == pytest.approx(by_hand, rel=1e-5)


def test_the_triplet_and_the_mean_of_the_top_by_hand() -> None:
    a, p, n = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]), torch.tensor([[5.0, 0.0]])
    assert triplet_loss(a, p, n).item() == pytest.approx(1 + math.sqrt(2), abs=1e-5)
    assert triplet_loss(a, n, p).item() == pytest.approx(0, abs=1e-5)
    x = torch.arange(6.0).view(1, 3, 2)
    assert mean_of_top(x, torch.tensor([[0.1, 0.9, 0.2]])).tolist() == [[2.0, 3.0]]


def test_nothing_is_sampled_in_evaluation_and_normal_videos_alone_in_training() -> None:
    model = built(CONFIGS["urdmu"].model_validate({"dropout": 0.0})).train()
    x, labels = videos(4, 20), labels_of(4)
    torch.manual_seed(0)
    one = model.losses(Batch(x, labels))
    torch.manual_seed(1)
    other = model.losses(Batch(x, labels))
    assert one["bce"] != other["bce"]
    for name in ("memory", "kl", "triplet"):
        assert one[name] == other[name]
    model.eval()
    assert torch.equal(model(x).scores, model(x).scores)


def test_a_layer_attends_as_a_slow_loop_does() -> None:
    torch.manual_seed(0)
    layer = GlobalLocalLayer(0.0).eval()
    h, mask = torch.randn(1, 5, 512), torch.tensor([[True, True, True, True, False]])
    near = nearness(h, mask)
    near = near / near.sum(-1, keepdim=True)
    with torch.no_grad():
        projected = layer.project(layer.norm(h))[0]
        query, key, value, local = projected.split(512, dim=1)
        rows = []
        for t in range(5):
            heads = []
            for head in range(4):
                own = slice(128 * head, 128 * (head + 1))
                answers = torch.stack([query[t, own] @ key[s, own] for s in range(4)])
                share = (answers / math.sqrt(128)).softmax(0)
                seen = sum(share[s] * value[s, own] for s in range(4))
                beside = sum(near[0, t, s] * local[s, own] for s in range(4))
                heads.append(torch.cat([torch.as_tensor(seen), torch.as_tensor(beside)]))
            rows.append(torch.cat(heads))
        expected = h + layer.join(torch.stack(rows))
        expected = expected + layer.feedforward(expected)
        found = layer(h, near, mask)
    torch.testing.assert_close(found[:, :4], expected[:, :4], rtol=1e-4, atol=1e-4)


# ---- BN-WVAD


def test_the_distance_and_the_separation_by_hand() -> None:
    h = torch.tensor([3.0, 4.0])
    assert distance(h, torch.zeros(2), torch.tensor([1.0, 4.0])).item() == pytest.approx(
        math.sqrt(13)
    )
    distances = torch.tensor([[1.5], [1.0]])  # negative 1.5, positive 1
    one = separation(distances, ALL, 1.0, 1.0).item()
    assert one == pytest.approx(0.5)
    assert (5 + 20) * one == pytest.approx(12.5)


def test_the_separation_is_that_of_a_slow_loop() -> None:
    torch.manual_seed(2)
    distances = torch.rand(5, 10)
    abnormal = torch.tensor([True, False, True, False, True])
    ratio_video, ratio_batch = 0.2, 0.4
    videos_ = [v for v in range(5) if abnormal[v]]
    every = sorted(
        ((float(distances[v, t]), v, t) for v in videos_ for t in range(10)), reverse=True
    )
    chosen = {(v, t) for _, v, t in every[: int(ratio_batch * 30)]}
    for v in videos_:
        own = sorted(range(10), key=lambda t: -float(distances[v, t]))[: int(ratio_video * 10)]
        chosen |= {(v, t) for t in own}
    negatives = [float(distances[v, t]) for v, t in sorted(chosen)]
    ranks = len(negatives) // 2 + 1
    normal = [sorted(map(float, distances[v]), reverse=True)[:ranks] for v in (1, 3)]
    positives = [normal[v][rank] for rank in range(len(normal[0])) for v in range(2)]
    positives = positives[: len(negatives)]
    pairs = list(zip(positives, negatives, strict=False))
    expected = sum(max(0.0, p - n + 1) for p, n in pairs) / len(pairs)
    found = separation(distances, abnormal, ratio_video, ratio_batch).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_one_kind_separates_nothing() -> None:
    distances = torch.rand(2, 4, requires_grad=True)
    assert separation(distances, torch.tensor([True, True]), 0.2, 0.4) == 0
    assert separation(distances, torch.tensor([False, False]), 0.2, 0.4) == 0


# ---- IFS-VAD


def test_channels_are_read_at_these_offsets() -> None:
    assert offsets(6, torch.tensor([4])).tolist() == [[0, 1, -2, -1, 0, 1]]


def test_a_cycle_is_that_of_a_slow_loop() -> None:
    x = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
    strides, lengths = torch.tensor([4, 3]), torch.tensor([7, 3])
    found = cycled(x, strides, lengths)
    for video in range(2):
        stride, length = int(strides[video]), int(lengths[video])
        for t in range(length):
            for channel in range(5):
                place = t + (channel + stride // 2) % stride - stride // 2
                inside = 0 <= place < length
                expected = float(x[video, place, channel]) if inside else 0.0
                assert found[video, t, channel].item() == pytest.approx(expected)


def test_how_unlike_segments_are_by_hand() -> None:
    f = torch.eye(2).unsqueeze(0)
    assert unlikeness(f, f, None).tolist() == [[0.0, 0.0]]  # mean .5, variance .5
    one = torch.tensor([[[1.0, 0.0]]])
    assert unlikeness(one, one, None).tolist() == [[-1.0]]
    padded = torch.cat([f, torch.full((1, 1, 2), 9.0)], dim=1)
    found = unlikeness(padded, padded, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(found[:, :2], torch.zeros(1, 2))


def test_the_reference_of_an_abnormal_video_in_training_is_its_normal_one() -> None:
    config = CONFIGS["ifsvad"].model_validate({"dropout": 0.0})
    model = built(config).eval()
    x, labels = videos(4, 8), labels_of(4)  # normal, abnormal, normal, abnormal
    with torch.no_grad():
        f = model._features(x, None)  # type: ignore[operator]
        scores = model._score(f, f[[0, 0, 2, 2]], None)  # type: ignore[operator]
        video = scores.topk(5, dim=1).values.mean(1)
        bce = F.binary_cross_entropy(video, labels.any(1).float())
        assert model.losses(Batch(x, labels))["bce"].item() == pytest.approx(bce.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["rtfm", "urdmu", "cliptsa", "hlnet", "bnwvad", "tevad", "ifsvad"])
def test_the_loss_is_the_weighted_sum_of_its_parts(name: str) -> None:
    """With every weight but the first at zero it is the first part."""
    zero = {
        "rtfm": {"alpha": 0.0, "sparsity": 0.0, "smoothness": 0.0},
        "urdmu": {"w_memory": 0.0, "w_triplet": 0.0, "w_kl": 0.0, "w_dist": 0.0},
        "hlnet": {"w_online": 0.0},
        "bnwvad": {"w1": 0.0, "w2": 0.0},
        "ifsvad": {"sparsity": 0.0, "smoothness": 0.0},
    }
    knobs = zero.get(name, zero["rtfm"])
    model = detector_class(name)(
        CONFIGS[name].model_validate(knobs), task({"visual": 12}, 3)
    ).eval()
    losses = model.losses(Batch(videos(6, 20), labels_of(6)))
    first = losses[model.loss_names[1]]
    if name == "hlnet":
        first = first + losses["online"]
    assert losses["loss"].item() == pytest.approx(first.item(), rel=1e-6)


# ---- MGFN


def test_the_contrast_of_lengths_by_hand() -> None:
    """m_A = 100, m_N = 40 in all three: [200 - 103.923]^2 = 9230.78; one video of a kind has no
    other half."""
    lengths = torch.tensor([[100.0] * 3, [40.0] * 3])
    assert contrast_of(lengths, ALL, 200.0).item() == pytest.approx(9.23078, abs=1e-4)


def test_the_contrast_of_lengths_is_that_of_a_slow_loop() -> None:
    lengths = 50 * torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
    abnormal = torch.tensor([True, False, True, False, True, True])
    above, below = [0, 2, 4, 5], [1, 3]

    def square(a: int, b: int) -> float:
        return sum(float(lengths[a, i] - lengths[b, i]) ** 2 for i in range(3))

    apart = [max(0.0, 200 - math.sqrt(square(a, n))) ** 2 for a, n in ((0, 1), (2, 3))]
    expected = 1e-3 * sum(apart) / 2 + (square(0, 4) + square(2, 5)) / 2 + square(1, 3)
    assert contrast_of(lengths, abnormal, 200.0).item() == pytest.approx(expected, rel=1e-5)
    assert len(above) == 2 * len(below)


def test_channels_of_one_residue_share_a_filter() -> None:
    from refinevad.models.mgfn.model import FocusAttention

    layer = FocusAttention(128).eval()  # two filters
    with torch.no_grad():
        layer.value.weight.copy_(torch.eye(128))
        layer.out.weight.copy_(torch.eye(128))
        layer.out.bias.zero_()
        h = torch.randn(1, 9, 128, generator=torch.Generator().manual_seed(0))
        found = layer(h, None)
        normed = layer.norm(h, None)
        for channel in (0, 1, 77, 126):
            kernel, bias = layer.local.weight[channel % 2, 0], layer.local.bias[channel % 2]  # type: ignore[index]
            padded = F.pad(normed[0, :, channel], (2, 2))
            for t in range(9):
                expected = float((padded[t : t + 5] * kernel).sum() + bias)
                assert found[0, t, channel].item() == pytest.approx(expected, abs=1e-5)


# ---- one-class and SVM


def test_an_autoencoders_score_is_one_half_at_the_median_and_reads_no_abnormal_video() -> None:
    model = built(CONFIGS["ae"].model_validate({})).train()
    x, labels = videos(4, 8), labels_of(4)
    first = model.losses(Batch(x, labels))
    changed = x.clone()
    changed[labels.any(1)] += 9
    again = built(CONFIGS["ae"].model_validate({})).train()
    assert first["loss"] == again.losses(Batch(changed, labels))["loss"]
    errors = model._errors(x[~labels.any(1)]).flatten()  # type: ignore[operator]
    assert model.get_buffer("median") == errors.median()
    scores = model.eval()(x[~labels.any(1)]).scores.flatten()
    assert scores[errors == errors.median()].item() == pytest.approx(0.5)


def test_an_autoencoders_window_is_the_segment_and_those_before() -> None:
    from refinevad.models.ae.model import _with_earlier

    x = torch.arange(3.0).view(1, 3, 1)
    assert _with_earlier(x, 4).tolist() == [[[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 2]]]


def test_a_linear_svm_is_scikit_learns_on_mean_features() -> None:
    import numpy as np
    from sklearn.svm import LinearSVC

    from refinevad.models.base import FittedDetector, Split

    model = built(CONFIGS["svm"].model_validate({"c": 0.5}))
    assert isinstance(model, FittedDetector)
    x, labels = videos(12, 8), labels_of(12)
    x[labels.any(1)] += 0.5
    model.fit(Split(x.unsqueeze(1), torch.arange(12), labels), np.random.default_rng(0))
    means = x.double().mean(1).numpy()
    own = LinearSVC(C=0.5, dual="auto", max_iter=20_000, random_state=0)
    decision = own.fit(means, labels.any(1).numpy()).decision_function(means)
    found = model(x.mean(1, keepdim=True)).scores[:, 0].logit().numpy()
    np.testing.assert_allclose(found, decision, atol=1e-2)


# ---- VadCLIP


def test_the_aligned_heads_cross_entropy_by_hand() -> None:
    """M = [[2, 0], [0, 1], [1, 1]], k = 1, class 1: softmax of (2, 1)."""
    likenesses = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    found = fine_grained_loss(likenesses, torch.tensor([[True]]))
    assert found.item() == pytest.approx(1.31326, abs=1e-5)


def test_similarities_below_the_threshold_keep_weight() -> None:
    """Cosines (1, .9, .6) with threshold .7: softmax of (1, .9, 0)."""
    angle = [0.0, math.acos(0.9), -math.acos(0.6)]
    x = torch.tensor([[[math.cos(a), math.sin(a)] for a in angle]])
    expected = torch.tensor([0.440, 0.398, 0.162])
    torch.testing.assert_close(likeness(x, None, 0.7)[0, 0], expected, atol=1e-3, rtol=0)


def test_texts_apart_by_hand() -> None:
    texts = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, -2.0], [-3.0, 0.0]])
    assert apartness(texts).item() == pytest.approx((0.6 + 0.0 + 1.0) / 3)


def test_the_head_that_scores_is_a_knob() -> None:
    config = CONFIGS["vadclip"].model_validate({"texts": "learned"})
    model = built(config).eval()
    x = videos(2, 9)
    by_text = model(x).class_probs
    model.config = config.model_copy(update={"head": "a"})
    assert by_text is not None
    torch.testing.assert_close(model(x).scores, 1 - by_text[..., 0])


# ---- PEL4VAD


def test_the_alignment_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0], [0.0, 2.0]])
    other, same = torch.tensor([[True, False], [False, True]]), torch.tensor([[True, False]] * 2)
    assert alignment(logits, other).item() == pytest.approx(0.12652, abs=1e-5)
    assert alignment(logits, same).item() == pytest.approx(0.43378, abs=1e-5)


def test_foreground_and_background_by_hand() -> None:
    h = torch.tensor([[[1.0], [3.0]], [[2.0], [6.0]]])
    scores = torch.tensor([[0.0, 0.5], [1.0, 0.0]])
    labels = torch.tensor([[False, False], [True, True]])
    pools, of_texts = pooled(h, scores, labels)
    assert pools[:, 0].tolist() == pytest.approx([3.0, 2.0, 6.0])  # a weight of zero takes all away
    assert of_texts.tolist() == [[True, False, False], [False, True, True], [True, False, False]]
    texts = torch.tensor([[9.0], [1.0], [3.0]])
    assert texts_of(texts, of_texts)[:, 0].tolist() == [9.0, 2.0, 9.0]


def test_the_context_is_that_of_a_slow_loop() -> None:
    knobs = {"texts": "learned", "window": 3, "dropout": 0.0, "power_norm": False}
    model = built(CONFIGS["pel4vad"].model_validate(knobs)).eval()
    x = videos(1, 6)
    with torch.no_grad():
        q, k, v = model.query(x)[0], model.key(x)[0], model.value(x)[0]  # type: ignore[operator]
        found = model._context(x, None)[0]  # type: ignore[operator]
        for t in range(6):
            alike = [
                float(q[t] @ k[s]) / math.sqrt(128) + math.exp(-abs(0.6 * (t - s) ** 2 - 0.2))
                for s in range(6)
            ]
            far = torch.tensor(alike).softmax(0)
            near = torch.tensor(
                [a if abs(t - s) <= 1 else -math.inf for s, a in enumerate(alike)]
            ).softmax(0)
            expected = (0.5 * far + 0.5 * near) @ v
            torch.testing.assert_close(found[t], expected, rtol=1e-4, atol=1e-5)


# ---- parts that no parameter count and no contract sees


def test_a_text_has_its_learned_residual_and_a_video_its_pooled_segments() -> None:
    """VadCLIP's second head, written down a second time."""
    for pooling in ("sigmoid", "raw"):
        knobs = {"texts": "learned", "prompt_scale": 0.3, "pooling": pooling}
        model: Any = built(CONFIGS["vadclip"].model_validate(knobs)).eval()
        x = videos(2, 6)
        with torch.no_grad():
            model.residual.copy_(torch.randn(model.residual.shape))
            h = model.adapter(x, None)
            logits = model.scorer(h + model.scorer_mlp(h))[..., 0]
            weights = logits.sigmoid() if pooling == "sigmoid" else logits
            for video in range(2):
                pooled_ = F.normalize((weights[video, :, None] * h[video]).sum(0), dim=0)
                texts = model.texts + 0.3 * model.residual + pooled_
                texts = texts + model.text_mlp(texts)
                expected = F.cosine_similarity(h[video, :, None], texts[None], dim=-1) / 0.07
                found = model._align(x, None).likeness[video]
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_read_outs_of_anomaly_should_be_longer_than_those_of_normality() -> None:
    """UR-DMU's hinge of one pair, T = 4, k = 1, by a slow loop."""
    model: Any = built(CONFIGS["urdmu"].model_validate({})).eval()
    x, abnormal = videos(2, 4), torch.tensor([False, True])
    with torch.no_grad():
        found = model._encode(x, None)
        own = int(found.abnormal.excitation[1].argmax())
        other = int(found.normal.excitation[0].argmax())
        lengths = float(found.anomaly[1, own].norm()), float(found.mean[0, other].norm())
        _, hinge = model._contrast(found, found.mean, abnormal)
    assert hinge.item() == pytest.approx(100 - lengths[0] + lengths[1], rel=1e-4)


def test_a_score_is_raised_by_the_distance_from_normality() -> None:
    model: Any = built(CONFIGS["bnwvad"].model_validate({})).eval()
    x = videos(2, 7)
    with torch.no_grad():
        scores, one, two = model._score(x, None)
        u = (one + two) * scores
        torch.testing.assert_close(model(x).scores, u / (1 + u))


def test_training_gates_segments_and_teaches_the_one_that_chooses() -> None:
    knobs = {"rho": 0.5, "dropout": 0.0, "dropped": 0.0}
    model: Any = built(CONFIGS["cliptsa"].model_validate(knobs)).train()
    seen: list[Tensor] = []
    inner = model._score
    model._score = lambda x, gate, mask: (seen.append(gate), inner(x, gate, mask))[1]
    torch.autograd.backward(model.losses(Batch(videos(4, 8), labels_of(4)))["loss"])
    torch.testing.assert_close(seen[0].sum(1), torch.full((4,), 4.0))
    assert model.chooser[0].weight.grad.abs().sum() > 0


def test_a_normal_video_is_judged_by_its_largest_score() -> None:
    model: Any = built(CONFIGS["pel4vad"].model_validate({"texts": "learned"})).eval()
    x, labels = videos(4, 32), labels_of(4)
    with torch.no_grad():
        scores = model._score(x, None)[1]
        ranked = scores.sort(dim=1, descending=True).values
        video = torch.where(labels.any(1), ranked[:, :3].mean(1), ranked[:, 0])
        expected = F.binary_cross_entropy(video, labels.any(1).float())
        assert model.losses(Batch(x, labels))["bce"].item() == pytest.approx(float(expected), 1e-5)
