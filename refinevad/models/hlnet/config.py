"""The knobs of HL-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, Fraction, NonNegative, Positive


class HLNetConfig(DetectorConfig):
    """Wu et al., ECCV 2020 (arXiv 2007.04687): three graphs over segments, and a causal head."""

    name: Literal["hlnet"] = "hlnet"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dropout": {"uniform": [0.2, 0.7]},
        "threshold": {"uniform": [0.3, 0.9]},
        "sharpness": {"log_uniform": [0.03, 0.3]},
        "w_online": {"uniform": [1.0, 10.0]},
    }
    dropout: Dropout = 0.6
    """After either layer of the stem and after every graph layer."""
    threshold: Fraction = 0.7
    """Cosine similarity up to which two segments are no neighbours."""
    sharpness: Positive = 0.1
    """Temperature of the graph of scores: smaller is sharper."""
    w_online: NonNegative = 5.0
    """Weight of the loss by which the causal head learns from the full one."""
    head: Literal["full", "online"] = "full"
    """The head that scores: of all graphs, or the causal one, which sees no later segment."""
    fine_grained: bool = False
    """A second head names categories: C + 1 outputs on the graphs, with normal first."""
    lambda_class: NonNegative = 1.0
    """Weight of that head's cross-entropy."""
