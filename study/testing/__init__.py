"""What tests of searches need, for this package and for others that add one."""

from __future__ import annotations

from study.testing.searches import SearchContract

__all__ = ["SearchContract"]
