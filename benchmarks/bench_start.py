"""How long a command takes before it does anything: help, a mistake in the file, and the imports.

``python benchmarks/bench_start.py``: each in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import ROOT, alternate, publish, spread

MISTAKE = (
    "study: {name: x, trials: 10}\ndata: {synthetic: ucf-like}\nspace: {lr: {unifrom: [0, 1]}}\n"
)
COMMANDS = (
    "study.run",
    "study.importance",
    "study.transfer",
    "study.verify",
    "study.report",
    "study.publish",
    "refinevad.train",
    "refinevad.score",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        space = Path(scratch) / "mistake.yaml"
        space.write_text(MISTAKE)

        def call(*words: str, status: int = 0) -> Callable[[], None]:
            def run() -> None:
                command = [sys.executable, *words]
                ended = subprocess.run(command, cwd=ROOT, capture_output=True)
                assert ended.returncode == status, ended.stderr.decode()

            return run

        sides = {f"{name} --help": call("-m", name, "--help") for name in COMMANDS}
        mistake = call("-m", "study.run", "--space", str(space), status=2)
        sides["study.run, a mistake in the file"] = mistake
        sides |= {
            f"import {name}": call("-c", f"import {name}")
            for name in ("torch", "mlflow", "ray.tune")
        }
        sides["python alone"] = call("-c", "pass")
        seconds = alternate(sides, repeats=args.repeats, warmup=1)
    rows = []
    for name, values in seconds.items():
        found = spread(values)
        rows.append({"side": name, "s": found["median"], "q1": found["q1"], "q3": found["q3"]})
    publish("start", rows, command="python benchmarks/bench_start.py")


if __name__ == "__main__":
    main()
