"""One session of a study: from the open ledger to the summary, or to the user's Ctrl-C."""

from __future__ import annotations

import subprocess
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from refinevad.data import Store
from refinevad.errors import InputError, Stopped
from refinevad.files import CannotWrite, write_whole
from refinevad.training.judge import require_judgeable
from study.analysis.test_videos import TestVideos
from study.backend import BackendName, open_backend
from study.backend.base import Backend
from study.backend.interrupt import Interrupt
from study.config.study_file import StudyFile
from study.ledger.provenance import changed_versions, git_commit, versions
from study.ledger.records import StudyMeta, TrialRecord
from study.ledger.study import read_study
from study.ledger.table import trials_table
from study.ledger.writer import Ledger
from study.progress.forecast import Forecaster
from study.progress.live import open_screen
from study.progress.screen import Screen
from study.progress.tally import Tally
from study.search.proposal import first_proposals, longest
from study.session.advice import unreachable
from study.session.driver import Driver
from study.session.inherit import take_over
from study.session.prepared import prepared
from study.session.summary import print_summary
from study.session.test_videos import write_test_videos
from study.text import span
from study.tracking import TrackingUnavailable, redact, show_analysis
from study.tracking.process import start_publisher, wait_publisher
from study.trials.checkpoints import Checkpoints
from study.trials.runs import DetectorRuns, Runs

PATIENCE = 300.0
"""Seconds that the end of a study waits for MLflow to catch up."""
PATIENCE_AFTER_CTRL_C = 2.0


@dataclass(frozen=True)
class SessionOptions:
    """Folder, tracking and workers of a session. None of them changes a result."""

    folder: Path
    """Folder of the study, ``runs/<study>``."""
    tracking_uri: str | None
    """MLflow server or database; None: nothing is published."""
    workers: int | None = None
    """Trials at once; None: one per core."""
    address: str | None = None
    """Address of a Ray cluster; None: Ray is started on this machine."""
    backend: BackendName = "ray"
    """Name of the backend that runs the trials."""
    baselines: bool = True
    """Whether baselines are computed when the study ends."""
    in_notebook: bool = False
    """True in a notebook or another program, whose process Ctrl-C must not end."""


@dataclass(frozen=True)
class Outcome:
    """Result of a session: its records, whether it was interrupted, whether MLflow has all."""

    records: list[TrialRecord]
    interrupted: bool
    published: bool


def run_session(
    file: StudyFile, store: Store, options: SessionOptions, console: Console
) -> Outcome:
    """Begins, resumes or extends a study and runs its remaining trials.

    Raises:
        InputError: Another driver holds the study, its settings changed, there is no cluster at
            the address, the study requires a GPU and there is none, or no detector could be
            judged on these data.
        Stopped: The study's folder can no longer be written to.
    """
    backend = open_backend(options.backend, address=options.address, workers=options.workers)
    backend.require()
    file = prepared(
        file,
        store,
        options.folder,
        lambda text: _say(console, [f"note: {text}"], style="yellow"),
        workers=1 if options.backend == "serial" else options.workers,
    )
    require_judgeable(store, file.data, file.objective, file.split_seed)
    first_proposals(file, 1)  # where the constraints leave nothing, before anything is written
    try:
        with closing(Ledger(options.folder, study_meta(file, store))) as ledger:
            _say(console, [ledger.recovered, *changed_versions(ledger.meta)], style="yellow")
            take_over(file, ledger, options.folder.parent)
            write_whole(options.folder / "study.yaml", file.to_yaml().encode())
            return _Session(file, store, options, backend, console, ledger).run()
    except CannotWrite as error:
        raise Stopped(
            f"{error}. Finished trials are saved; fix this and run the same command to resume"
        ) from error


