"""Provenance of a study's results besides its settings: versions, source tree, hardware."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import refinevad
from study.ledger.records import StudyMeta, TrialRecord

_PACKAGES = ("torch", "numpy", "scipy", "ray", "optuna", "mlflow")
_HARDWARE = ("device", "processor", "gpu", "precision", "threads", "torch")


def versions() -> dict[str, str]:
    """Versions of Python, of this package (its code proposes the trials) and its dependencies."""
    own = {"python": platform.python_version(), "refinevad": refinevad.__version__}
    return own | {name: importlib.metadata.version(name) for name in _PACKAGES}


def hardware_kinds(records: Sequence[TrialRecord]) -> list[dict[str, str]]:
    """Kinds of hardware that computed the trials; results are bit-reproducible on one kind only."""
    kinds = [
        {key: r.worker[key] for key in _HARDWARE if key in r.worker}
        for r in records
        if r.worker and r.state != "FAILED"  # which computed nothing
    ]
    return [dict(kind) for kind in dict.fromkeys(tuple(sorted(k.items())) for k in kinds)]


def hardware_text(kind: Mapping[str, str]) -> str:
    """``cpu, AMD EPYC (AVX512), bf16, 1 thread, torch 2.13.0``."""
    said = dict(kind)
    if threads := said.get("threads"):
        said["threads"] = f"{threads} thread{'' if str(threads) == '1' else 's'}"
    if torch := said.get("torch"):
        said["torch"] = f"torch {torch}"
    return ", ".join(said[key] for key in _HARDWARE if key in said)


def changed_versions(meta: StudyMeta) -> list[str]:
    """A warning where a study is resumed with other libraries, which may propose other trials."""
    now = versions()
    changed = [
        f"{name} {was} -> {now[name]}"
        for name, was in meta.versions.items()
        if now.get(name, was) != was
    ]
    if not changed:
        return []
    return [
        f"This study was begun with other package versions ({', '.join(changed)}). Results are "
        "bit-reproducible only with identical package versions"
    ]


def git_commit() -> str | None:
    """Commit of this source tree, ``+`` when files differ from it; None outside a repository."""
    here = Path(__file__).parent
    try:
        head, changed = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")
