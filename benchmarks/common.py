"""What every benchmark shares: the machine in words, repeats, a table, a JSON file."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refinevad.models.base import Task

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(ROOT))

_PACKAGES = ("torch", "numpy", "scikit-learn", "ray", "optuna", "mlflow")


def task(widths: Mapping[str, int], categories: int) -> Task:
    """A detector's task with so many nameless categories."""
    from refinevad.models.base import Task

    return Task(widths, tuple(f"category {index}" for index in range(categories)))


def machine() -> dict[str, Any]:
    """Processor, cores, GPU and versions: what a figure is worth without is nothing."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    flags = next((line for line in lines if line.startswith("flags")), "")
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "avx512_bf16": "avx512_bf16" in flags,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions,
    }


def alternate(
    sides: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds per call of each side, taken in turns: machines are noisy, both get the noise."""
    for _ in range(warmup):
        for call in sides.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            started = clock()
            call()
            seconds[name].append(clock() - started)
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    if len(values) < 2:
        return {"median": values[0], "q1": values[0], "q3": values[0], "repeats": 1}
    q1, _, q3 = statistics.quantiles(values, n=4)
    return {"median": statistics.median(values), "q1": q1, "q3": q3, "repeats": len(values)}


def publish(name: str, rows: list[dict[str, Any]], *, command: str) -> None:
    """Prints the rows as a table and writes ``benchmarks/results/<name>.json``."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    texts = [[as_text(row.get(column)) for column in columns] for row in rows]
    widths = [
        max(len(column), *(len(text[i]) for text in texts)) for i, column in enumerate(columns)
    ]
    print("  ".join(column.ljust(width) for column, width in zip(columns, widths, strict=True)))
    for text in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(text, widths, strict=True)))
    RESULTS.mkdir(exist_ok=True)
    content = {"command": command, "machine": machine(), "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def as_text(value: object) -> str:
    """A figure in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)
