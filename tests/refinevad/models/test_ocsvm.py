"""The one-class SVM against scikit-learn itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM as Solver

from refinevad.errors import InputError
from refinevad.models import checkpoint
from refinevad.models.base import Split
from refinevad.models.ocsvm.config import OneClassSVMConfig
from refinevad.models.ocsvm.model import OneClassSVM
from tests.support.detectors import task

WIDTH = 6


def normal_videos(count: int = 10, crops: int = 2, length: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return 3 + torch.randn(count, crops, length, WIDTH, generator=generator) * torch.arange(1, 7)


def fitted(features: torch.Tensor, seed: int = 0, **knobs: Any) -> OneClassSVM:
    model = OneClassSVM(OneClassSVMConfig.model_validate(knobs), task({"visual": WIDTH}, 2))
    count = len(features)
    split = Split(features, torch.arange(count), torch.zeros(count, 2, dtype=torch.bool))
    model.fit(split, np.random.default_rng(seed))
    return model.eval()


@pytest.mark.parametrize("gamma", ["scale", 0.2])
def test_decisions_are_scikit_learns(gamma: Any) -> None:
    features = normal_videos()
    model = fitted(features, components=4, gamma=gamma, nu=0.2)
    rows = features.reshape(-1, WIDTH).double().numpy()
    pipeline = make_pipeline(
        StandardScaler(),
        PCA(4, whiten=True, svd_solver="covariance_eigh"),
        Solver(nu=0.2, gamma=gamma),
    ).fit(rows)
    decision = pipeline.decision_function(rows)
    expected = 1 / (1 + np.exp((decision - decision.mean()) / decision.std()))
    found = model(features.reshape(1, -1, WIDTH)).scores[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_what_lies_outside_scores_higher_than_what_was_fitted() -> None:
    features = normal_videos()
    model = fitted(features)
    inside = model(features.reshape(1, -1, WIDTH)).scores
    outside = model(torch.full((1, 5, WIDTH), 60.0)).scores
    assert outside.min() > inside.mean()
    assert (inside > 0.5).float().mean() < 0.6


def test_a_feature_that_never_changes_and_more_components_than_there_are_do_no_harm() -> None:
    features = normal_videos()
    features[..., 2] = 5.0
    model = fitted(features, components=64)
    assert model.components.shape == (WIDTH, WIDTH - 1)
    assert model(features[:1, 0]).scores.isfinite().all()


def test_only_so_many_segments_are_fitted() -> None:
    assert len(fitted(normal_videos(), segments=40, nu=0.5).support) <= 40


def test_which_segments_are_fitted_is_drawn_by_the_seed_from_all_videos_and_crops() -> None:
    features = normal_videos()
    first, again, other = (fitted(features, seed=s, segments=40) for s in (1, 1, 2))
    assert torch.equal(first.mean, again.mean)
    assert not torch.equal(first.mean, other.mean)
    rows = features.reshape(-1, WIDTH)  # 240 of them; all are drawn sooner or later
    drawn = torch.stack([fitted(features, seed=s, segments=40).mean for s in range(30)])
    error = drawn.mean(dim=0) - rows.mean(dim=0)
    assert (error.abs() < 4 * rows.std(dim=0) / (40 * 30) ** 0.5).all()


def test_without_normal_videos_it_says_so() -> None:
    with pytest.raises(InputError, match="fitted on normal videos, and there are none"):
        fitted(normal_videos(count=0))


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        fitted(normal_videos())


@pytest.mark.parametrize("name", ["components", "support", "weights", "mean", "numbers"])
def test_a_checkpoint_whose_arrays_do_not_fit_is_refused(name: str) -> None:
    model = fitted(normal_videos())
    state = dict(model.state_dict())
    state[name] = state[name][:-1]
    widths = {"visual": WIDTH}
    content = checkpoint.dumps(state, model=model.config, categories=("a", "b"), widths=widths)
    with pytest.raises(InputError, match="weights do not fit the model its header describes"):
        checkpoint.loads(content)
