"""The knobs of the linear detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import NonNegative


class LinearConfig(DetectorConfig):
    """Top-k logistic regression: one weight per feature."""

    name: Literal["linear"] = "linear"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "top_k": {"choice": [1, 3, 5]},
        "l2": {"log_uniform": [1e-6, 1e-1]},
    }
    top_k: Annotated[int, Field(ge=1)] | None = None
    """Segments a video is judged by in training. None: T // 16 + 1."""
    pool: Literal["scores", "logits"] = "scores"
    """What is averaged over a video's top k segments in training: their scores, or their logits.
    The mean logit of all segments (a `top_k` of T or more) is a logistic regression on the video's
    mean feature."""
    l2: NonNegative = 0.0
    """Weight of the squared Euclidean norm of the weights, beside `train.weight_decay`."""
