"""Detectors: one folder each, with its knobs (``config.py``), its torch code (``model.py``) and a
README. ``registry`` lists them; ``base`` is their interface."""

from __future__ import annotations

from refinevad.models.registry import CONFIGS, detector_class

__all__ = ["CONFIGS", "detector_class"]
