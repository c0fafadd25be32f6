"""GPU sharing: measures how many trials run on one GPU at once (``execution.gpu: auto``).

A trial's model is small: alone it leaves most of a GPU idle, and too many trials only wait for each
other. The best number depends on the model, the data, the GPU and the CPU cores beside it. So one,
two, four, … trials with the study's largest configuration are trained at once on one GPU, for some
seconds each. The number decides how long a study takes, never its results: trials do not affect
each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from study.backend.base import doubling
from study.backend.cluster import kinds_of_gpu, room_on_a_gpu
from study.config.study_file import StudyFile
from study.ledger.writer import Ledger
from study.progress.forecast import Forecaster
from study.search.proposal import first_proposals
from study.trials.runs import Run, Runs
from study.trials.spec import TrialSpec

DEFAULT_SHARE = 0.25
"""Share of a GPU per trial where sharing is not measured."""
MIN_TRIALS = 50
"""Smallest number of remaining trials that is worth the minute of a measurement."""
MAX_TRIALS_PER_GPU = 16
"""Largest number of trials on one GPU."""
_CANDIDATES = 64
"""Number of the study's first trials, the largest of which is measured."""
_SECONDS = 3.0
"""Shortest measurement of one number of trials, in seconds; two epochs if they take longer."""
_LONGEST = 60.0
_PATIENCE = 180.0
"""Time limit of a worker's start and first epoch, in seconds."""
_FULL = 0.9
"""Share of a GPU's memory that trials may fill."""
_NO_GAIN = 1.05
"""Smallest factor of throughput for which more trials at once are worth it."""


@dataclass(frozen=True)
class GpuSharing:
    """A measurement of trials that share one GPU."""

    gpu: str
    """Name of the GPU."""
    trials: int
    """Trials at once with the highest throughput, or nearly the highest."""
    rates: dict[int, float]
    """Trials at once -> epochs per second of all of them together."""
    megabytes: dict[int, float]
    """Trials at once -> GPU memory in use, in MB."""
    of_megabytes: float
    """Total memory of the GPU, in MB."""

    @property
    def share(self) -> float:
        """Share of a GPU for each trial."""
        return 1.0 / self.trials

    def __str__(self) -> str:
        rates = ", ".join(f"{n}: {rate:.2f}" for n, rate in self.rates.items())
        return (
            f"Running {self.trials} trial{'s' if self.trials > 1 else ''} per GPU ({self.gpu}); "
            f"measured epochs/s by trials per GPU: {rates}; "
            f"memory {self.megabytes[self.trials]:.0f} of {self.of_megabytes:.0f} MB"
        )


class _Trainer:
    """Trains one configuration over and over."""

    def __init__(self, runs: Runs, spec: TrialSpec) -> None:
        self._runs, self._spec = runs, spec
        self._run: Run | None = None

    def prepare(self) -> float:
        """Seconds of an epoch, after one that warms up."""
        self._epoch()
        started = time.monotonic()
        self._epoch()
        return time.monotonic() - started

    def rate(self, seconds: float) -> float:
        """Epochs per second of the next so many; of the one that lasts longer, its part."""
        epochs, now = 0.0, time.monotonic()
        end = now + seconds
        while now < end:
            began = now
            self._epoch()
            now = time.monotonic()
            epochs += min(1.0, (end - began) / (now - began))
        return epochs / seconds

    def gpu(self) -> tuple[str, float, float]:
        """Name, MB in use by all, MB in all."""
        import torch

        if not torch.cuda.is_available():
            return "none that torch sees", 0.0, 0.0
        free, total = torch.cuda.mem_get_info()
        return torch.cuda.get_device_name(), (total - free) / 1e6, total / 1e6

    def _epoch(self) -> None:
        if self._run is None or self._run.done:
            self._run = self._runs(self._spec)
        self._run.run_epoch()


