"""The search space: dimensions, quantiles, their encoding, seeds."""

from __future__ import annotations

from study.space.dimension import Dimension, Params, Scalar
from study.space.seeds import derived_seed

__all__ = ["Dimension", "Params", "Scalar", "derived_seed"]
