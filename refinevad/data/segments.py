"""Snippets to segments and back (the 32-segment interpolation of RTFM, TEVAD, VadCLIP, …).

Both directions use the same borders r = linspace(0, n, segments + 1), truncated to integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def borders(n: int, segments: int) -> npt.NDArray[np.int64]:
    """(segments + 1,) rows where segments begin; segment i is [r_i, r_{i+1}), maybe empty."""
    return np.linspace(0, n, segments + 1).astype(np.int64)


def pool(features: npt.NDArray[Any], segments: int) -> npt.NDArray[np.float32]:
    """Mean of each segment's rows; a segment without rows (n < segments) takes row r_i.

    Args:
        features: (n, ...) rows of any float type; summed in float32.
        segments: Number of segments. n = segments gives the rows back.

    Returns:
        (segments, ...) float32.
    """
    return pool_rows(features.astype(np.float32, copy=False), borders(len(features), segments))


def pool_rows(
    rows: npt.NDArray[np.float32], edges: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Pools the segments between consecutive edges; edges[0] is row 0, edges[-1] the end."""
    # A loop of few sums, each along contiguous rows; np.add.reduceat strides along axis 0.
    starts, sizes = edges[:-1], np.maximum(np.diff(edges), 1)
    pooled = np.stack([rows[s : s + k].sum(axis=0) for s, k in zip(starts, sizes, strict=True)])
    pooled /= sizes.astype(np.float32).reshape(-1, *(1,) * (rows.ndim - 1))
    return pooled


def expand(scores: npt.NDArray[Any], n: int) -> npt.NDArray[np.float32]:
    """Segment scores to snippet scores.

    Segment i covers [r_i, max(r_{i+1}, r_i + 1)); a snippet under several segments (n < segments)
    takes their mean.

    Args:
        scores: (segments,)
        n: Snippets of the video.

    Returns:
        (n,) float32.
    """
    edges = borders(n, len(scores))
    sizes = np.maximum(np.diff(edges), 1)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    snippets = np.repeat(edges[:-1], sizes) + within
    total = np.bincount(snippets, weights=np.repeat(scores, sizes), minlength=n)
    return (total / np.bincount(snippets, minlength=n)).astype(np.float32)