def gpu_share(
    file: StudyFile,
    ledger: Ledger,
    runs: Runs,
    *,
    workers: int | None,
    say: Callable[[str], None],
) -> float:
    """Share of a GPU that one trial of a study takes.

    A measurement is written to the ledger and is reused while the GPUs are of the same kind.

    Args:
        file: The study file.
        ledger: Its ledger.
        runs: Starts its trials' runs.
        workers: Trials at once that the user wants; None: any number.
        say: Called with messages for the user.
    """
    kinds, threads = kinds_of_gpu(), file.execution.threads
    most = room_on_a_gpu(threads=threads, workers=workers)
    asked = {"gpus": kinds, "threads": threads, "most": most}
    earlier = ledger.gpu_sharing
    if earlier is not None and asked.items() <= earlier.items():
        say(f"Running {earlier['trials']} trials per GPU, as measured by an earlier session")
        return 1.0 / float(earlier["trials"])
    if most <= 1:
        return 1.0
    share = max(DEFAULT_SHARE, 1.0 / most)
    usual = f"Using {share:g} GPU per trial"
    left = file.study.trials - sum(record.ended for record in ledger.trials())
    if left < MIN_TRIALS:
        say(f"{usual}; {left} trials are too few to benchmark GPU sharing")
        return share
    say("Measuring how many trials can share a GPU (takes a minute or two) …")
    largest = max(first_proposals(file, _CANDIDATES), key=Forecaster(file, []).size)
    try:
        found = measure_gpu_sharing(runs, TrialSpec(0, largest, seed=0), threads=threads, most=most)
    except RayError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        say(f"{usual}; GPU sharing could not be measured ({reason})")
        return share
    ledger.gpu_sharing = asdict(found) | asked | {"params": largest}
    say(str(found))
    return found.share


def measure_gpu_sharing(runs: Runs, spec: TrialSpec, *, threads: int, most: int) -> GpuSharing:
    """Trains ``spec`` on one GPU of the cluster, in a growing number of workers at once.

    Args:
        runs: Starts the trial's run on a worker.
        spec: The configuration, the largest of the study best.
        threads: CPU threads of a trial.
        most: Trials on one GPU that its node has cores for.

    Raises:
        RayError: The workers could not be started, or one trial alone cannot be trained.
    """
    most = max(1, min(most, MAX_TRIALS_PER_GPU))
    group = placement_group([{"CPU": float(threads * most), "GPU": 1.0}])  # one GPU for all
    actor: Any = ray.remote(_Trainer)
    actor = actor.options(
        num_cpus=threads,
        num_gpus=1.0 / most,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group),
    )
    trainers: list[Any] = []
    rates: dict[int, float] = {}
    used: dict[int, float] = {}
    gpu, total = "", 0.0
    try:
        ray.get(group.ready(), timeout=_PATIENCE)
        for count in doubling(most):
            if total and used[1] * count > _FULL * total:
                break
            new = [actor.remote(runs, spec) for _ in range(count - len(trainers))]
            trainers += new
            try:
                alone = max(_answers(trainer.prepare.remote() for trainer in new))
                seconds = min(_LONGEST, max(_SECONDS, 2 * count * alone))
                rate = sum(_answers(trainer.rate.remote(seconds) for trainer in trainers))
                [(gpu, used[count], total)] = _answers([trainers[0].gpu.remote()])
            except RayError:
                if not rates:
                    raise
                break  # too many: a full memory, most likely
            rates[count] = rate
            if rate < _NO_GAIN * max([*rates.values()][:-1], default=0.0):
                break
    finally:
        for trainer in trainers:
            ray.kill(trainer)
        remove_placement_group(group)
    enough = max(rates.values()) / _NO_GAIN
    trials = next(count for count, rate in rates.items() if rate >= enough)
    return GpuSharing(gpu, trials, rates, {count: used[count] for count in rates}, total)


def _answers(promises: Iterable[Any]) -> list[Any]:
    answers: list[Any] = ray.get(list(promises), timeout=_PATIENCE)
    return answers
