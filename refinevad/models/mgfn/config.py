"""The knobs of MGFN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, NonNegative, Positive


class MGFNConfig(DetectorConfig):
    """Chen et al., AAAI 2023 (arXiv 2211.15098): glance, then focus; lengths are contrasted."""

    name: Literal["mgfn"] = "mgfn"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "depth": {"choice": ["1-1-1", "3-3-2"]},
        "last": {"choice": [256, 1024]},
        "mag_ratio": {"log_uniform": [0.01, 1.0]},
        "w_contrast": {"log_uniform": [1e-4, 1e-2]},
        "margin": {"log_uniform": [20.0, 400.0]},
        "length_of": {"choice": ["h", "f"]},
    }
    depth: Literal["1-1-1", "3-3-2"] = "3-3-2"
    """Blocks of the three stages."""
    last: Annotated[int, Field(ge=64, multiple_of=64)] = 1024
    """Width of the last stage; the others have 64 and 128."""
    mag_ratio: NonNegative = 0.1
    """Weight of a segment's length in the input."""
    top_k: Annotated[int, Field(ge=1)] = 3
    """Segments with the longest features, whose mean score stands for a video."""
    dropped: Dropout = 0.7
    """Probability with which a segment cannot be among them, in training."""
    length_of: Literal["h", "f"] = "h"
    """Whose length counts: of the last stage's output, or of it after the last normalisation, as in
    the original, where all lengths are the same until its scales have moved."""
    w_contrast: NonNegative = 1e-3
    """Weight of the contrast of lengths."""
    margin: Positive = 200.0
    """Distance that the lengths of abnormal and normal videos should have."""
    sparsity: NonNegative = 8e-3
    """Weight of the norm of all scores of the batch's abnormal videos."""
    smoothness: NonNegative = 8e-4
    """Weight of squared differences between neighbouring scores, of all videos."""
