"""Tasks for detectors that no data set stands behind."""

from __future__ import annotations

from collections.abc import Mapping

from refinevad.models.base import Task


def task(widths: Mapping[str, int], categories: int) -> Task:
    """A task with so many nameless categories."""
    return Task(widths, tuple(f"category {index}" for index in range(categories)))
