"""The knobs of UR-DMU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, NonNegative, Positive


class URDMUConfig(DetectorConfig):
    """Zhou et al., AAAI 2023 (arXiv 2302.05160): memories of normality and of anomaly."""

    name: Literal["urdmu"] = "urdmu"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dropout": {"uniform": [0.1, 0.7]},
        "memory": {"choice": [20, 60, 120]},
        "w_memory": {"log_uniform": [0.01, 1.0]},
        "w_triplet": {"log_uniform": [0.01, 1.0]},
        "w_kl": {"log_uniform": [1e-4, 1e-2]},
        "w_dist": {"log_uniform": [1e-5, 1e-3]},
    }
    dropout: Dropout = 0.5
    """In the encoder: after the attention and twice in the network."""
    memory: Annotated[int, Field(ge=4)] = 60
    """Rows of either memory."""
    w_memory: NonNegative = 0.1
    """Weight of the losses that make each memory answer its kind of video."""
    w_triplet: NonNegative = 0.1
    """Weight of the triplet of normal, likewise normal and abnormal segments."""
    w_kl: NonNegative = 1e-3
    """Weight of the divergence of normal read-outs from a standard normal distribution."""
    w_dist: NonNegative = 1e-4
    """Weight of the hinge between the lengths of abnormal and normal read-outs."""
    margin: Positive = 100.0
    """Margin of that hinge."""
    kl_axis: Literal["features", "time"] = "features"
    """Sum of the divergence over features and mean over time, or the other way round, as the public
    code has it."""
    distance_norm: Literal["rows", "columns"] = "rows"
    """What sums to 1 in the nearness of segments; the public code divides by sums of columns."""
