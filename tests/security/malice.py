"""Files a stranger might hand over, and the real commands that are given them."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from refinevad import cli
from tests.support.workspace import REPOSITORY


class Payload:
    """Unpickled, it runs a command that leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._mark}",)


def object_array(path: Path, mark: Path) -> None:
    """A ``.npy`` that NumPy would load with ``allow_pickle``."""
    with path.open("wb") as file:
        np.save(file, np.array([[Payload(mark)]], dtype=object), allow_pickle=True)


def bare_pickle(path: Path, mark: Path) -> None:
    """A pickle under the name of an array: ``np.load`` would take it too."""
    import pickle

    path.write_bytes(pickle.dumps(Payload(mark)))


def archive(path: Path, mark: Path) -> None:
    """An ``.npz`` of object arrays."""
    with path.open("wb") as file:
        np.savez(file, a=np.array([Payload(mark)], dtype=object))


def torch_pickle(path: Path, mark: Path) -> None:
    """What ``torch.save`` writes."""
    torch.save({"weights": Payload(mark)}, path)


ARRAYS = (object_array, bare_pickle, archive)
CHECKPOINTS = (torch_pickle, bare_pickle)


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m module`` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def call(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same without the seconds that starting a process takes."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as end,
    ):
        cli.run(importlib.import_module(module).main, list(arguments))
    code = int(end.value.code or 0)
    return subprocess.CompletedProcess(module, code, output.getvalue(), errors.getvalue())


def refusal(process: subprocess.CompletedProcess[str]) -> str:
    """What a refused command says: one message, nothing that steers the terminal."""
    assert process.returncode == 2, process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    _, error, message = process.stderr.partition("error: ")
    assert error, process.stderr
    assert all(c.isprintable() or c == "\n" for c in message), message
    return message
