"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets; a test that needs it is skipped where it is absent."""
    folder = os.environ.get("REFINEVAD_DATA")
    if not folder:
        pytest.skip("needs real data: set REFINEVAD_DATA to their folder")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.skip(f"needs real data: REFINEVAD_DATA = {folder} is not a folder")
    return path


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed features, shared by all workspaces."""
    return tmp_path_factory.mktemp("stores")
