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

ROOT = Path(__file__).parents[2]
EXTRAS = (
    *("ray", "optuna", "mlflow", "pandas", "sklearn", "scipy", "pyarrow", "psutil", "jinja2"),
    "threadpoolctl",
)
"""What the extra ``study`` installs, as it is imported."""


def modules() -> list[str]:
    found = pkgutil.walk_packages(refinevad.__path__, "refinevad.")
    return [module.name for module in found]


def test_no_module_imports_the_platform() -> None:
    assert "refinevad.training.run" in modules()
    code = (
        "import importlib, sys\n"
        f"for name in {modules()!r}: importlib.import_module(name)\n"
        f"print([p for p in {(*EXTRAS, 'study')!r} if p in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_all_that_the_extra_study_installs_is_kept_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = [
        re.split(r"[\[>]", line, maxsplit=1)[0]
        for line in project["optional-dependencies"]["study"]
    ]
    assert sorted(name.replace("scikit-learn", "sklearn") for name in extra) == sorted(EXTRAS)
    base = [line.partition(">")[0] for line in project["dependencies"]]
    imports = {"yaml" if name == "pyyaml" else name for name in base}
    imports.add("pydantic_core")  # comes with pydantic, whose parser of JSON it is
    found: set[str] = set()
    for path in (ROOT / "refinevad").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    assert found - sys.stdlib_module_names - {"refinevad"} == imports


def test_the_commands_are_the_verbs_that_the_package_names() -> None:
    commands = {
        path.stem
        for path in (ROOT / "refinevad").rglob("*.py")
        if 'if __name__ == "__main__":' in path.read_text()
    }
    named = re.search(r"is a command \((.*?):", refinevad.__doc__ or "", flags=re.DOTALL)
    assert named is not None
    assert set(re.findall(r"``(\w+)``", named[1])) == commands


def test_it_trains_where_the_platform_cannot_be_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"for name in {EXTRAS!r}: sys.modules[name] = None\n"  # an import of it fails
        "from refinevad.train import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    space = tmp_path / "s.yaml"
    space.write_text(
        "data: {synthetic: ucf-like}\n"
        "model: {d_model: 16, encoder_feedforward: 16, d_proj: 8, d_emb: 4}\n"
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
