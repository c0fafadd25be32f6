from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refinevad.config.data import DataConfig
from refinevad.data import Store, generate, prepare
from refinevad.data.annotations import read_annotations
from refinevad.data.synthetic import Kind
from refinevad.evaluation.metrics import frame_metrics

KINDS: tuple[Kind, ...] = ("ucf-like", "xd-like")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Store]:
    folder = tmp_path_factory.mktemp("stores")
    return {kind: prepare(DataConfig(synthetic=kind), folder, progress=False) for kind in KINDS}


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, kind: Kind) -> None:
    first = contents(generate(kind, tmp_path / "a"))
    assert contents(generate(kind, tmp_path / "b")) == first
    assert contents(generate(kind, tmp_path / "c", seed=1)) != first


def test_generating_again_touches_nothing_and_another_seed_replaces(tmp_path: Path) -> None:
    folder = generate("ucf-like", tmp_path / "a")
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    generate("ucf-like", folder)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    generate("ucf-like", folder, seed=9)
    assert (folder / "generator.json").stat().st_mtime_ns != before[folder / "generator.json"]


def test_it_is_packed_like_any_other_data_set(stores: dict[Kind, Store]) -> None:
    for kind, categories in (("ucf-like", 13), ("xd-like", 6)):
        store = stores[kind]
        assert store.synthetic
        assert store.header.synthetic == kind
        assert len(store.categories) == categories
        assert store.widths == {"visual": 64, "text": 32}
        assert store.header.crops == {"train": 2, "test": 1}
        assert store.header.counts["train_abnormal"] == store.header.counts["train"] // 2
        assert store.train.labels.any(axis=0).all()
        assert store.test.labels.any(axis=0).all()
        assert not store.header.notes


def test_xd_like_videos_have_several_labels_and_mp4_annotations(
    stores: dict[Kind, Store], tmp_path: Path
) -> None:
    assert (stores["xd-like"].train.labels.sum(axis=1) > 1).any()
    assert (stores["ucf-like"].train.labels.sum(axis=1) <= 1).all()
    folder = generate("xd-like", tmp_path / "xd")
    file = folder / "list" / "annotations.txt"
    assert ".mp4 " in file.read_text()
    assert not read_annotations(file).lists_normal


def test_lists_carry_somebody_elses_paths(tmp_path: Path) -> None:
    folder = generate("ucf-like", tmp_path / "ucf")
    header, *lines = (folder / "list" / "ucf_CLIP_rgb.csv").read_text().splitlines()
    assert header == "path,label"
    assert all(line.startswith("/home/author/") for line in lines)
    assert lines[0].endswith("__0.npy,Abuse")


@pytest.mark.parametrize("kind", KINDS)
def test_events_can_be_told_from_the_rest_but_not_trivially(
    stores: dict[Kind, Store], kind: Kind
) -> None:
    """A linear probe with frame labels, cross-validated over videos: a ceiling for linear MIL."""
    from sklearn.linear_model import LogisticRegression

    test = stores[kind].test
    x = test.features[:, 0].astype(np.float32)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    positive = test.truth > 8
    fold = np.repeat(np.random.default_rng(0).integers(3, size=len(test.names)), test.lengths)
    scores = np.zeros(len(x))
    for k in range(3):
        model = LogisticRegression(C=0.05, max_iter=300).fit(x[fold != k], positive[fold != k])
        scores[fold == k] = model.decision_function(x[fold == k])
    auc = frame_metrics(scores, test.truth, test.offsets, test.labels.any(axis=1))["auc"]
    assert 0.8 < auc < 0.98
