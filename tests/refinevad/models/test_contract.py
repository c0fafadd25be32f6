"""Every detector of the registry passes the contract; a new one is tested by its line there."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import pytest
import torch

from refinevad.config.detector import DetectorConfig
from refinevad.errors import InputError
from refinevad.models import checkpoint
from refinevad.models.linear.model import Linear
from refinevad.models.registry import CONFIGS, detector_class, register
from refinevad.testing.detectors import DetectorContract, predict, ready, videos

SMALL: dict[str, dict[str, Any]] = {
    "refinevad": {
        "d_model": 16, "encoder_feedforward": 32, "encoder_heads": 2, "injection_heads": 2,
        "d_proj": 8, "d_emb": 8,
    },
    "vadclip": {"texts": "learned", "window": 4},
    "pel4vad": {"texts": "learned"},
    "mgfn": {"depth": "1-1-1", "last": 64},
}  # fmt: skip
"""Knobs that make a test faster; a detector without a row is tested with its defaults."""
VARIANTS: dict[str, dict[str, Any]] = {
    "refinevad mtn": {"name": "refinevad", "temporal": "mtn", "category_weights": "hard"},
    "refinevad lgt": {"name": "refinevad", "temporal": "lgt", "injection": "linear"},
    "deepmil fine": {"name": "deepmil", "fine_grained": True, "pairs": "index", "top_k": 3},
    "linear l2": {"name": "linear", "l2": 0.01, "top_k": 2, "pool": "logits"},
    "refinevad bce": {
        "name": "refinevad", "mil_loss": "bce", "label_smoothing": 0.1, "normalise": "standard",
        "smooth_segments": 3, "video_share": 0.25,
    },
    "deepmil bce": {"name": "deepmil", "mil_loss": "bce", "normalise": "l2"},
    "linear smooth": {"name": "linear", "smooth_segments": 5, "video_share": 0.25},
    "hlnet fine": {"name": "hlnet", "fine_grained": True, "head": "online"},
    "tevad add": {"name": "tevad", "fusion": "add"},
    "urdmu code": {"name": "urdmu", "kl_axis": "time", "distance_norm": "columns"},
    "mgfn f": {"name": "mgfn", "depth": "1-1-1", "last": 64, "length_of": "f"},
    "ae stack": {"name": "ae", "stack": 4, "per_video": True},
    "svm segment": {"name": "svm", "level": "segment", "c": 10.0},
    "vadclip a": {
        "name": "vadclip", "texts": "learned", "head": "a", "pooling": "raw", "blocks": 1,
    },
    "pel4vad code": {
        "name": "pel4vad", "texts": "learned", "norm_axis": "time", "window": 5, "kernel": 3,
    },
    "pel4vad xd": {"name": "pel4vad", "texts": "learned", "power_norm": False},
    "ocsvm wide": {"name": "ocsvm", "gamma": 0.05, "components": 4},
}  # fmt: skip
"""Options that compute something else."""


@pytest.mark.parametrize("case", [*CONFIGS, *VARIANTS])
class TestRegistered(DetectorContract):
    @pytest.fixture
    def config(self, case: str) -> DetectorConfig:
        knobs = VARIANTS.get(case, {"name": case})
        name = str(knobs["name"])
        return CONFIGS[name].model_validate(SMALL.get(name, {}) | knobs)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_name_finds_its_class(name: str) -> None:
    assert CONFIGS[name].model_fields["name"].default == name
    assert detector_class(name).Config is CONFIGS[name]


def test_no_configuration_imports_torch() -> None:
    code = (
        "import sys, refinevad.models.registry, refinevad.run_config; print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_detector_is_registered_again_but_replaces_no_other() -> None:
    try:

        class MineConfig(CONFIGS["linear"]):  # type: ignore[misc,valid-type]
            name: Literal["mine"] = "mine"

        class Mine(Linear):
            Config = MineConfig

        register(Mine)
        assert detector_class("mine") is Mine
        register(Mine)
        with pytest.raises(ValueError, match="there is a detector 'linear' already"):

            @register
            class Thief(Linear):
                pass

    finally:
        CONFIGS.pop("mine", None)
    assert detector_class("linear") is Linear


def test_a_checkpoint_of_an_unknown_detector_is_named() -> None:
    class OtherConfig(DetectorConfig):
        name: str = "other"

    content = checkpoint.dumps({}, model=OtherConfig(), categories=("a",), widths={"visual": 3})
    with pytest.raises(InputError, match=r"of the detector 'other', which is not known here"):
        checkpoint.loads(content)


def test_a_fitted_checkpoint_of_another_type_of_number_scores() -> None:
    config = CONFIGS["ocsvm"].model_validate({})
    model = ready(config)
    state = {name: value.double() for name, value in model.state_dict().items()}
    task = model.task
    content = checkpoint.dumps(state, model=config, categories=task.categories, widths=task.widths)
    found, _ = checkpoint.loads(content)
    assert predict(found, videos(2, 5)).scores.dtype == torch.float32
