"""The knobs of RTFM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, NonNegative, Positive, Width


class MagnitudeConfig(DetectorConfig):
    """What detectors that train the length of features have in common."""

    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dropout": {"uniform": [0.2, 0.8]},
        "alpha": {"log_uniform": [1e-5, 1e-3]},
        "margin": {"log_uniform": [10.0, 200.0]},
        "sparsity": {"log_uniform": [8e-4, 8e-2]},
        "smoothness": {"log_uniform": [8e-5, 8e-3]},
    }

    dropout: Dropout = 0.7
    """After the temporal module and after either hidden layer of the head."""
    top_k: Annotated[int, Field(ge=1)] = 3
    """Segments with the longest features, whose mean score stands for a video."""
    dropped: Dropout = 0.7
    """Probability with which a segment cannot be among them, in training."""
    alpha: NonNegative = 1e-4
    """Weight of the loss of the lengths."""
    margin: Positive = 100.0
    """Length that features of abnormal videos are drawn to."""
    sparsity: NonNegative = 8e-3
    """Weight of the norm of all scores of the batch's abnormal videos."""
    smoothness: NonNegative = 8e-4
    """Weight of squared differences between neighbouring scores of abnormal videos."""


class RTFMConfig(MagnitudeConfig):
    """Tian et al., ICCV 2021 (arXiv 2101.10030): robust temporal feature magnitude learning."""

    name: Literal["rtfm"] = "rtfm"
    """Which detector this section describes."""
    hidden: Width = 512
    """Width of the head's first hidden layer; the second has 128."""
