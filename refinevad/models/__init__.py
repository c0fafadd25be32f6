"""The model: pure torch modules, no files, no training."""

from __future__ import annotations

from refinevad.models.refinevad.model import Output, RefineVAD

__all__ = ["Output", "RefineVAD"]
