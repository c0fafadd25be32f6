"""``refinevad`` is a library of its own: nothing that only the platform needs is imported by it."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import refinevad
from tests.support.small_data import DATA

ROOT = Path(__file__).parents[2]
EXTRAS = (
    *("ray", "optuna", "mlflow", "pandas", "scipy", "pyarrow", "psutil", "jinja2", "cmaes"),
    "threadpoolctl",
)
"""What the extra ``study`` installs, as it is imported."""
ONE_DETECTOR = {"threadpoolctl"}
"""Imported by ``ocsvm`` when it is fitted."""
IMPORTED_AS = {"pyyaml": "yaml", "scikit-learn": "sklearn"}


def test_all_that_the_extra_study_installs_is_kept_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = [
        re.split(r"[\[>]", line, maxsplit=1)[0]
        for line in project["optional-dependencies"]["study"]
    ]
    assert sorted(extra) == sorted(EXTRAS)
    base = [line.partition(">")[0] for line in project["dependencies"]]
    imports = {IMPORTED_AS.get(name, name) for name in base}
    imports.add("pydantic_core")  # comes with pydantic, whose parser of JSON it is
    found: set[str] = set()
    for path in (ROOT / "refinevad").rglob("*.py"):
        allowed = ONE_DETECTOR if path.parent.name in ("ocsvm", "svm") else set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names} - allowed
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module.partition(".")[0]} - allowed
    assert found - sys.stdlib_module_names - {"refinevad"} == imports


def test_every_module_imports_and_a_detector_trains_where_the_platform_cannot_be_imported(
    tmp_path: Path, data: Path
) -> None:
    modules = [m.name for m in pkgutil.walk_packages(refinevad.__path__, "refinevad.")]
    assert "refinevad.training.run" in modules
    code = (
        "import importlib, sys\n"
        f"for name in {(*EXTRAS, 'study')!r}: sys.modules[name] = None\n"  # an import of it fails
        f"for name in {modules!r}: name.endswith('__main__') or importlib.import_module(name)\n"
        "from refinevad.train import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    space = tmp_path / "s.yaml"
    space.write_text(
        DATA.format(root=data)
        + "model: {d_model: 16, encoder_feedforward: 16, d_proj: 8, d_emb: 4}\n"
        "train: {epochs: 1, batch_size: 16}\n"
    )
    out, stores = tmp_path / "out", tmp_path / "stores"
    run = subprocess.run(
        [sys.executable, "-c", code, "--config", space, "--out", out, "--stores", stores],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    assert (out / "checkpoint.safetensors").exists()
