"""Trials on Ray Tune: a class trainable whose actors are reused, on one machine or a cluster.

Ray keeps none of the study's state: its loggers are off, its experiment folder is deleted, and a
trial's result is in the ledger before the trial's actor takes another.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from study.backend import cluster  # first: it says to Ray how to start  # isort: skip
from ray import cloudpickle, tune
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.search import Searcher

from refinevad.data.store import DamagedStore
from study._private.ray import error_files, host_of, translate_actor_errors
from study.backend.base import Backend, TrialSource, default_workers, reason_of
from study.backend.interrupt import Interrupt
from study.backend.store_on_node import offer
from study.backend.watchdog import watching
from study.config.sections import ExecutionSection
from study.ledger.records import OUT_OF_MEMORY, WORKER_DIED
from study.trials.runner import TrialRunner
from study.trials.runs import LocalStore, Runs, StoreSource
from study.trials.spec import TrialOutcome, TrialSpec
from study.trials.time_limit import TimeLimit

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.config.study_file import StudyFile
    from study.ledger.writer import Ledger

SEGMENT = 500
"""Trials of one `Tuner.fit`. Tune keeps and saves every trial it has seen, so that its memory and
its time per trial grow. The study's state is in the ledger, so a new `fit` can start afresh."""
SEGMENT_PER_WORKER = 64
"""More trials per `fit` where there are many workers, which wait for the last trial of each."""
_RESIZE_SECONDS = 5.0
_P = ParamSpec("_P")
_T = TypeVar("_T")


