"""Threads per trial against trials at once: which gives more trials an hour on this machine?

``python benchmarks/bench_parallel.py [--size small|xd]``: so many processes train the same trial
at once for some seconds, each with so many threads; all cores are used in every row but the first.
On a GPU one, two, four, … processes share it, which is what ``execution.gpu: auto`` decides by.
Needs torch alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from bench_trial import SIZES, config_of
from common import publish
from made_data import make_store

from refinevad.config.training import Runtime
from refinevad.data.store import open_store
from refinevad.training.run import TrainingRun

MOST_ON_A_GPU = 16


def trainer(path: Path, size: str, threads: int, seconds: float, start: Any, said: Any) -> None:
    """One process: epochs per second, and its share of the GPU's memory."""
    store, config = open_store(path), config_of(SIZES[size])
    runtime = Runtime(threads=threads)

    def begin() -> TrainingRun:
        return TrainingRun(store, config, seed=0, split_seed=0, runtime=runtime)

    run = begin()
    run.run_epoch()
    start.wait()
    epochs, now = 0.0, time.perf_counter()
    end = now + seconds
    while now < end:
        if run.done:
            run = begin()
        began = now
        run.run_epoch()
        now = time.perf_counter()
        epochs += min(1.0, (end - began) / (now - began))  # of the last one, its part
    megabytes = 0.0
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        megabytes = (total - free) / 1e6
    said.put((epochs / seconds, megabytes))


def together(
    path: Path, size: str, count: int, threads: int, seconds: float
) -> tuple[float, float]:
    """Epochs per second of ``count`` processes in all, and the GPU's memory in use in MB."""
    context = get_context("spawn")
    start, said = context.Barrier(count), context.SimpleQueue()
    processes = [
        context.Process(target=trainer, args=(path, size, threads, seconds, start, said))
        for _ in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    answers = [said.get() for _ in processes]
    return sum(rate for rate, _ in answers), max(megabytes for _, megabytes in answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default=None)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    name = args.size or ("xd" if on_gpu else "small")
    size, cores = SIZES[name], len(os.sched_getaffinity(0))
    if on_gpu:
        plans = [(count, 1) for count in (1, 2, 4, 8, 16) if count <= min(cores, MOST_ON_A_GPU)]
    else:
        divisors = [count for count in range(1, cores + 1) if cores % count == 0]
        plans = [(1, 1), *((count, cores // count) for count in divisors)]
    rates: dict[tuple[int, int], list[float]] = {plan: [] for plan in plans}
    memory: dict[tuple[int, int], float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        store = make_store(Path(scratch), width=size.features, train=size.train, test=size.test)
        for _ in range(args.rounds):
            for plan in rates:
                rate, memory[plan] = together(store.path, name, *plan, args.seconds)
                rates[plan].append(rate)
    rows: list[dict[str, object]] = []
    for (count, threads), values in rates.items():
        rate = sorted(values)[len(values) // 2]
        row: dict[str, object] = {
            "trials at once": count,
            "threads each": threads,
            "epochs a second in all": rate,
            "lowest": min(values),
            "highest": max(values),
            f"trials of {size.epochs} epochs an hour": 3600 * rate / size.epochs,
        }
        if on_gpu:
            row["GPU memory, MB"] = memory[count, threads]
        rows.append(row)
    command = f"python benchmarks/bench_parallel.py --size {name} --seconds {args.seconds:g}"
    publish(f"parallel_{'cuda' if on_gpu else 'cpu'}_{name}", rows, command=command)


if __name__ == "__main__":
    main()
