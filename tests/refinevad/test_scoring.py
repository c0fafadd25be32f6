"""Batched scores equal scores computed one video, one crop at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from refinevad.data import expand
from refinevad.evaluation import scores as scoring_module
from refinevad.evaluation.metrics import frame_metrics
from refinevad.evaluation.scores import score_segments, score_snippets, score_test, score_video
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from refinevad.testing.tiny_store import tiny_store
from tests.support.detectors import task

CONFIG = RefineVADConfig(d_model=16, d_proj=8, d_emb=8, encoder_feedforward=16, shift_groups=4)
torch.set_num_threads(1)


def _model(store: Any) -> RefineVAD:
    torch.manual_seed(0)
    model = RefineVAD(CONFIG, task(store.widths, len(store.categories)))
    with torch.no_grad():  # a fresh head hardly tells segments apart
        model.scorer.head.weight.mul_(20)
    return model


def _slowly(model: RefineVAD, x: Any) -> tuple[Any, Any]:
    """Scores (n,) and category probabilities of one crop (n, D) of one video."""
    model.eval()
    with torch.no_grad():
        output = model(torch.from_numpy(np.asarray(x, dtype=np.float32))[None])
    return output.scores[0].numpy(), output.category_probs[0].numpy()


def test_segment_scores_are_means_over_crops_expanded_to_snippets() -> None:
    store = tiny_store()
    model = _model(store)
    expected = []
    for segments, n in zip(store.test.segments, store.test.lengths, strict=True):
        crops = [_slowly(model, crop)[0] for crop in segments]
        expected.append(expand(np.mean(crops, axis=0), int(n)))
    found = score_test(model, store, length="segments")
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)
    assert found.dtype == np.float32
    assert np.ptp(found) > 0.1, "the scores must differ for this test to see anything"


@pytest.mark.parametrize("tokens", [1, 64, 8192])
def test_full_length_scores_do_not_depend_on_batches_and_padding(
    tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_module, "CACHED_TOKENS", tokens)
    store = tiny_store()
    model = _model(store)
    offsets = store.test.offsets
    scores, probs = score_snippets(model, store.test.features, offsets)
    for m in range(len(offsets) - 1):
        rows = store.test.features[offsets[m] : offsets[m + 1]]
        slow = [_slowly(model, rows[:, crop]) for crop in range(rows.shape[1])]
        np.testing.assert_allclose(
            scores[offsets[m] : offsets[m + 1]], np.mean([s for s, _ in slow], 0), atol=1e-5
        )
        np.testing.assert_allclose(probs[m], np.mean([p for _, p in slow], 0), atol=1e-5)


def test_a_video_longer_than_the_window_is_scored_in_equal_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring_module, "WINDOW", 10)
    store = tiny_store(crops=1)
    model = _model(store)
    rows = np.random.default_rng(0).normal(size=(24, 1, 12)).astype(np.float16)
    scores, probs = score_snippets(model, rows, np.array([0, 24]))
    slow = [_slowly(model, rows[start : start + 8, 0]) for start in (0, 8, 16)]
    np.testing.assert_allclose(scores, np.concatenate([s for s, _ in slow]), atol=1e-5)
    np.testing.assert_allclose(probs[0], np.mean([p for _, p in slow], 0), atol=1e-5)


def test_no_batch_exceeds_the_budget_of_tokens_and_of_attention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring_module, "WINDOW", 20)
    lengths = sorted(np.random.default_rng(0).integers(1, 21, size=200).tolist())
    batches = list(scoring_module._batches([(0, 0, length, 0) for length in lengths], 100))
    assert [row[2] for batch in batches for row in batch] == lengths
    for batch in batches:
        longest = max(row[2] for row in batch)
        assert len(batch) * longest <= 100 or len(batch) == 1
        assert len(batch) * longest**2 <= 400 or len(batch) == 1


@pytest.mark.parametrize("length", ["segments", "full"])
def test_one_video_is_scored_as_it_is_in_the_test_set(length: Any) -> None:
    store = tiny_store()
    model = _model(store)
    whole = score_test(model, store, length=length)
    start, end = store.test.offsets[3:5]
    features = store.test.features[start:end]
    scores, probs = score_video(model, features, segments=8, length=length)
    # Packed segments are float16, those of a single video float32.
    np.testing.assert_allclose(scores, whole[start:end], atol=2e-3)
    assert probs.shape == (3,)


def test_scoring_leaves_the_model_in_training_mode_and_its_statistics_alone() -> None:
    store = tiny_store()
    model = _model(store).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    score_segments(model, torch.from_numpy(store.train.features))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_perfect_score_clears_the_floor_and_is_a_perfect_metric() -> None:
    test = tiny_store().test
    scores = test.truth.astype(np.float32)
    found = frame_metrics(scores, test.truth, test.offsets, test.labels.any(1))
    assert found["auc"] == found["ap"] == found["ano_auc"] == 1.0
