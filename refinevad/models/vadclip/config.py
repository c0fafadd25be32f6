"""The knobs of VadCLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import TextConfig
from refinevad.config.section import NonNegative, Positive


class VadCLIPConfig(TextConfig):
    """Wu et al., AAAI 2024 (arXiv 2308.11681): one head scores, another one aligns with texts."""

    name: Literal["vadclip"] = "vadclip"
    """Which detector this section describes."""
    knows: ClassVar[str] = "category texts"
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "window": {"choice": [4, 8, 16, 32]},
        "blocks": {"choice": [1, 2]},
        "temperature": {"log_uniform": [0.02, 0.2]},
        "w_apart": {"log_uniform": [1e-4, 1.0]},
        "prompt_scale": {"uniform": [0.0, 1.0]},
        "head": {"choice": ["c", "a"]},
    }
    window: Annotated[int, Field(ge=1)] = 8
    """Segments that attend to each other in the adapter's blocks."""
    blocks: Annotated[int, Field(ge=1)] = 2
    """Blocks of the adapter; the authors have 2 on UCF-Crime, 1 on XD-Violence."""
    temperature: Positive = 0.07
    """Of the cosines of segments and texts."""
    w_alignment: NonNegative = 1.0
    """Weight of the cross-entropy of the aligned head."""
    w_apart: NonNegative = 0.1
    """Weight of the cosines between the normal text and the others; 1e-4 on XD-Violence."""
    prompt_scale: NonNegative = 0.5
    """Weight of a learned residual in every text, in place of context tokens in the text tower."""
    pooling: Literal["sigmoid", "raw"] = "sigmoid"
    """Weights of the segments in the video's vector: scores, or their logits, as in the public
    code."""
    head: Literal["c", "a"] = "c"
    """The head that scores: the scorer, or one minus the probability of the normal text."""
