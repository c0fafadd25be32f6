"""The versions that a study's bits depend on, here and now."""

from __future__ import annotations

import importlib.metadata
import platform

import refinevad

_PACKAGES = ("torch", "numpy", "scipy", "ray", "optuna", "mlflow")


def versions() -> dict[str, str]:
    """Of Python, of this package (a proposal's rule is part of it), and of what it stands on."""
    own = {"python": platform.python_version(), "refinevad": refinevad.__version__}
    return own | {name: importlib.metadata.version(name) for name in _PACKAGES}
