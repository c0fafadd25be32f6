"""``refinevad`` is a library of its own: none of the platform is imported by it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import refinevad

PLATFORM = ("ray", "optuna", "mlflow", "study")


def modules() -> list[str]:
    found = pkgutil.walk_packages(refinevad.__path__, "refinevad.")
    return [module.name for module in found]


def test_no_module_imports_the_platform() -> None:
    assert "refinevad.trainer" in modules()
    code = (
        "import importlib, sys\n"
        f"for name in {modules()!r}: importlib.import_module(name)\n"
        f"print([p for p in {PLATFORM!r} if p in sys.modules])"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_it_trains_where_the_platform_cannot_be_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"for name in {PLATFORM[:3]!r}: sys.modules[name] = None\n"  # an import of it fails
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
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code, "--config", space, "--out", out, "--stores", stores],
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert run.returncode == 0, run.stderr
    assert (out / "checkpoint.safetensors").exists()
