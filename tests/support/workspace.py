"""A working directory, and the real commands run in it as a user would."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
train: {batch_size: 16, schedule: constant, warmup_epochs: 0}
space:
  d_proj: {choice: [4, 8]}
  lambda_cat: {log_uniform: [0.01, 2.0]}
  lr: {log_uniform: [1.0e-5, 1.0e-1]}
  epochs: {int: [2, 4]}
"""
"""A study small enough to run for real, many times."""

TROUBLES = "tests.faults.troubles"
RUN = ("study.run",)
"""The command; the saboteur of tests/faults takes its place."""


@dataclass
class Workspace:
    """A working directory with a study file of the name ``small``."""

    folder: Path
    stores: Path
    here: bool = False
    """Runs undisturbed serial sessions in the process of the test."""

    @property
    def space(self) -> Path:
        return self.folder / "small.yaml"

    @property
    def study(self) -> Path:
        return self.folder / "runs" / "small"

    @property
    def journal(self) -> Path:
        return self.study / "journal.log"

    def command(self, *arguments: str, program: Sequence[str] = RUN) -> list[str]:
        """The command line. One worker, or none that is named, is the serial backend unless
        $TEST_BACKEND says ray: a test that claims something about Ray has two workers, or says
        ``--backend ray``. Baselines, which take seconds, are computed where an argument is
        ``--baselines``, which is no flag of the command."""
        words = [word for word in arguments if word != "--baselines"]
        runs = program[0] in ("study.run", TROUBLES)
        return [
            *(sys.executable, "-m", *program, "--space", str(self.space)),
            *("--stores", str(self.stores)),
            *_in_process(words, program),
            *(["--no-baselines"] if runs and words == list(arguments) else []),
        ]

    def environment(self, **more: str) -> dict[str, str]:
        # 200 columns, so that no line is wrapped where a test looks for words
        own = {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", "TEST_WORKSPACE": str(self.folder)}
        return os.environ | own | more

    def run(
        self, *arguments: str, tracking: str = "none", program: Sequence[str] = RUN, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command to its end; ``env`` is added to its environment.

        Where nothing is said of the process it is this one, which has imported torch already.
        """
        command = self.command("--tracking-uri", tracking, *arguments, program=program)
        plain = program == RUN and not env and tracking == "none"
        if self.here and plain and "serial" in command:
            return self._run_here(command)
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def _run_here(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        from refinevad import cli
        from refinevad.training.runtime import process_settings_kept
        from study.run import main

        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch, process_settings_kept(),
            redirect_stdout(out), redirect_stderr(err),
        ):  # fmt: skip
            patch.chdir(self.folder)
            patch.setenv("COLUMNS", "200")
            patch.setenv("TEST_WORKSPACE", str(self.folder))
            try:
                cli.run(main, command[3:])
            except SystemExit as ended:
                status = int(ended.code or 0)
        return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())

    def start(
        self, *arguments: str, tracking: str = "none", program: Sequence[str] = RUN, **env: str
    ) -> subprocess.Popen[str]:
        """Starts the command; its standard error comes with its output."""
        return subprocess.Popen(
            self.command("--tracking-uri", tracking, *arguments, program=program),
            cwd=self.folder,
            env=self.environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of its own, as a shell gives a foreground job
        )

    def results(self) -> int:
        """Trials of the study that have a result in the journal."""
        return self.journal.read_bytes().count(b'"result"') if self.journal.exists() else 0

    def processes(self) -> dict[int, str]:
        """Processes that descend from a command of this workspace: number -> command line."""
        marked = f"TEST_WORKSPACE={self.folder}\0".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if marked in (process / "environ").read_bytes() + b"\0":
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if line:  # a zombie has none
                        found[int(process.name)] = line
            except OSError:  # it has just ended
                continue
        return found


def _in_process(arguments: Sequence[str], program: Sequence[str]) -> Sequence[str]:
    words = list(arguments)
    workers = words[words.index("--workers") + 1] if "--workers" in words else "1"
    if (
        workers != "1"
        or {"--backend", "--address"} & set(words)
        or os.environ.get("TEST_BACKEND") == "ray"
        or program[0] == TROUBLES  # which may end the worker
    ):
        return words
    if "--workers" in words:
        at = words.index("--workers")
        words = words[:at] + words[at + 2 :]
    return [*words, "--backend", "serial"]


class Undisturbed(NamedTuple):
    """What a study gives when nothing happens to it."""

    digest: str
    table: str
    """The text of ``trials.csv``."""


def digest_of(process: subprocess.CompletedProcess[str]) -> str:
    """The digest a finished run printed."""
    assert process.returncode == 0, process.stdout + process.stderr
    lines = [line for line in process.stdout.splitlines() if line.startswith("digest ")]
    assert len(lines) == 1, process.stdout
    return lines[0].split()[1]


def wait_for_results(workspace: Workspace, count: int) -> None:
    """Until ``count`` trials of the running study have ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if workspace.results() >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the study does not get on")


def run_undisturbed(workspace: Workspace) -> Undisturbed:
    """The study of a fresh workspace, run once without Ray and without trouble."""
    digest = digest_of(workspace.run("--backend", "serial"))
    return Undisturbed(digest, (workspace.study / "trials.csv").read_text())
