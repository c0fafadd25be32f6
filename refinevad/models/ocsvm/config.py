"""The knobs of the one-class SVM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Positive


class OneClassSVMConfig(DetectorConfig):
    """Schölkopf et al., Neural Computation 13 (2001): a region around normal segments."""

    name: Literal["ocsvm"] = "ocsvm"
    """Which detector this section describes."""
    knows: ClassVar[str] = "normal videos"
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nu": {"log_uniform": [0.01, 0.5]},
        "components": {"choice": [32, 64, 128]},
    }
    fitted: ClassVar[bool] = True

    nu: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Largest share of the fitted segments that may lie outside."""
    gamma: Positive | Literal["scale"] = "scale"
    """Width of the RBF kernel, exp(-gamma d^2); `scale`: 1 / (components x variance)."""
    components: Annotated[int, Field(ge=1)] = 64
    """Whitened principal components of the standardised features; fewer where there are fewer."""
    segments: Annotated[int, Field(ge=2)] = 10_000
    """Segments of normal videos that are fitted, drawn at random; time grows with their square."""
