"""What is used below the public face of Ray, Optuna and MLflow is there, and in one place.

Where a new version of a library took something away, the first test says all of it at once: what,
what it was used for, and what happens without it (`study._private`).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from study._private import mlflow, optuna, ray
from study._private.names import Name, missing
from tests.support.workspace import REPOSITORY

LIBRARIES = {"ray": ray.NAMES, "optuna": optuna.NAMES, "mlflow": mlflow.NAMES}
PRIVATE = REPOSITORY / "study" / "_private"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_has_every_name_that_is_used_below_its_public_face(library: str) -> None:
    found = missing(LIBRARIES[library])
    assert not found, f"this {library} lacks {len(found)} of our names:\n" + "\n".join(found)


def test_a_journals_operations_have_optunas_numbers() -> None:
    storage = pytest.importorskip("optuna.storages.journal._storage")
    ours = {operation.name: int(operation) for operation in optuna.JournalOperation}
    optunas = {operation.name: int(operation) for operation in storage.JournalOperation}
    assert ours.items() <= optunas.items()


PARTS = "tests.study.test_private_apis"


class Part:
    """Stands for a part of a library."""

    def __init__(self) -> None:
        self._hidden = 1

    def method(self, first: int, second: int = 0) -> int:
        return first + second


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        (Name("no.such.module:thing", "a", "b"), "is gone (No module named 'no')"),
        (Name(f"{PARTS}:Part.other", "a", "b"), "is gone ("),
        (Name(f"{PARTS}:Part.method", "a", "b", takes=("self", "a")), "takes self, first, second"),
        (Name(f"{PARTS}:Part.method", "a", "b", takes=("self",)), "cannot be called with self ("),
        (Name(f"{PARTS}:Part.__init__", "a", "b", code=("_hidden", "_x")), "to do with _x;"),
        (Name(f"{PARTS}:Part.method", "a", "b", takes=("self", "first")), None),
        (Name(f"{PARTS}:Part.__init__", "a", "b", code=("_hidden",)), None),
    ],
    ids=lambda value: value.path if isinstance(value, Name) else "",
)
def test_a_missing_name_is_told_with_its_use(name: Name, trouble: str | None) -> None:
    found = missing([name])
    if trouble is None:
        assert found == []
    else:
        assert len(found) == 1
        assert trouble in found[0]
        assert found[0].endswith("; it is used to a; without it b")


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((REPOSITORY / "study").rglob("*.py")):
        if PRIVATE not in path.parents:
            yield path, ast.parse(path.read_text())


def hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def imported(node: ast.AST) -> Sequence[str]:
    """What an import names, with dots: module and name."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def uses_private(node: ast.AST) -> bool:
    """Whether a private name of another is used: imported, as an attribute, or by `getattr`."""
    for name in imported(node):
        library, *parts = name.split(".")
        if library in LIBRARIES and any(map(hidden, parts)):
            return True
    if isinstance(node, ast.Attribute) and hidden(node.attr):
        return not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os"))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        words = [a.value for a in node.args if isinstance(a, ast.Constant)]
        return node.func.id.endswith("attr") and any(hidden(str(word)) for word in words)
    return False


def test_private_names_are_used_in_study_private_alone() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 0)}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if uses_private(node)
    ]
    assert found == []


def test_the_backend_alone_imports_what_is_private_to_ray() -> None:
    found = {
        path.parent.name
        for path, tree in modules()
        for node in ast.walk(tree)
        if any(name.startswith("study._private.ray") for name in imported(node))
    }
    assert found == {"backend"}


def test_the_files_of_the_other_libraries_import_no_more_than_they_need() -> None:
    code = (
        "import sys, study._private.mlflow, study._private.ray\n"
        "assert not {'ray', 'optuna', 'mlflow'} & sys.modules.keys()\n"
        "import study._private.optuna\n"
        "assert not {'ray', 'mlflow'} & sys.modules.keys()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture
def looked_anew() -> Iterator[None]:
    """Whether Optuna has the estimators is looked up in the test, and again after it."""
    optuna.has_estimators.cache_clear()
    yield
    optuna.has_estimators.cache_clear()


ESTIMATOR = "optuna.samplers._tpe.parzen_estimator._ParzenEstimator"


@pytest.mark.usefixtures("looked_anew")
def test_the_estimators_are_used_where_they_are_as_we_know_them() -> None:
    assert optuna.has_estimators()


@pytest.mark.usefixtures("looked_anew")
@pytest.mark.parametrize(
    "name", [ESTIMATOR, f"{ESTIMATOR}.log_pdf", "optuna.samplers.TPESampler._compare"]
)
def test_without_an_estimator_the_public_sampler_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(name)
    assert not optuna.has_estimators()


@pytest.mark.usefixtures("looked_anew")
def test_with_another_signature_the_public_sampler_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{ESTIMATOR}.sample", lambda self, size, rng: {})
    assert not optuna.has_estimators()
