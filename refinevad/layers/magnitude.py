"""Feature magnitude learning, of RTFM (arXiv 2101.10030): the longest features of a video.

Shared by the detectors that train the length of features: RTFM, CLIP-TSA and TEVAD.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from refinevad.layers.mil import bag_cross_entropy

_TINY = 1e-12
"""Under a square root, whose slope at zero is infinite."""


def length_of(x: Tensor) -> Tensor:
    """Euclidean norm of the last dimension, float32, with a finite slope at zero."""
    return (x.float().square().sum(dim=-1) + _TINY).sqrt()


def longest(lengths: Tensor, mask: Tensor, k: int, *, dropped: float = 0.0) -> Tensor:
    """The k segments of each video with the largest lengths, as weights that sum to 1.

    Args:
        lengths: ``(B, T)``; no gradient runs through the choice.
        mask: ``(B, T)`` bool, True where valid.
        k: Segments; fewer where a video has fewer.
        dropped: Probability with which a segment's length counts as zero.

    Returns:
        ``(B, T)``: 1/k where chosen, else 0.
    """
    ranked = lengths.detach()
    if dropped:
        ranked = ranked * (torch.rand_like(ranked) >= dropped)
    ranked = ranked.masked_fill(~mask, -torch.inf)
    chosen = torch.zeros_like(ranked).scatter_(1, ranked.topk(min(k, ranked.shape[1])).indices, 1.0)
    chosen = chosen * mask
    return chosen / chosen.sum(dim=1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class MagnitudeWeights:
    """Weights of the loss, and what it is of."""

    top_k: int
    dropped: float
    alpha: float
    margin: float
    sparsity: float
    smoothness: float


def magnitude_losses(
    f: Tensor, scores: Tensor, abnormal: Tensor, weights: MagnitudeWeights
) -> dict[str, Tensor]:
    """The loss of RTFM and its parts, unweighted.

    Args:
        f: ``(B, T, D)`` features of the temporal module.
        scores: ``(B, T)`` in [0, 1], float32.
        abnormal: ``(B,)`` bool.
        weights: Of the parts.

    Returns:
        ``loss``; ``bce`` of the mean score of each video's longest segments; ``magnitude``, the
        mean over pairs of one index of ``(|margin - F_A| + F_N)^2``, F the length of their mean
        feature; ``sparsity``, the norm of all abnormal scores; ``smooth``, the sum of their squared
        differences in time.
    """
    with torch.autocast(f.device.type, enabled=False):
        f = f.float()
        mask = torch.ones_like(scores, dtype=torch.bool)
        taken = longest(length_of(f), mask, weights.top_k, dropped=weights.dropped)
        bce = bag_cross_entropy((taken * scores).sum(dim=1), abnormal)
        mean = torch.einsum("bt,btd->bd", taken, f)
        magnitude = pair_loss(length_of(mean), abnormal, weights.margin)
        own = scores[abnormal]
        sparsity = length_of(own.flatten())
        smooth = (own[:, 1:] - own[:, :-1]).square().sum()
        loss = (
            bce
            + weights.alpha * magnitude
            + weights.sparsity * sparsity
            + weights.smoothness * smooth
        )
    return {
        "loss": loss, "bce": bce, "magnitude": magnitude, "sparsity": sparsity, "smooth": smooth,
    }  # fmt: skip


def pair_loss(lengths: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """Mean over pairs, the i-th abnormal with the i-th normal video, of ``(|m - F_A| + F_N)^2``."""
    above, below = lengths[abnormal], lengths[~abnormal]
    pairs = min(len(above), len(below))
    found = ((margin - above[:pairs]).abs() + below[:pairs]).square()
    return found.sum() / max(1, pairs)
