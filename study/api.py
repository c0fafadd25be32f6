"""The Python API: run a study in this process, open one that has run.

These names are handed on by ``study`` itself, and are kept for two minor versions at least
(docs/stability.md)::

    import study

    results = study.run_study("search_spaces/demo.yaml", ["study.name=first", "trials=8"])
    results.trials                    # a DataFrame, one row per trial
    results.best.params
    results.importances()             # a DataFrame with intervals
    results.plot_history()            # a matplotlib Figure

    study.open_study("runs/demo").curves
"""

from __future__ import annotations

import copy
import io
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import pandas as pd
import yaml
from rich.console import Console

from refinevad.config.document import Document
from refinevad.data import prepare
from refinevad.errors import InputError
from refinevad.run_config import Config
from refinevad.training.runtime import process_settings_kept
from study.analysis.pareto import pareto_front
from study.backend import BackendName
from study.config.load import load_study, study_of
from study.config.study_file import StudyFile
from study.ledger.records import TrialRecord, best, digest
from study.ledger.study import StudyView, read_study
from study.ledger.table import trials_table
from study.progress.output import Output
from study.session.session import SessionOptions, run_session
from study.trials.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from study.analysis.importance import Importance

__all__ = ["StudyFile", "StudyResults", "TrialRecord", "load_study_file", "open_study", "run_study"]


def load_study_file(path: str | Path, overrides: Iterable[str] = ()) -> StudyFile:
    """Reads and checks a study file.

    Args:
        path: The file.
        overrides: ``KEY=VALUE``, as ``--set`` of the commands.

    Raises:
        InputError: What is wrong, at which line, what is allowed.
    """
    return load_study(Path(path), overrides)


