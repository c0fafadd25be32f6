"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.small_data import study_text, write_data
from tests.support.workspace import Undisturbed, Workspace, run_undisturbed

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside each other
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

TOGETHER = {"test_verify", "test_paper", "test_importance_command", "test_report", "test_synthetic"}
"""Modules with a fixture that costs more than their tests."""


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


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw features of the small study."""
    root = tmp_path_factory.mktemp("data")
    write_data(root)
    return root


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, stores: Path, data: Path) -> Workspace:
    """A workspace whose study has run; not to be changed."""
    folder = tmp_path_factory.mktemp("calm")
    (folder / "small.yaml").write_text(study_text(data))
    return Workspace(folder, stores)


@pytest.fixture(scope="session")
def undisturbed(calm: Workspace) -> Undisturbed:
    """What the small study gives in one process, without Ray."""
    return run_undisturbed(calm)


@pytest.fixture
def quick_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importances from small forests, for tests that claim nothing about their numbers."""
    from study.analysis import importance

    monkeypatch.setattr(importance, "TREES", 30)
    monkeypatch.setattr(importance, "TREES_OF_A_REPLICATE", 4)
    monkeypatch.setattr(importance, "POINTS", 128)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With xdist, tests that share a costly fixture of their module stay together."""
    for item in items:
        if item.path.stem in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
