"""``benchmarks/results/faults.md``: what was done to a study and how it ended, row by row."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("ray", "optuna", "mlflow", "torch")


@dataclass(frozen=True)
class Row:
    area: str
    done: str
    how: str
    seen: str
    after: str


def write_table(path: Path, rows: list[Row]) -> None:
    """Writes all rows in the order of the tests; failures and what was not run stand there too."""
    failed = sum(row.after.startswith("**FAILED**") for row in rows)
    skipped = sum(row.after.startswith("not run here") for row in rows)
    lines = [
        "# Faults",
        "",
        f"Written by `make faults`: {len(rows)} faults, {failed} failed, {skipped} not run here.",
        "Each disturbs a study of the real command and resumes it by the same command; *after*",
        "says what was compared with the undisturbed study.",
        "",
        machine(),
    ]
    area = None
    for row in rows:
        if row.area != area:
            area = row.area
            lines += ["", f"## {area}", "", "| done | how | seen | after |", "|---|---|---|---|"]
        cells = (row.done, row.how, row.seen, row.after)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    path.write_text("\n".join(lines) + "\n")


def machine() -> str:
    """The machine and the versions in one line."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
