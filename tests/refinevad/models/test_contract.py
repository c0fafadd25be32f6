"""Every detector of the registry passes the contract; a new one is tested by its line there."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from refinevad.config.detector import DetectorConfig
from refinevad.models.registry import CONFIGS, detector_class
from refinevad.testing.detectors import DetectorContract

SMALL: dict[str, dict[str, Any]] = {
    "refinevad": {
        "d_model": 16, "encoder_feedforward": 32, "encoder_heads": 2, "injection_heads": 2,
        "d_proj": 8, "d_emb": 8,
    },
}  # fmt: skip
"""Knobs that make a test faster; a detector without a row is tested with its defaults."""
VARIANTS: dict[str, dict[str, Any]] = {
    "refinevad mtn": {"name": "refinevad", "temporal": "mtn", "category_weights": "hard"},
    "refinevad lgt": {"name": "refinevad", "temporal": "lgt", "injection": "linear"},
    "deepmil fine": {"name": "deepmil", "fine_grained": True, "pairs": "index", "top_k": 3},
    "linear l2": {"name": "linear", "l2": 0.01, "top_k": 2},
    "ocsvm wide": {"name": "ocsvm", "gamma": 0.05, "components": 4},
}
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
