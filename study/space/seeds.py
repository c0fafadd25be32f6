"""Seeds that follow from the study's seed."""

from __future__ import annotations

import hashlib


def derived_seed(study_seed: int, number: int, purpose: str) -> int:
    """A 31-bit seed for one purpose of one trial: the head of sha256 of all three."""
    content = hashlib.sha256(f"{purpose}:{study_seed}:{number}".encode()).digest()
    return int.from_bytes(content[:4], "big") >> 1
