"""The knobs of BN-WVAD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, Fraction, NonNegative


class BNWVADConfig(DetectorConfig):
    """Zhou et al., TCSVT 2024 (arXiv 2311.15367): distance from the running mean of a BatchNorm."""

    name: Literal["bnwvad"] = "bnwvad"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ratio_video": {"uniform": [0.05, 0.5]},
        "ratio_batch": {"uniform": [0.1, 0.6]},
        "w1": {"log_uniform": [0.5, 20.0]},
        "w2": {"log_uniform": [2.0, 50.0]},
        "bn_momentum": {"choice": [0.01, 0.1]},
    }
    dropout: Dropout = 0.0
    """In the encoder."""
    ratio_video: Fraction = 0.2
    """Share of the segments of an abnormal video that count as abnormal by their distance."""
    ratio_batch: Fraction = 0.4
    """Likewise of all segments of the batch's abnormal videos."""
    w1: NonNegative = 5.0
    """Weight of the distances at the first BatchNorm."""
    w2: NonNegative = 20.0
    """Weight of those at the second."""
    bn_momentum: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """How fast the running statistics follow a batch's."""
