"""Support for tests of detectors, in this package and in others that add one."""

from __future__ import annotations

from refinevad.testing.detectors import DetectorContract
from refinevad.testing.tiny_store import tiny_store

__all__ = ["DetectorContract", "tiny_store"]
