"""What tests of detectors need, for this package and for others that add one."""

from __future__ import annotations

from refinevad.testing.detectors import DetectorContract
from refinevad.testing.tiny_store import tiny_store

__all__ = ["DetectorContract", "tiny_store"]
