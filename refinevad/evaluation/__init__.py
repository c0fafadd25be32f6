"""Scores of whole data sets, and their metrics."""

from __future__ import annotations

from refinevad.evaluation.metrics import frame_metrics, video_metrics
from refinevad.evaluation.scores import score_test, score_video
from refinevad.evaluation.splits import floor_metrics, test_metrics

__all__ = [
    "floor_metrics",
    "frame_metrics",
    "score_test",
    "score_video",
    "test_metrics",
    "video_metrics",
]
