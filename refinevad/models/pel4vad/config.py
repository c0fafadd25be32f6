"""The knobs of PEL4VAD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import OddNumber, TextConfig
from refinevad.config.section import Dropout, NonNegative, Positive


class PEL4VADConfig(TextConfig):
    """Pu et al., TIP 2024 (arXiv 2306.14451): prompts enhance the context of segments."""

    name: Literal["pel4vad"] = "pel4vad"
    """Which detector this section describes."""
    knows: ClassVar[str] = "category texts"
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "window": {"choice": [5, 9, 17]},
        "kernel": {"choice": [3, 9]},
        "temperature": {"log_uniform": [0.02, 0.2]},
        "w_kl": {"log_uniform": [0.1, 10.0]},
        "power_norm": {"choice": [True, False]},
        "dropout": {"uniform": [0.0, 0.5]},
    }
    window: OddNumber = 9
    """Segments that the local half of the attention sees."""
    kernel: Annotated[int, Field(ge=1)] = 9
    """Width of the causal convolution that scores; the authors have 9 on UCF-Crime, 3 on
    XD-Violence."""
    dropout: Dropout = 0.1
    """After either hidden layer."""
    power_norm: bool = True
    """Signed square root of what was attended to, then length 1; the authors have it on UCF-Crime
    alone."""
    norm_axis: Literal["features", "time"] = "features"
    """What gets length 1: a segment, or a channel over time, as the public code has it."""
    temperature: Positive = 0.09
    """Of the cosines of pooled segments and texts, at the start; it is learned."""
    w_kl: NonNegative = 1.0
    """Weight of the alignment with the texts."""
