"""The knobs of the autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Width


class AutoencoderConfig(DetectorConfig):
    """After Hasan et al., CVPR 2016 (arXiv 1604.04574): what is rebuilt badly is abnormal."""

    name: Literal["ae"] = "ae"
    """Which detector this section describes."""
    knows: ClassVar[str] = "normal videos"
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hidden": {"choice": [128, 512]},
        "code": {"choice": [32, 64, 128]},
        "stack": {"choice": [1, 4]},
    }
    hidden: Width = 512
    """Width of the first and of the last hidden layer."""
    code: Width = 128
    """Width of the code between them."""
    stack: Literal[1, 4] = 1
    """Segments that are rebuilt at once: a segment, or it and the three before it."""
    per_video: bool = False
    """The original's regularity score, from 0 to 1 within every video: the level between videos is
    lost."""
