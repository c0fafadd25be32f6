"""The baselines beside every result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from refinevad.config.data import DataConfig
from refinevad.data import prepare
from refinevad.data.batches import validation_split
from refinevad.data.store import Store
from refinevad.errors import InputError
from refinevad.training import baselines as module
from refinevad.training.baselines import NAMES, PLAIN, REGRESSION, baselines
from tests.support.small_data import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    root = tmp_path_factory.mktemp("data")
    write_data(root)
    source = {"layout": "csv", "root": root, "train_list": "train.csv", "test_list": "test.csv"}
    return DataConfig.model_validate(
        {
            "taxonomy": "ucf",
            "annotations": root / "annotations.txt",
            "segments": 8,
            "visual": source,
            "test_length": "full",
        }
    )


@pytest.fixture(scope="module")
def store(data: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepare(data, tmp_path_factory.mktemp("stores"))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 60)


def test_the_regression_is_scikit_learns_on_standardised_means(
    store: Store, data: DataConfig
) -> None:
    scores, note = module.mean_feature_regression(store, data, split_seed=1)
    train, _ = validation_split(store.train.labels, data.val_fraction, 1)
    x = np.asarray(store.train.features, dtype=np.float64)[:, 0].mean(axis=1)
    y = store.train.labels.any(axis=1)
    c = float(note.removeprefix("C = "))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
    pipeline.fit(x[train], y[train])
    expected = pipeline.predict_proba(np.asarray(store.test.features[:, 0], dtype=np.float64))
    np.testing.assert_allclose(scores, expected[:, 1], atol=2e-4)


def test_both_baselines_find_what_is_planted(store: Store, data: DataConfig) -> None:
    found = {b.name: b for b in baselines(store, data, split_seed=1)}
    assert tuple(found) == NAMES
    for name in (REGRESSION, PLAIN):
        assert found[name].metrics["test/auc"] > 0.7
        assert len(found[name].scores) == len(store.test.truth)


def test_they_are_computed_once_and_again_where_something_differs(
    store: Store, data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = baselines(store, data, split_seed=1)
    said: list[str] = []
    again = baselines(store, data, split_seed=1, say=said.append)
    assert said == []
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        assert one.metrics == other.metrics
    quick: Any = lambda *_, **__: (np.zeros(len(store.test.truth), np.float32), "quick")  # noqa: E731
    monkeypatch.setattr(module, "plain_scorer", quick)
    baselines(store, data, split_seed=2, say=said.append)
    assert len(said) == 1


def test_a_damaged_file_is_computed_again(
    store: Store, data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: Any = lambda *_, **__: (np.ones(len(store.test.truth), np.float32), "quick")  # noqa: E731
    monkeypatch.setattr(module, "plain_scorer", quick)
    baselines(store, data, split_seed=3)
    (kept,) = [
        path
        for path in Path(store.path).parent.glob("*.baselines-*.json")
        if '"split_seed": 3' in path.read_text()
    ]
    whole = kept.read_text()
    for damaged in ("", "{}", whole[: len(whole) // 2], whole.replace("1.0", "NaN")):
        kept.write_text(damaged)
        found = baselines(store, data, split_seed=3)
        assert np.isfinite(found[1].scores).all()
        assert kept.read_text() == whole


def test_data_that_cannot_be_learnt_from_are_refused(store: Store, data: DataConfig) -> None:
    with pytest.raises(InputError):
        baselines(store, data.model_copy(update={"val_fraction": 0.99}), split_seed=1)
