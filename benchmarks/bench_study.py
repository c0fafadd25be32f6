"""A real study: are its workers busy, and do its forecasts hold?

``python benchmarks/bench_study.py [--study runs/NAME ...]``: runs a study of 100 small trials on
the synthetic benchmark, all switched on, and reports the share of the workers' time in which trials
ran, trials per hour, and, at forty moments of the study and of each other one that is given,
whether the time that was left then lay in the forecast's interval. The studies' trials are replayed
back to back on two workers, so that pauses between sessions do not count.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT, publish

from study.ledger.reader import LedgerReader
from study.ledger.records import TrialRecord
from study.ledger.study import recorded_file
from study.progress.forecast import Forecaster
from study.search.proposal import first_proposals

SPACE = """
study: {name: busy, trials: 100, seed: 1}
search: {space_filling: 50, window: 16}
pruning: {percentile: 20, warmup_epochs: 5, after_trials: 40}
execution: {threads: 1, trial_timeout: 30m}
data: {synthetic: ucf-like}
model: {d_model: 64, encoder_feedforward: 256}
train: {batch_size: 32}
space:
  d_proj: {choice: [64, 128, 256, 512]}
  d_emb: {choice: [32, 64, 128, 256, 512]}
  lambda_cat: {log_uniform: [0.01, 2.0]}
  lambda_gmm: {log_uniform: [0.01, 1.0]}
  lambda_reg: {log_uniform: [1.0e-6, 1.0e-2]}
  lr: {log_uniform: [1.0e-5, 1.0e-2]}
  epochs: {int: [5, 30]}
"""
WORKERS = 2
MOMENTS = 40


def run(folder: Path) -> tuple[Path, str]:
    """The study's folder, and what its run said."""
    (folder / "busy.yaml").write_text(SPACE)
    command = [sys.executable, "-m", "study.run", "--space", str(folder / "busy.yaml")]
    command += ["--workers", str(WORKERS), "--runs", str(folder / "runs")]
    command += ["--stores", str(folder / "stores")]
    command += ["--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / "runs" / "busy", ended.stdout


def forecasts(folder: Path) -> list[tuple[float, float, float, float]]:
    """Forecast, low, high and truth, in seconds, at moments of a study that has ended."""
    reader = LedgerReader(folder)
    records = [record for record in reader.trials() if record.duration_s]
    file = recorded_file(reader.meta, folder)
    study = file.study.model_copy(update={"trials": len(records)})
    file = file.model_copy(update={"study": study})
    free, ends = [0.0] * WORKERS, []
    for record in records:
        worker = free.index(min(free))
        started = free[worker]
        free[worker] += record.duration_s or 0.0
        ends.append((free[worker], started, record))
    ends.sort(key=lambda end: end[0])
    count = len(records) if file.variants else file.search.space_filling
    forecaster = Forecaster(file, first_proposals(file, count))
    found = []
    every = max(1, len(ends) // MOMENTS)
    for index, (now, _, record) in enumerate(ends):
        forecaster.take(record)
        left = forecaster.left(WORKERS, running_at(now, ends))
        if left is not None and index % every == 0 and index < len(ends) - WORKERS:
            found.append((left.seconds, left.low, left.high, max(free) - now))
    return found


def running_at(now: float, ends: list[tuple[float, float, TrialRecord]]) -> dict[int, float]:
    return {r.number: now - start for end, start, r in ends if start <= now < end}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", nargs="*", type=Path, default=[], metavar="FOLDER")
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, said = run(Path(scratch))
        studies = {folder: "the synthetic study, run now"} | {
            path: path.name for path in args.study
        }
        for path, name in studies.items():
            at = np.array(forecasts(path))
            inside = (at[:, 1] <= at[:, 3]) & (at[:, 3] <= at[:, 2])
            rows.append(
                {
                    "study": name,
                    "trials": len(LedgerReader(path).trials()),
                    "forecasts": len(at),
                    "truth in the interval": float(inside.mean()),
                    "median error": float(np.median(np.abs(at[:, 0] / at[:, 3] - 1))),
                    "median width": float(np.median((at[:, 2] - at[:, 1]) / at[:, 3])),
                }
            )
    ended = re.search(r"(\d+) trials in ([\d.]+) s, workers busy (\d+)%", said)
    assert ended, said
    trials, seconds, busy = ended.groups()
    rows[0] |= {"s": float(seconds), "trials an hour": 3600 * int(trials) / float(seconds)}
    rows[0] |= {"workers busy, %": int(busy)}
    command = "python benchmarks/bench_study.py" + (" --study runs/NAME ..." if args.study else "")
    publish("study", rows, command=command)


if __name__ == "__main__":
    main()
