"""The knobs of a run: sections of the study file, checked; and the YAML document they come from."""

from __future__ import annotations

from refinevad.config.data import DataConfig, FeatureSource
from refinevad.config.detector import DetectorConfig
from refinevad.config.section import SNIPPET_FRAMES, Section
from refinevad.config.training import ObjectiveConfig, Runtime, TrainConfig

__all__ = [
    "SNIPPET_FRAMES",
    "DataConfig",
    "DetectorConfig",
    "FeatureSource",
    "ObjectiveConfig",
    "Runtime",
    "Section",
    "TrainConfig",
]
