"""A study small enough to run for real, many times, and the command that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

SMALL_STUDY = """
study: {name: small, trials: 10, seed: 7}
objective: {metric: ap, split: val}
search: {space_filling: 4, window: 4}
pruning: {percentile: 40, warmup_epochs: 1, after_trials: 3}
execution: {threads: 1, retries: 1, trial_timeout: 5m, precision: fp32, keep_checkpoints: 2}
data: {synthetic: ucf-like}
model: {d_model: 16, encoder_feedforward: 32, encoder_heads: 2, injection_heads: 2}
train: {batch_size: 16}
space:
  d_proj: {choice: [4, 8]}
  lambda_cat: {log_uniform: [0.01, 2.0]}
  lr: {log_uniform: [1.0e-5, 1.0e-1]}
  epochs: {int: [2, 4]}
"""


@dataclass
class Desk:
    """A working directory with a small study file, and commands run in it as a user would."""

    folder: Path
    stores: Path

    @property
    def space(self) -> Path:
        return self.folder / "small.yaml"

    @property
    def study(self) -> Path:
        return self.folder / "runs" / "small"

    def command(self, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-m", "study.run", "--space", str(self.space)),
            *("--stores", str(self.stores)),
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        # 200 columns, so that no line is wrapped where a test looks for words
        return os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}

    def run(self, *arguments: str, tracking: str = "none") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command("--tracking-uri", tracking, *arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("--tracking-uri", "none", *arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of its own, as a shell gives a foreground job
        )


def digest_of(process: subprocess.CompletedProcess[str]) -> str:
    """The digest a finished run printed."""
    assert process.returncode == 0, process.stdout + process.stderr
    lines = [line for line in process.stdout.splitlines() if line.startswith("digest ")]
    assert len(lines) == 1, process.stdout
    return lines[0].split()[1]


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed features, shared by all desks."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture
def desk(tmp_path: Path, stores: Path) -> Desk:
    (tmp_path / "small.yaml").write_text(SMALL_STUDY)
    return Desk(tmp_path, stores)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, stores: Path) -> Sequence[str]:
    """(digest, trials.csv) of the small study run once, with one worker and no trouble."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.yaml").write_text(SMALL_STUDY)
    calm = Desk(folder, stores)
    digest = digest_of(calm.run("--workers", "1"))
    return digest, (calm.study / "trials.csv").read_text()