class TrialTrainable(tune.Trainable):
    """One actor: runs trial after trial in the same process."""

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        self._runs: Runs = parameters["runs"]
        self._limit: tuple[float | None, int] = parameters["limit"]
        self._begin(config["spec"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config["spec"])
        return True

    def _begin(self, spec: TrialSpec) -> None:
        self.cleanup()
        self._clock = TimeLimit(*self._limit)
        self._clock.enforce()
        self._spec = spec
        self._runner: TrialRunner | None = None  # made in step(), where an error is a trial's

    def step(self) -> dict[str, Any]:
        if self._runner is None:
            self._runner = TrialRunner(self._runs, self._spec)
        self._runner.advance()
        self._clock.progressed()
        if not self._runner.done:
            return {"done": False, "epoch": self._runner.epoch, "best": self._runner.best}
        outcome = self._runner.outcome()
        self._runner = None
        self.cleanup()
        return {"done": True, "outcome": outcome}

    def cleanup(self) -> None:
        TimeLimit.lift()


class _StaysHere:
    """Excludes its state from the pickles that Tune makes for a restore, which is never used."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class _Segment:
    """The state that the parts of one `Tuner.fit` share: the source, its trials, the end."""

    def __init__(
        self, source: TrialSource, interrupt: Interrupt, resize: Callable[[], None]
    ) -> None:
        self.source = source
        self.numbers: dict[str, int] = {}
        """Tune's name of a trial -> its number."""
        self.error: Exception | None = None
        """An error of the source, such as a full disk. It ends the study."""
        self._interrupt = interrupt
        self._resize = resize
        self._length = max(SEGMENT, SEGMENT_PER_WORKER * source.in_flight)

    @property
    def over(self) -> bool:
        """Whether the running trials must stop now."""
        return self.error is not None or self._interrupt.requested

    def next_trial(self) -> TrialSpec | None:
        self._resize()
        return self.source.next_trial()

    @property
    def asked_all(self) -> bool:
        """Whether this segment starts no more trials."""
        return self.over or self.source.finished or len(self.numbers) >= self._length

    def call(self, method: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """Calls the source and keeps its error, which Tune would replace by one of its own."""
        if self.error is None:
            try:
                return method(*args, **kwargs)
            except Exception as error:
                self.error = error
        return None


class _OrderedSearcher(_StaysHere, Searcher):
    """Hands the source's trials to Tune."""

    def __init__(self, segment: _Segment) -> None:
        super().__init__()
        self._segment = segment

    def suggest(self, trial_id: str) -> Any:
        segment = self._segment
        spec = None if segment.asked_all else segment.call(segment.next_trial)
        if spec is None:
            return Searcher.FINISHED if segment.asked_all else None
        segment.numbers[trial_id] = spec.number
        return {"spec": spec}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        pass  # the callback has told the source already

    def save(self, checkpoint_path: str) -> None:
        pass  # the ledger is the state

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Reporter(_StaysHere, tune.Callback):
    """Reports the events of trials to the source."""

    def __init__(self, segment: _Segment, runs: Runs) -> None:
        self._segment = segment
        self._runs = runs

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        segment = self._segment
        segment.call(segment.source.started, segment.numbers[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        segment = self._segment
        outcome = result.pop("outcome", None)  # Tune would keep it for ever
        if isinstance(outcome, TrialOutcome):
            segment.call(segment.source.completed, outcome)
        elif "epoch" in result:
            number = segment.numbers[trial.trial_id]
            segment.call(segment.source.progressed, number, result["epoch"], result["best"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        segment, error = self._segment, _error_of(trial)
        if isinstance(error, RayTaskError) and isinstance(error.cause, DamagedStore):
            segment.error = segment.error or error.cause
        # Nor is a trial to blame whose worker was killed because a mapped file was cut short.
        segment.call(self._runs.check)
        reason, gpu_memory = _explain(error)
        segment.call(
            segment.source.lost,
            segment.numbers[trial.trial_id],
            reason,
            out_of_gpu_memory=gpu_memory,
            worker={"host": host_of(trial)},
        )


class _KilledForMemory(RayActorError):
    """Ray's memory monitor has ended the worker before the kernel would have."""


def _lost_worker(error: Exception) -> Exception:
    """Every way to lose a worker, as one that Tune knows.

    It knows two: the method raised, the actor died. Any other error, also that its worker was
    killed because the node ran out of memory, it takes for its own and ends the study.
    """
    if isinstance(error, OutOfMemoryError):
        return _KilledForMemory(error_msg=str(error))
    if isinstance(error, RayError) and not isinstance(error, RayTaskError):
        return RayActorError(error_msg=str(error))
    return error


translate_actor_errors(_lost_worker)


def _error_of(trial: Any) -> Exception | None:
    """The error that Tune has just written to our scratch folder."""
    pickled, text = error_files(trial)
    try:
        error = cloudpickle.loads(pickled.read_bytes()) if pickled else None
    except Exception:  # none, or one that only its own process could read
        error = None
    if isinstance(error, Exception):
        return error
    if text is None:
        return None
    lines = text.read_text(errors="replace").strip().splitlines()
    return RuntimeError(lines[-1]) if lines else None


def _explain(error: Exception | None) -> tuple[str, bool]:
    """The error of a lost attempt in one line, and whether a GPU ran out of memory."""
    if isinstance(error, RayTaskError):
        return reason_of(error.cause if isinstance(error.cause, BaseException) else error)
    if isinstance(error, _KilledForMemory | OutOfMemoryError):
        return OUT_OF_MEMORY, False
    if isinstance(error, RayActorError):
        return WORKER_DIED, False
    return (str(error).strip().splitlines() or ["unknown"])[-1][:300], False


class _StopWhenOver(_StaysHere, tune.Stopper):
    def __init__(self, segment: _Segment) -> None:
        self._segment = segment

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._segment.over


class RayBackend(Backend):
    """Runs trials on Ray Tune.

    Args:
        address: A Ray cluster to join; None: Ray is started on this machine.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    def require(self) -> None:
        if self._address is not None:
            cluster.require_listener(self._address)

    def workers(self, threads: int) -> int:
        return default_workers(threads)

    def start(self, *, workers: int, threads: int) -> None:
        cluster.start_ray(workers=workers, threads=threads, address=self._address)

    def stop(self) -> None:
        cluster.stop_ray()

    def has_gpu(self) -> bool:
        return cluster.has_gpu()

    def store_source(self, store: Store) -> StoreSource:
        return LocalStore.of(store) if self._address is None else offer(store)

    def gpu_share(
        self,
        file: StudyFile,
        ledger: Ledger,
        runs: Runs,
        *,
        workers: int | None,
        say: Callable[[str], None],
    ) -> float:
        from study.backend.gpu_sharing import gpu_share

        return gpu_share(file, ledger, runs, workers=workers, say=say)

    def room(self, *, threads: int, gpu: float) -> int:
        return cluster.room(threads=threads, gpu=gpu)

    def watched(
        self, interrupt: Interrupt, before_exit: Callable[[], None]
    ) -> AbstractContextManager[object]:
        return watching(interrupt, before_exit, owns_ray=self._address is None)

    def run(
        self,
        source: TrialSource,
        runs: Runs,
        interrupt: Interrupt,
        *,
        execution: ExecutionSection,
        gpu: float,
        follow: bool = False,
    ) -> None:
        looked = -_RESIZE_SECONDS

        def resize() -> None:
            nonlocal looked
            # What runs on this machine alone cannot grow.
            if follow and self._address and time.monotonic() - looked >= _RESIZE_SECONDS:
                looked = time.monotonic()
                source.resize(cluster.room(threads=execution.threads, gpu=gpu))

        def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
            share = 1.0 if config["spec"].whole_gpu else gpu
            bundle = {"CPU": float(execution.threads)} | ({"GPU": share} if gpu else {})
            return tune.PlacementGroupFactory([bundle])

        # Custom searchers are else held to one trial that waits for its resources; ours are held
        # to the source's in_flight.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000000"
        trainable = tune.with_parameters(
            TrialTrainable, runs=runs, limit=(execution.trial_timeout, execution.threads)
        )
        while not (source.finished or interrupt.requested):
            segment = _Segment(source, interrupt, resize)
            _fit(segment, tune.with_resources(trainable, resources), runs)
            gc.collect()  # a `fit` is one great cycle: before the next adds its own
            if segment.error is not None:
                raise segment.error
            if not (segment.numbers or segment.over):
                raise RuntimeError("Ray Tune stopped without having run a trial")


def _fit(segment: _Segment, trainable: Any, runs: Runs) -> None:
    numbers = segment.numbers
    with tempfile.TemporaryDirectory(prefix="refinevad-tune-") as scratch, _quiet_tune():
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_OrderedSearcher(segment),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=lambda trial: f"trial-{numbers.get(trial.trial_id, 0):04d}",
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=scratch,
                verbose=0,
                stop=_StopWhenOver(segment),
                callbacks=[_Reporter(segment, runs)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_frequency=0, checkpoint_at_end=False
                ),
            ),
        )
        tuner.fit()


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Silences Tune's reports of failed trials, which the ledger and the screen show already."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        sys.stdout.flush()