@dataclass(frozen=True)
class StudyResults:
    """A study as its ledger tells it at one moment."""

    view: StudyView

    def __repr__(self) -> str:
        """Name, trials, best trial and digest: not the whole ledger, in a notebook's cell."""
        winner = self.best
        best_one = "none" if winner is None else f"{winner.objective:.4f} in trial {winner.number}"
        return (
            f"StudyResults({self.name!r}, {len(self.view.ended)} of {self.view.meta.trials} trials "
            f"ended, best {best_one}, digest {self.digest[:12]}…)"
        )

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.view.name

    @property
    def folder(self) -> Path:
        """``runs/<study>``."""
        return self.view.folder

    @property
    def file(self) -> StudyFile:
        """The study file, as the ledger keeps it."""
        return self.view.file

    @property
    def digest(self) -> str:
        """sha256 over number, parameters, state and objective of every ended trial."""
        return digest(self.view.records)

    @property
    def trials(self) -> pd.DataFrame:
        """One row per ended trial: state, objective, parameters, metrics; times in Unix seconds,
        duration in seconds, host and device."""
        table = trials_table(self.view.records)
        ended = self.view.ended
        table["started"] = [record.started for record in ended]
        table["finished"] = [record.finished for record in ended]
        table["duration_s"] = [record.duration_s for record in ended]
        table["attempts"] = [record.attempts + 1 for record in ended]
        table["host"] = [record.worker.get("host") for record in ended]
        table["device"] = [record.worker.get("device") for record in ended]
        return table

    @property
    def curves(self) -> pd.DataFrame:
        """One row per trial and epoch: ``trial``, ``epoch``, ``objective`` and the metrics."""
        rows = [{"trial": r.number} | row for r in self.view.ended for row in r.curve]
        table = pd.DataFrame(rows, columns=None if rows else ["trial", "epoch", "objective"])
        return table.astype({"epoch": "int64"})

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the highest objective; None: no trial has a result."""
        return best(self.view.records)

    @property
    def pareto_front(self) -> list[TrialRecord]:
        """Trials that no other one beats in both objective and cost, the cheapest first; empty
        where the objective has no cost."""
        return pareto_front(self.view.records)

    @property
    def best_config(self) -> Config:
        """The configuration of the best trial, for ``refinevad.train_detector``.

        Raises:
            InputError: No trial has a result.
        """
        return self.view.file.trial_config(self._winner().params)

    @property
    def best_checkpoint(self) -> Path:
        """The checkpoint of the best trial, for ``refinevad.load_checkpoint``.

        Raises:
            InputError: No trial has a result, or the study kept no checkpoint of it.
        """
        path = checkpoint_path(self.folder / "checkpoints", self._winner().number)
        if not path.exists():
            raise InputError(f"{path}: not kept (execution.keep_checkpoints)")
        return path

    def importances(self, *, bootstraps: int = 200) -> pd.DataFrame:
        """One row per hyperparameter, the most important first, with 95% intervals.

        Raises:
            Unanswerable: The trials cannot tell.
        """
        from study.analysis.study_importance import importance_table, paper_of

        return importance_table(self._importance(bootstraps), paper_of(self.view))

    def plot_importances(self, *, bootstraps: int = 200) -> Figure:
        """The same as a picture."""
        from study.analysis.study_importance import paper_of
        from study.plots.importance import importances

        return importances(self._importance(bootstraps), paper_of(self.view))

    def plot_history(self) -> Figure:
        """Objectives in the order of the trials, with the best so far."""
        from study.plots.trials import history

        evenly = range(0) if self.file.variants else self.file.search.sobol
        return history(self.view.records, evenly, self.view.objective)

    def plot_curves(self, *, count: int = 10) -> Figure:
        """Objectives of the best ``count`` trials, epoch by epoch."""
        from study.plots.trials import learning_curves

        return learning_curves(self.view.records, self.view.objective, count=count)

    def _importance(self, bootstraps: int) -> Importance:
        from study.analysis.study_importance import importance_of

        if self.file.variants:
            raise InputError(f"{self.name} compares variants and searches nothing")
        return importance_of(self.view, bootstraps=bootstraps)

    def _winner(self) -> TrialRecord:
        winner = self.best
        if winner is None:
            raise InputError(f"{self.name}: no trial has a result yet")
        return winner


def open_study(folder: str | Path) -> StudyResults:
    """Opens a study, also while it runs. Reads only.

    Args:
        folder: ``runs/<study>``.

    Raises:
        InputError: There is no study in the folder, or its ledger cannot be read.
    """
    folder = Path(folder)
    if not folder.exists() and folder == Path(folder.name) and (Path("runs") / folder).is_dir():
        raise InputError(f"{folder}: no such folder; give the folder: open_study('runs/{folder}')")
    return StudyResults(read_study(folder))


def run_study(
    file: StudyFile | Mapping[str, Any] | str | Path,
    overrides: Iterable[str] = (),
    *,
    runs: str | Path = "runs",
    stores: str | Path = "stores",
    backend: BackendName = "serial",
    workers: int | None = None,
    tracking_uri: str | None = None,
    quiet: bool = False,
) -> StudyResults:
    """Runs, resumes or extends a study, as ``study.run`` does.

    The ledger, the digest and every result are those of the command. An interrupt (Ctrl-C, or a
    notebook's stop) ends the running trial; the same call resumes.

    Args:
        file: A study file: its path, its content, or as :func:`load_study_file` read it.
        overrides: ``KEY=VALUE``, as ``--set`` of the command.
        runs: Folder of all studies.
        stores: Folder of packed data.
        backend: ``serial``: trials one after another in this process; ``ray``: on Ray workers.
        workers: Trials at once; None: as many as there are cores.
        tracking_uri: MLflow database or server that shows the study; None: none.
        quiet: Prints nothing.

    Raises:
        InputError: The file or the data are wrong, or the study was begun with other settings.
        Stopped: The first trials all failed, or the study's folder cannot be written to.
    """
    study_file = _study_file(file, overrides)
    store = prepare(study_file.data, Path(stores), progress=not quiet)
    study_file.check_against(store.widths, Path(runs) / study_file.study.name)
    folder = Path(runs) / study_file.study.name
    shown = io.StringIO() if quiet else cast(TextIO, Output(sys.stdout))
    console = Console(file=shown, force_terminal=False)
    options = SessionOptions(folder, tracking_uri, workers, backend=backend, in_notebook=True)
    with process_settings_kept():
        run_session(study_file, store, options, console)
    return open_study(folder)


def _study_file(
    file: StudyFile | Mapping[str, Any] | str | Path, overrides: Iterable[str]
) -> StudyFile:
    if isinstance(file, str | Path):
        return load_study(Path(file), overrides)
    if isinstance(file, StudyFile):
        if not (given := list(overrides)):
            return file
        return study_of(Document("the study file", yaml.safe_load(file.to_yaml())), given)
    return study_of(Document("the study file", copy.deepcopy(dict(file))), overrides)
