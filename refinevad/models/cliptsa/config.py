"""The knobs of CLIP-TSA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.section import Positive, Width
from refinevad.models.rtfm.config import MagnitudeConfig


class CLIPTSAConfig(MagnitudeConfig):
    """Joo et al., ICIP 2023 (arXiv 2212.05136): RTFM on segments that a top-k lets through."""

    name: Literal["cliptsa"] = "cliptsa"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **MagnitudeConfig.space,
        "rho": {"uniform": [0.5, 1.0]},
        "noise": {"log_uniform": [0.01, 0.2]},
    }
    rho: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Share of a video's segments that are let through; the authors have 0.95 on UCF-Crime, 0.9 on
    XD-Violence."""
    noise: Positive = 0.05
    """Standard deviation of the perturbations that make the choice differentiable."""
    draws: Annotated[int, Field(ge=1)] = 100
    """Perturbations of a step."""
    scorer: Width = 256
    """Width of the hidden layer of the scorer that chooses."""
