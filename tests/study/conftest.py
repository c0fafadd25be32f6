"""The small study for the tests of the platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.small_data import study_text
from tests.support.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, stores: Path, data: Path) -> Workspace:
    (tmp_path / "small.yaml").write_text(study_text(data))
    return Workspace(tmp_path, stores, here=True)
