"""The settings of a run: checked sections of the study file, and its YAML document."""

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
