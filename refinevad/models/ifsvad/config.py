"""The knobs of IFS-VAD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, NonNegative


class IFSVADConfig(DetectorConfig):
    """IFS-VAD, TCSVT 2025: a segment that is unlike the others is suspicious."""

    name: Literal["ifsvad"] = "ifsvad"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dropout": {"uniform": [0.2, 0.8]},
        "stride": {"choice": [4, 8]},
        "top_k": {"choice": [3, 5, 8]},
        "sparsity": {"log_uniform": [1e-3, 0.1]},
        "smoothness": {"log_uniform": [1e-5, 1e-3]},
    }
    dropout: Dropout = 0.7
    """In the head."""
    stride: Annotated[int, Field(ge=2)] = 4
    """Channels of a segment are read at this many neighbouring segments; a second path reads them
    over the whole video."""
    top_k: Annotated[int, Field(ge=1)] = 5
    """Segments whose mean score stands for a video."""
    sparsity: NonNegative = 0.01
    """Weight of the norm of all scores of the batch."""
    smoothness: NonNegative = 1e-4
    """Weight of squared differences between neighbouring scores."""
