"""RefineVAD (arXiv 2511.13204) and other weakly-supervised video anomaly detectors, as a library.

Commands (``prepare``, ``train``, ``evaluate``, ``score``) lie loose in the package: ``python -m
refinevad.train``, or ``refinevad train``. The names below are the Python API (``refinevad.api``);
everything else may change.

Nothing here imports torch: the command lines answer ``--help`` and a mistake in a file at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refinevad.api import (
        Config,
        TrainedDetector,
        VideoScore,
        evaluate_detector,
        load_checkpoint,
        load_config,
        prepare_data,
        score_video,
        train_detector,
    )

__version__ = "0.5.0"
"""The one place of the version."""

__all__ = [
    "Config",
    "TrainedDetector",
    "VideoScore",
    "__version__",
    "evaluate_detector",
    "load_checkpoint",
    "load_config",
    "prepare_data",
    "score_video",
    "train_detector",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from refinevad import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
