"""A hyperparameter study platform around video anomaly detectors: Optuna proposes, Ray Tune runs,
MLflow shows.

Commands (``run``, ``report``, ``verify``, …) lie loose in the package: ``python -m study.run``, or
``refinevad-study run``. The names below are the Python API (``study.api``); everything else may
change.

Nothing here imports Ray, Optuna, MLflow or torch, so that every command answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.api import (
        StudyFile,
        StudyResults,
        TrialRecord,
        load_study_file,
        open_study,
        run_study,
    )

__all__ = [
    "StudyFile",
    "StudyResults",
    "TrialRecord",
    "load_study_file",
    "open_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from study import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
