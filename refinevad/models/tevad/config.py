"""The knobs of TEVAD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from refinevad.config.section import Width
from refinevad.models.rtfm.config import MagnitudeConfig


class TEVADConfig(MagnitudeConfig):
    """Chen et al., CVPR workshops 2023: RTFM with a temporal module for each modality."""

    name: Literal["tevad"] = "tevad"
    """Which detector this section describes."""
    knows: ClassVar[str] = "two modalities"
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **MagnitudeConfig.space,
        "fusion": {"choice": ["concat", "add"]},
    }
    fusion: Literal["concat", "add"] = "concat"
    """Both modalities side by side, or the first mapped to the width of the second and added."""
    hidden: Width = 512
    """Width of the head's first hidden layer; the second has 128."""

    def check_data(self, widths: Mapping[str, int]) -> None:
        """Refuses data of one modality."""
        if len(widths) != 2:
            raise ValueError(
                f"tevad fuses two modalities, and these data have {len(widths)} "
                f"({', '.join(widths)}); give data.visual and data.text, or take rtfm"
            )
