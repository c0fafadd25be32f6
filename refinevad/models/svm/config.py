"""The knobs of the linear SVM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Positive


class LinearSVMConfig(DetectorConfig):
    """A linear support vector machine between normal and abnormal videos, applied to segments."""

    name: Literal["svm"] = "svm"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "c": {"log_uniform": [1e-3, 1e3]},
    }
    fitted: ClassVar[bool] = True

    c: Positive = 1.0
    """Weight of the hinge against the squared norm."""
    level: Literal["video", "segment"] = "video"
    """What is told apart: mean features of videos, or segments with their video's label."""
    segments: Annotated[int, Field(ge=2)] = 20_000
    """With `level: segment`: segments that are fitted, drawn at random."""
