"""Random segments of training videos, for detectors that are fitted on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from refinevad.models.base import Split


def random_segments(
    split: Split, most: int, rng: np.random.Generator
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """At most so many segments of a split, any crop, in their order.

    Args:
        split: Has one segment at least.
        most: How many are drawn.
        rng: Gives the draws.

    Returns:
        ``(n, D)`` float64 features, and ``(n,)`` which of the split's videos each is of.
    """
    _, crops, length, width = split.features.shape
    count = len(split.videos) * crops * length
    chosen = np.sort(rng.choice(count, size=min(most, count), replace=False))
    video, rest = np.divmod(chosen, crops * length)
    rows = split.videos[torch.from_numpy(video)] * crops * length + torch.from_numpy(rest)
    picked = split.features.reshape(-1, width).index_select(0, rows.to(split.features.device))
    return picked.cpu().double().numpy(), video
