"""Text embeddings of categories: read, packed, used, and kept in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from refinevad.config.data import DataConfig
from refinevad.config.datasets import taxonomy
from refinevad.data import prepare
from refinevad.data.category_embeddings import read_category_embeddings
from refinevad.errors import InputError
from refinevad.models import checkpoint
from refinevad.models.base import Task
from refinevad.models.registry import CONFIGS, detector_class
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.task import task_of
from tests.support.small_data import study_text

CATEGORIES = ("Road Accident", "Arson")
CLASSES = taxonomy(CATEGORIES, [], None)


def written(path: Path, names: Any, rows: Any, **more: Any) -> Path:
    content = {"names": np.array(names), "embeddings": np.array(rows, dtype=np.float32)}
    np.savez(path, **(content | more))
    return path


def test_rows_are_in_the_order_of_the_categories_and_of_length_one(tmp_path: Path) -> None:
    names = ["arson", "road_accident", "NORMAL", "Road Accident"]
    path = written(tmp_path / "e.npz", names, [[0, 5], [3, 0], [-1, 0], [0, 9]])
    found = read_category_embeddings(path, CLASSES)
    half = 0.5**0.5
    np.testing.assert_allclose(found, [[-1, 0], [half, half], [0, 1]], atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("names", "rows", "words"),
    [
        (["normal", "arson"], [[1, 0], [0, 1]], "no row for Road Accident"),
        (["arson", "road accident"], [[1, 0], [0, 1]], "no row for normal"),
        (
            ["normal", "arson", "roadaccident", "theft", "Theft"],
            [[1, 0]] * 5,
            "no category of these data: theft, Theft",
        ),
        (
            ["normal", "arson", "roadaccident"],
            [[1, 0], [0, 0], [np.nan, 1]],
            "rows that are zero or not finite: arson, roadaccident",
        ),
        (["normal", "arson"], [[1, 0]], "2 names, 1 embeddings"),
        (
            ["normal", "arson", "arson", "roadaccident"],
            [[1, 0], [1, 0], [-1, 0], [0, 1]],
            "the rows of Arson cancel each other",
        ),
        ([1, 2, 3], [[1, 0]] * 3, "names are int64"),
        (["normal"], [1, 2], "embeddings float32 (2,)"),
    ],
)
def test_what_does_not_match_is_named(tmp_path: Path, names: Any, rows: Any, words: str) -> None:
    path = written(tmp_path / "e.npz", names, rows)
    with pytest.raises(InputError) as error:
        read_category_embeddings(path, CLASSES)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_a_pickle_or_no_archive_is_refused(tmp_path: Path) -> None:
    pickled = tmp_path / "p.npz"
    np.savez(pickled, names=np.array([object()]), embeddings=np.ones((1, 2)))
    other = tmp_path / "o.npz"
    np.savez(other, rows=np.ones(3))
    (tmp_path / "t.npz").write_text("text")
    for path in (pickled, other, tmp_path / "t.npz", tmp_path / "none.npz"):
        with pytest.raises(InputError, match="cannot be read"):
            read_category_embeddings(path, CLASSES)


def small(data: Path, tmp_path: Path, scale: float = 1.0, width: int = 6) -> dict[str, Any]:
    import yaml

    content: dict[str, Any] = yaml.safe_load(study_text(data))
    names = ["Normal", *prepare(DataConfig.model_validate(content["data"]), tmp_path).categories]
    rows = np.random.default_rng(0).normal(size=(len(names), width))
    rows[0] *= -scale
    written(tmp_path / "texts.npz", names, rows)
    content["data"]["category_embeddings"] = str(tmp_path / "texts.npz")
    return content


def test_another_file_is_another_study_and_the_same_elsewhere_is_not(
    tmp_path: Path, data: Path
) -> None:
    plain = small(data, tmp_path)
    store = prepare(DataConfig.model_validate(plain["data"]), tmp_path / "stores")
    found = store.category_embeddings
    assert found is not None
    assert found.shape == (len(store.categories) + 1, 6)
    (tmp_path / "b").mkdir()
    moved = small(data, tmp_path / "b")
    elsewhere = prepare(DataConfig.model_validate(moved["data"]), tmp_path / "stores")
    assert elsewhere.fingerprint == store.fingerprint
    small(data, tmp_path, scale=-1.0)  # the same file, rewritten
    changed = prepare(DataConfig.model_validate(plain["data"]), tmp_path / "stores")
    assert changed.fingerprint != store.fingerprint
    del plain["data"]["category_embeddings"]
    without = prepare(DataConfig.model_validate(plain["data"]), tmp_path / "stores")
    assert without.category_embeddings is None
    assert without.fingerprint not in (store.fingerprint, changed.fingerprint)


def test_a_study_searches_a_detector_with_texts_and_is_verified(tmp_path: Path, data: Path) -> None:
    import study as api
    from study import verify

    content = small(data, tmp_path) | {
        "study": {"name": "texts", "trials": 3, "seed": 7},
        "search": {"space_filling": 2, "window": 2},
        "model": {"name": "vadclip", "blocks": 1},
        "space": {"temperature": {"log_uniform": [0.02, 0.2]}, "w_apart": {"uniform": [0.0, 1.0]}},
    }
    content.pop("pruning", None)
    stores = tmp_path / "stores"
    results = api.run_study(content, runs=tmp_path / "runs", stores=stores, quiet=True)
    assert results.best is not None
    flags = ["--study", str(results.folder), "--stores", str(stores), "--sample", "1"]
    assert verify.main(flags) == 0
    model, _ = checkpoint.load(results.best_checkpoint)
    assert model.get_buffer("texts").shape[1] == 6
    del content["data"]["category_embeddings"]
    with pytest.raises(InputError, match=r"model vadclip: .* give data\.category_embeddings"):
        api.run_study(content, runs=tmp_path / "runs2", stores=stores, quiet=True)
    assert not (tmp_path / "runs2").exists()


@pytest.mark.parametrize("name", ["vadclip", "pel4vad"])
def test_a_checkpoint_keeps_the_texts(name: str) -> None:
    config = CONFIGS[name].model_validate({})
    store = tiny_store()
    task = task_of(store)
    model = detector_class(name)(config, task).eval()
    content = checkpoint.dumps(
        model.state_dict(), model=config, categories=task.categories, widths=task.widths
    )
    again, _ = checkpoint.loads(content)
    x = torch.randn(2, 9, task.width, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(x).scores, model(x).scores)
    torch.testing.assert_close(
        again.get_buffer("texts"), torch.from_numpy(store.category_embeddings)
    )


@pytest.mark.parametrize("name", ["vadclip", "pel4vad"])
def test_without_texts_it_says_what_to_do(name: str) -> None:
    with pytest.raises(InputError, match=r"data\.category_embeddings .* or model\.texts: learned"):
        detector_class(name)(CONFIGS[name].model_validate({}), Task({"visual": 12}, ("a",)))
