"""The small study for the tests of the platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workspace import SMALL_STUDY, Desk, Undisturbed, run_undisturbed


@pytest.fixture
def desk(tmp_path: Path, stores: Path) -> Desk:
    (tmp_path / "small.yaml").write_text(SMALL_STUDY)
    return Desk(tmp_path, stores)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, stores: Path) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.yaml").write_text(SMALL_STUDY)
    return run_undisturbed(Desk(folder, stores))
