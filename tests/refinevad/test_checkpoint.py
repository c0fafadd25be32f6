"""Checkpoints come back as they were, say what they belong to, and never run code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_tensors

from refinevad.errors import InputError
from refinevad.models import checkpoint
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from tests.support.detectors import task

CONFIG = RefineVADConfig(d_model=16, d_proj=8, d_emb=8, encoder_feedforward=16, shift_groups=4)
CATEGORIES = ("Abuse", "Arson")
WIDTHS = {"visual": 6, "text": 3}


def _model(seed: int = 0) -> RefineVAD:
    torch.manual_seed(seed)
    return RefineVAD(CONFIG, task(WIDTHS, len(CATEGORIES))).eval()


def _bytes(model: RefineVAD) -> bytes:
    return checkpoint.dumps(
        model.state_dict(),
        model=CONFIG,
        categories=CATEGORIES,
        widths=WIDTHS,
        extra={"seed": 42, "test/auc": 0.8},
    )


def test_a_loaded_model_gives_the_same_bits_and_its_metadata(tmp_path: Path) -> None:
    model = _model()
    path = tmp_path / "new" / "checkpoint.safetensors"
    checkpoint.save(
        path, model.state_dict(), model=CONFIG, categories=CATEGORIES, widths=WIDTHS, extra={"a": 1}
    )
    loaded, meta = checkpoint.load(path)
    x = torch.randn(2, 5, 9)
    with torch.no_grad():
        assert torch.equal(loaded(x).scores, model(x).scores)
    assert not loaded.training
    assert meta == checkpoint.Meta(CONFIG, CATEGORIES, WIDTHS, {"a": 1})
    assert list(meta.widths) == ["visual", "text"], "the order of concatenation is kept"
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing temporary is left"


def test_the_same_weights_give_the_same_bytes() -> None:
    assert _bytes(_model()) == _bytes(_model())


def test_loading_does_not_touch_the_random_generator() -> None:
    data = _bytes(_model())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    checkpoint.loads(data)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("end", [0, 4, 60, -1])
def test_a_truncated_checkpoint_is_bad_input(end: int) -> None:
    with pytest.raises(InputError, match=r"^ours: not a readable safetensors file"):
        checkpoint.loads(_bytes(_model())[:end], source="ours")


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(InputError, match="not a readable safetensors file"):
        checkpoint.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.safetensors: cannot be read \(No such file"):
        checkpoint.load(tmp_path / "absent.safetensors")


def test_safetensors_of_someone_else_are_told_apart() -> None:
    with pytest.raises(InputError, match="not one that refinevad wrote"):
        checkpoint.loads(save_tensors({"weight": torch.zeros(2)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "checkpoint format 99"),
        ({"model": {"d_model": -1}}, "metadata in its header is damaged"),
        ({"model": {"d_model": 32}}, "weights do not fit the model"),
        ({"widths": None}, "metadata in its header is damaged"),
    ],
)
def test_a_header_that_is_wrong_is_bad_input(change: dict[str, object], message: str) -> None:
    header = {
        "version": checkpoint.FORMAT_VERSION,
        "model": CONFIG.model_dump(mode="json"),
        "categories": list(CATEGORIES),
        "widths": WIDTHS,
        "extra": {},
    }
    data = save_tensors(_model().state_dict(), metadata={"refinevad": json.dumps(header | change)})
    with pytest.raises(InputError, match=message):
        checkpoint.loads(data)


def test_a_checkpoint_of_other_features_is_refused() -> None:
    _, meta = checkpoint.loads(_bytes(_model()))
    checkpoint.require_widths(meta, WIDTHS)
    with pytest.raises(InputError, match=r"reads visual 6 \+ text 3, the data has text 3 \+ vis"):
        checkpoint.require_widths(meta, {"text": 3, "visual": 6})
