"""Blocks and losses that several detectors use."""

from __future__ import annotations

from refinevad.layers.batch_norm import BatchNorm
from refinevad.layers.lgt import LGTAdapter
from refinevad.layers.mil import (
    bag_cross_entropy,
    fine_grained_loss,
    mil_loss,
    regulariser,
    top_k_mean,
)
from refinevad.layers.mtn import MTN

__all__ = [
    "MTN",
    "BatchNorm",
    "LGTAdapter",
    "bag_cross_entropy",
    "fine_grained_loss",
    "mil_loss",
    "regulariser",
    "top_k_mean",
]