class _Session:
    def __init__(
        self,
        file: StudyFile,
        store: Store,
        options: SessionOptions,
        backend: Backend,
        console: Console,
        ledger: Ledger,
    ) -> None:
        self._file, self._store = file, store
        self._options, self._backend = options, backend
        self._console, self._ledger = console, ledger

    def run(self) -> Outcome:
        """Runs, prints the summary, and waits for MLflow."""
        driver, screen = self._driver()
        if driver.finished:
            text = f"{self._file.study.name}: all {self._file.study.trials} trials have run already"
            if not driver.complete:
                text = f"{self._file.study.name}: {self._budget_used(driver)}"
            _say(self._console, [text])
            publisher = self._publisher()
        else:
            self._note_few_steps()
            notes: list[str | None] = [f"note: {text}" for text in unreachable(self._file)]
            _say(self._console, notes, style="yellow")
            publisher = self._run_trials(driver, screen)
            if driver.finished and not driver.complete:
                _say(self._console, [self._budget_used(driver)], style="yellow")
        records = self._ledger.trials()
        table: str = trials_table(records).to_csv(index=False)
        write_whole(self._options.folder / "trials.csv", table.encode())
        self._ledger.seal()
        interrupted = not driver.finished
        on_test = None if interrupted else self._test_videos(records)
        print_summary(
            self._console,
            self._ledger.meta,
            records,
            on_test,
            file=self._file,
            folder=self._options.folder,
        )
        patience = PATIENCE if driver.finished else PATIENCE_AFTER_CTRL_C
        published = publisher is None or wait_publisher(publisher, 1.0)
        if publisher is not None and not published and publisher.poll() is None:
            _say(self._console, ["Waiting for MLflow to catch up …"], style="dim")
            published = wait_publisher(publisher, patience)
        if published and publisher is not None and on_test is not None:
            self._show(on_test)
        return Outcome(records, interrupted=interrupted, published=published)

    def _show(self, on_test: TestVideos) -> None:
        """Adds the baselines to the study's run in MLflow."""
        uri = self._options.tracking_uri
        if uri is None or not on_test.baselines:
            return
        try:
            show_analysis(read_study(self._options.folder), uri, on_test.numbers())
        except TrackingUnavailable as error:
            _say(self._console, [f"MLflow does not have the baselines: {error}"], style="yellow")

    def _test_videos(self, records: list[TrialRecord]) -> TestVideos | None:
        """What the models give on the test videos; Ctrl-C skips it, and an error is only said."""
        try:
            return write_test_videos(
                self._file,
                self._store,
                records,
                self._options.folder,
                with_baselines=self._options.baselines,
                say=lambda text: _say(self._console, [f"{text} …"], style="dim"),
            )
        except KeyboardInterrupt:
            _say(self._console, ["Interrupted: results on the test videos are left out"])
        except InputError as error:
            _say(self._console, [f"results on the test videos are left out: {error}"])
        return None

    def _budget_used(self, driver: Driver) -> str:
        study = self._file.study
        ended = sum(record.ended for record in driver.records)
        assert study.budget is not None
        return (
            f"the budget of {span(study.budget)} is used: {ended} of {study.trials} trials have "
            "run; a larger --budget, or --budget none, extends the study"
        )

    def _note_few_steps(self) -> None:
        """Says where even the longest trial has few gradient steps."""
        from refinevad.training.judge import training_videos
        from refinevad.training.monitor import few_steps

        file = self._file
        searched = {"batch_size", "batches"} & file.space.keys()
        if searched or file.train.batches == "mixed" or any(d.fitted for d in file.detectors()):
            return
        chosen = training_videos(self._store, file.data, file.objective, file.split_seed)[0]
        note = few_steps(self._store.train.labels[chosen], file.train.batch_size, longest(file))
        if note:
            _say(self._console, [f"note: {note}"], style="yellow")

    def _driver(self) -> tuple[Driver, Screen]:
        file, options = self._file, self._options
        objective = f"{file.objective.metric} on {file.objective.split}"
        workers = options.workers or self._backend.workers(file.execution.threads)
        ahead = file.study.trials if file.variants else file.search.evenly(file.study.trials).stop
        inherited = self._ledger.trials()[: file.search.inherited]
        first = [record.params for record in inherited]
        forecaster = Forecaster(file, first + first_proposals(file, ahead - len(first)))
        tally = Tally(
            trials=file.study.trials, workers=workers, metric=objective, forecaster=forecaster
        )
        uri = options.tracking_uri
        places = {"ledger": str(options.folder), "mlflow": redact(uri) if uri else "off"}
        screen = open_screen(tally, self._console, places)
        screen.restore(self._ledger.trials())
        checkpoints = Checkpoints(options.folder / "checkpoints", file.execution.keep_checkpoints)
        return Driver(file, self._ledger, checkpoints, screen, in_flight=workers), screen

    def _run_trials(self, driver: Driver, screen: Screen) -> subprocess.Popen[bytes] | None:
        tally, options, backend = screen.tally, self._options, self._backend
        execution = self._file.execution
        threads = execution.threads
        self._store.verify()
        interrupt = Interrupt(screen.note, exits=not options.in_notebook)
        if options.backend == "ray":
            where = f"joining {options.address}" if options.address else "starting Ray"
            _say(self._console, [f"{where} …"], style="dim")
        try:
            backend.start(workers=tally.workers, threads=threads)
            on_gpu = self._on_gpu()
            runs = self._runs(on_gpu)
            gpu = self._gpu_share(runs) if on_gpu else 0.0
            if options.workers is None:
                driver.in_flight = tally.workers = max(1, backend.room(threads=threads, gpu=gpu))
            publisher = self._publisher()
            self._say_begin(tally, "cuda" if on_gpu else "cpu")
            # Ray takes the signals when it starts, so that we come after it.
            with interrupt.installed(), screen, backend.watched(interrupt, screen.close):
                backend.run(
                    driver,
                    runs,
                    interrupt,
                    execution=execution,
                    gpu=gpu,
                    follow=options.workers is None,
                )
        finally:
            backend.stop()
            interrupt.stopped()
        if tally.ended > tally.resumed:
            seconds = time.monotonic() - tally.begun
            text = f"{tally.ended - tally.resumed} trials in {seconds:.1f} s"
            _say(self._console, [f"{text}, workers busy {tally.busy_percent():.0f}%"])
        return publisher

    def _on_gpu(self) -> bool:
        wanted = self._file.execution.device
        there = wanted != "cpu" and self._backend.has_gpu()
        if wanted == "cuda" and not there:
            raise InputError("execution.device: cuda, but there is no GPU here; use auto or cpu")
        return there

    def _gpu_share(self, runs: Runs) -> float:
        """Share of a GPU that one trial takes: fixed by the file, or measured (now or earlier)."""
        if self._file.execution.gpu != "auto":
            return self._file.execution.gpu
        return self._backend.gpu_share(
            self._file,
            self._ledger,
            runs,
            workers=self._options.workers,
            say=lambda text: _say(self._console, [text], style="dim"),
        )

    def _runs(self, on_gpu: bool) -> DetectorRuns:
        source = self._backend.store_source(self._store)
        runs = DetectorRuns(self._file, source, "cuda" if on_gpu else "cpu")
        runs.check()  # opened in this process too, which looks again when a trial is lost
        return runs

    def _publisher(self) -> subprocess.Popen[bytes] | None:
        uri = self._options.tracking_uri
        return start_publisher(self._options.folder, uri) if uri else None

    def _say_begin(self, tally: Tally, device: str) -> None:
        name, trials = self._file.study.name, self._file.study.trials
        if tally.ended:
            _say(self._console, [f"resuming {name}: {tally.ended} of {trials} trials are finished"])
        selected = ", selected on test" if self._file.objective.split == "test" else ""
        workers = f"{tally.workers} worker{'s' if tally.workers > 1 else ''}"
        _say(
            self._console,
            [f"{name}: {trials} trials, {workers} on {device}, objective {tally.metric}{selected}"],
        )
        groups = set(self._store.train.groups)
        if groups and self._file.objective.split == "val":
            _say(self._console, [f"held-out videos are whole groups, of {len(groups)}"])
        known = {r.worker.get("device", device) for r in self._ledger.trials() if r.objective}
        if others := sorted(known - {device}):
            text = f"Earlier trials ran on {', '.join(others)}; results on {device} will differ in "
            _say(self._console, [f"{text}the last bits"], style="yellow")


def study_meta(file: StudyFile, store: Store) -> StudyMeta:
    """The description of a study, made from its file, its data and this installation."""
    return StudyMeta(
        name=file.study.name,
        uid=uuid.uuid4().hex[:12],
        hash=file.hash(store.fingerprint),
        config=file.model_dump(mode="json"),
        determinants=file.determinants(),
        fingerprint=store.fingerprint,
        metric=file.objective.metric,
        split=file.objective.split,
        created=time.time(),
        git_commit=git_commit(),
        versions=versions(),
        trials=file.study.trials,
    )


def _say(console: Console, lines: list[str | None], style: str | None = None) -> None:
    for line in lines:
        if line:
            console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
