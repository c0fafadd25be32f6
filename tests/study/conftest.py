"""The small study for the tests of the platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workspace import SMALL_STUDY, Undisturbed, Workspace, run_undisturbed


@pytest.fixture
def workspace(tmp_path: Path, stores: Path) -> Workspace:
    (tmp_path / "small.yaml").write_text(SMALL_STUDY)
    return Workspace(tmp_path, stores)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, stores: Path) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.yaml").write_text(SMALL_STUDY)
    return run_undisturbed(Workspace(folder, stores))
