"""Trials on Ray Tune: a class trainable whose actors are reused, on one machine or a cluster.

Ray keeps no state of ours: its loggers are off, its experiment folder is thrown away, and what a
trial found goes into the ledger before the trial's actor may take another.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

# Read by Ray when it is imported or started.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "60")

import ray
from ray import cloudpickle, tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.search import Searcher

import refinevad
import study
from refinevad.errors import InputError
from study.driver import Driver
from study.trial import Runs, TrialOutcome, TrialRunner, TrialSpec

_OBJECT_STORE_BYTES = 512 * 1024**2


class TrialTrainable(tune.Trainable):
    """One actor: runs trial after trial in the same process."""

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        self._runs: Runs = parameters["runs"]
        self._timeout: float | None = parameters["timeout"]
        self._begin(config["spec"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config["spec"])
        return True

    def _begin(self, spec: TrialSpec) -> None:
        self.cleanup()
        if self._timeout is not None:
            # Ends the process from a thread of C, which a hang in native code cannot hold up.
            faulthandler.dump_traceback_later(self._timeout, exit=True)
        self._spec = spec
        self._runner: TrialRunner | None = None  # made in step(), where an error is a trial's

    def step(self) -> dict[str, Any]:
        if self._runner is None:
            self._runner = TrialRunner(self._runs, self._spec)
        self._runner.advance()
        if not self._runner.done:
            return {"done": False, "epoch": self._runner.epoch, "best": self._runner.best}
        outcome = self._runner.outcome()
        self._runner = None
        self.cleanup()
        return {"done": True, "outcome": outcome}

    def cleanup(self) -> None:
        faulthandler.cancel_dump_traceback_later()


class _StaysHere:
    """Tune pickles its arguments for a restore that we never ask for: nothing of ours goes in."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class _OrderedSearcher(_StaysHere, Searcher):
    """Hands the driver's trials to Tune."""

    def __init__(self, driver: Driver, numbers: dict[str, int]) -> None:
        super().__init__()
        self._driver = driver
        self._numbers = numbers

    def suggest(self, trial_id: str) -> Any:
        spec = self._driver.next_trial()
        if spec is None:
            return Searcher.FINISHED if self._driver.finished else None
        self._numbers[trial_id] = spec.number
        return {"spec": spec}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        pass  # the callback has told the driver already

    def save(self, checkpoint_path: str) -> None:
        pass  # the ledger is the state

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Reporter(_StaysHere, tune.Callback):
    """Tells the driver what happens to its trials."""

    def __init__(self, driver: Driver, numbers: dict[str, int]) -> None:
        self._driver = driver
        self._numbers = numbers

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._driver.started(self._numbers[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        outcome = result.pop("outcome", None)  # Tune would keep it for ever
        if isinstance(outcome, TrialOutcome):
            self._driver.completed(outcome)
        elif "epoch" in result:
            number = self._numbers[trial.trial_id]
            self._driver.progressed(number, result["epoch"], result["best"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        reason, gpu_memory = _explain(_error_of(trial))
        self._driver.lost(
            self._numbers[trial.trial_id],
            reason,
            out_of_gpu_memory=gpu_memory,
            worker={"host": str(trial.get_ray_actor_ip() or "")},
        )


def _error_of(trial: Any) -> Exception | None:
    """What Tune has just written down in our scratch folder (``trial.get_pickled_error`` looks
    where it is copied to later)."""
    try:
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except Exception:  # none, or one that only its own process could read
        error = None
    if isinstance(error, Exception):
        return error
    if trial.error_file is None:
        return None
    lines = Path(trial.error_file).read_text(errors="replace").strip().splitlines()
    return RuntimeError(lines[-1]) if lines else None


def _explain(error: Exception | None) -> tuple[str, bool]:
    """A lost attempt in one line, and whether a GPU's memory was too small."""
    if isinstance(error, RayTaskError):
        cause = error.cause if isinstance(error.cause, BaseException) else error
        text = str(cause).strip().splitlines()
        line = f"{type(cause).__name__}: {text[-1] if text else ''}".strip()
        return line[:300], "OutOfMemoryError" in type(cause).__name__
    if isinstance(error, RayActorError):
        memory = "memory" in str(error).lower()
        return "its worker process or node died" + (" (out of memory)" if memory else ""), False
    return (str(error).strip().splitlines() or ["unknown"])[-1][:300], False


class Interrupt:
    """Ctrl-C: the first stops the study cleanly, the second at once."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.requested = False
        self._notice = notice

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(130)  # the ledger is durable at every moment
        self.requested = True
        self._notice("stopping … (Ctrl-C again: at once)")

    @contextmanager
    def installed(self) -> Iterator[Interrupt]:
        """Handles SIGINT and SIGTERM while the block runs."""
        before = {s: signal.signal(s, self) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _StopOnInterrupt(_StaysHere, tune.Stopper):
    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._interrupt.requested


def start_ray(*, workers: int, threads: int, address: str | None) -> None:
    """Starts Ray on this machine, or joins a cluster.

    Raises:
        InputError: There is no cluster at the address.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init(
            address="local",  # also where RAY_ADDRESS is set or a cluster runs
            num_cpus=workers * threads,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    require_listener(address)
    packages = [str(Path(package.__file__ or "").parent) for package in (refinevad, study)]
    try:
        ray.init(address=address, runtime_env={"py_modules": packages}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, str(error).strip().splitlines()[0]) from None


def require_listener(address: str) -> None:
    """Raises InputError where nobody listens; Ray itself tries for minutes before it says so."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from None


def _no_cluster(address: str, reason: str) -> InputError:
    return InputError(
        f"--address {address}: no Ray cluster there ({reason}); start one with "
        "`ray start --head`, or leave the flag out to use this machine"
    )


def cluster_size() -> tuple[float, float]:
    """CPUs and GPUs of the machine or cluster that Ray runs on."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0)


def stop_ray() -> None:
    """Leaves the cluster, or stops the one that ``start_ray`` started."""
    ray.shutdown()


def run_trials(driver: Driver, runs: Runs, interrupt: Interrupt, *, on_gpu: bool) -> None:
    """Runs the driver's trials until it has finished or ``interrupt`` is requested.

    ``start_ray`` comes first.
    """
    execution = driver.file.execution
    gpu = execution.gpu if on_gpu else 0.0

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        alone = gpu > 0 and config["spec"].alone
        bundle = {"CPU": float(execution.threads)} | ({"GPU": 1.0 if alone else gpu} if gpu else {})
        return tune.PlacementGroupFactory([bundle])

    # Custom searchers are else held to one trial that waits for its resources.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(driver.in_flight)
    numbers: dict[str, int] = {}
    trainable = tune.with_parameters(TrialTrainable, runs=runs, timeout=execution.trial_timeout)
    with tempfile.TemporaryDirectory(prefix="refinevad-tune-") as scratch, _quiet_tune():
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=_OrderedSearcher(driver, numbers),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=lambda trial: f"trial-{numbers.get(trial.trial_id, 0):04d}",
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=scratch,
                verbose=0,
                stop=_StopOnInterrupt(interrupt),
                callbacks=[_Reporter(driver, numbers)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_frequency=0, checkpoint_at_end=False
                ),
            ),
        )
        tuner.fit()


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Tune reports failed trials in its own words; ours are in the ledger and on the screen."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        sys.stdout.flush()
