"""Detectors have the number of parameters that their authors' have, at four widths."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from refinevad.models.base import Task
from refinevad.models.registry import CONFIGS, detector_class
from tests.support.detectors import task

WIDTHS = (384, 512, 768, 1024)
PARAMETERS = {
    "rtfm": (1_094_417, 1_805_761, 3_781_409, 6_494_337),
    "urdmu": (5_509_889, 5_706_497, 6_099_713, 6_492_929),
    "bnwvad": (4_808_865, 5_005_473, 5_398_689, 5_791_905),
    "cliptsa": (969_634, 1_678_722, 3_675_970, 6_445_314),
    "hlnet": (350_274, 415_810, 546_882, 677_954),
    "ifsvad": (1_445_635, 2_429_699, 5_184_259, 8_987_395),
    "mgfn": (28_333_285, 28_357_861, 28_407_013, 28_456_165),
    "ae": (525_824, 657_024, 919_424, 1_181_824),
}
"""At the widths above, one modality, 13 categories."""


def parameters(name: str, widths: dict[str, int], **knobs: Any) -> int:
    config = CONFIGS[name].model_validate(knobs)
    return sum(p.numel() for p in detector_class(name)(config, task(widths, 13)).parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_has_the_known_number_of_parameters(name: str) -> None:
    assert tuple(parameters(name, {"visual": w}) for w in WIDTHS) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "width", "texts", "expected"),
    [
        ("vadclip", 384, 384, 7_036_802), ("vadclip", 512, 512, 12_495_362),
        ("vadclip", 768, 768, 28_081_922), ("pel4vad", 384, 384, 464_189),
        ("pel4vad", 512, 512, 683_325), ("pel4vad", 768, 768, 1_219_901),
        ("pel4vad", 1024, 512, 1_209_149),
    ],
)  # fmt: skip
def test_with_texts_of_that_width(name: str, width: int, texts: int, expected: int) -> None:
    categories = tuple(f"category {i}" for i in range(13))
    own = Task({"visual": width}, categories, torch.randn(14, texts))
    model = detector_class(name)(CONFIGS[name].model_validate({}), own)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_tevad_has_a_temporal_module_for_each_modality() -> None:
    assert parameters("tevad", {"visual": 768, "text": 768}) == 7_496_513
    assert parameters("tevad", {"visual": 384}, hidden=512) == PARAMETERS["rtfm"][0]


def test_rtfm_at_the_width_of_the_paper() -> None:
    assert round(parameters("rtfm", {"visual": 2048}) / 1e6, 2) == 24.72
