"""The examples and the notebook run as they are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


QUICK = (
    "import runpy, sys; from refinevad.training import baselines; baselines.STEPS = 2; "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Runs a script with baselines that take a second: what they reach is no claim of an example."""


def run(script: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", QUICK, str(script)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(EXAMPLES.parent), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One working directory: all examples share the packed synthetic data."""
    return tmp_path_factory.mktemp("examples")


SAID = {
    "1_train": "video-label baseline",
    "2_study": "digest ",
    "3_own_data": "'test/auc': (1.0|0.9)",
    "4_own_detector": "checks passed",
}


@pytest.mark.xdist_group("examples")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs(script: Path, folder: Path) -> None:
    assert re.search(SAID[script.stem], run(script, folder))


@pytest.mark.xdist_group("examples")
def test_every_cell_of_the_notebook_runs(folder: Path) -> None:
    notebook = json.loads((EXAMPLES / "5_notebook.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "kept without outputs"
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    # The value of a cell's last line is shown; here it is computed.
    script = folder / "notebook.py"
    script.write_text("\n".join(cells) + '\nprint("all cells", results.digest)\n')
    assert "all cells" in run(script, folder)


def test_every_example_is_tested() -> None:
    assert {script.stem for script in SCRIPTS} == set(SAID)
