"""The knobs of deep MIL ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, Fraction, NonNegative, Positive, Width


class DeepMILConfig(DetectorConfig):
    """Sultani, Chen and Shah, CVPR 2018 (arXiv 1801.04264): an MLP per segment, ranked by bags."""

    name: Literal["deepmil"] = "deepmil"
    """Which detector this section describes."""
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dropout": {"uniform": [0.2, 0.7]},
        "hidden": {"choice": [128, 512, 1024]},
        "top_k": {"choice": [1, 3, 5]},
        "margin": {"uniform": [0.2, 1.0]},
        "lambda_smooth": {"log_uniform": [1e-6, 1e-2]},
    }
    hidden: Width = 512
    """Width of the first hidden layer; the second has 32."""
    dropout: Dropout = 0.6
    """After either hidden layer."""
    top_k: Annotated[int, Field(ge=1)] = 1
    """Segments whose mean score stands for a video in the ranking loss; the paper takes one."""
    mil_loss: Literal["hinge", "bce"] = "hinge"
    """Loss of the videos' scores: the ranking hinge, or binary cross-entropy, which also says how
    high a score is."""
    label_smoothing: Fraction = 0.0
    """With `bce`: targets are this much closer to one half (e / 2 and 1 - e / 2)."""
    margin: Positive = 1.0
    """Margin of the hinge between an abnormal and a normal video."""
    pairs: Literal["all", "index"] = "all"
    """Pairs of the hinge: every abnormal video with every normal one, or the i-th with the i-th."""
    lambda_smooth: NonNegative = 8e-5
    """Weight of smoothness + sparsity of abnormal videos' scores."""
    fine_grained: bool = False
    """A second head names categories: C + 1 outputs on the last hidden layer, with normal first."""
    lambda_class: NonNegative = 1.0
    """Weight of that head's cross-entropy."""
