"""Multiple-instance losses that detectors share: from segment scores to video labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def top_k_mean(scores: Tensor, mask: Tensor, k: int | None = None) -> Tensor:
    """A video's score: the mean of its k largest segment scores, ``(B, T) -> (B,)``. [e]

    ``k = T // 16 + 1`` of the valid T unless given; never more than there are valid segments.
    """
    length = mask.sum(dim=1)
    counts = length // 16 + 1 if k is None else torch.full_like(length, k)
    counts = torch.minimum(counts, length).clamp(min=1)
    widest = scores.shape[1] // 16 + 1 if k is None else min(k, scores.shape[1])
    largest = scores.masked_fill(~mask, -torch.inf).topk(widest, dim=1).values
    taken = torch.arange(widest, device=scores.device) < counts.unsqueeze(1)
    return torch.where(taken, largest, 0.0).sum(dim=1) / counts


def mil_loss(video: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """Mean over all (abnormal, normal) pairs of ``max(0, margin - S_a + S_n)``. [e]"""
    hinge = (margin - video.unsqueeze(1) + video.unsqueeze(0)).clamp(min=0)  # (B, B): [a, n]
    pairs = abnormal.unsqueeze(1) & ~abnormal.unsqueeze(0)
    return torch.where(pairs, hinge, 0.0).sum() / pairs.sum().clamp(min=1)


def paired_mil_loss(video: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """The same over pairs of one index: the i-th abnormal video with the i-th normal one."""
    above, below = video[abnormal], video[~abnormal]
    pairs = min(len(above), len(below))
    hinge = (margin - above[:pairs] + below[:pairs]).clamp(min=0)
    return hinge.sum() / max(1, pairs)


def bag_cross_entropy(video: Tensor, abnormal: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy of video scores ``(B,)`` in [0, 1], clamped at 1e-6.

    ``smoothing`` moves the targets from 0 and 1 to ``smoothing / 2`` and ``1 - smoothing / 2``.
    """
    with torch.autocast(video.device.type, enabled=False):
        clamped = video.float().clamp(1e-6, 1 - 1e-6)
        target = abnormal.float()
        if smoothing:
            target = target * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy(clamped, target)


def top_k_logits(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Class logits of videos: per class the mean of the k largest, ``(B, T, C) -> (B, C)``."""
    batch, length, classes = logits.shape
    rows = logits.transpose(1, 2).reshape(batch * classes, length)
    if mask is None:
        mask = torch.ones(batch, length, dtype=torch.bool, device=logits.device)
    spread = mask.unsqueeze(1).expand(batch, classes, length).reshape(batch * classes, length)
    return top_k_mean(rows, spread).view(batch, classes)


def fine_grained_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of a video's class logits against its labels, normal being class 0.

    Args:
        logits: ``(B, T, C + 1)``.
        labels: ``(B, C)`` bool; n labels weigh 1/n each, a video without one is normal.
    """
    normal = ~labels.any(dim=1, keepdim=True)
    target = torch.cat([normal, labels], dim=1).float()
    target = target / target.sum(dim=1, keepdim=True)
    return F.cross_entropy(top_k_logits(logits), target)


def regulariser(scores: Tensor, mask: Tensor, abnormal: Tensor) -> Tensor:
    """L_reg: smoothness + sparsity of an abnormal video's scores, mean over abnormal videos. [g]

    ``sum_t (s_{t+1} - s_t)^2 + sum_t s_t``: sums over segments, because 8e-5 is the weight that
    Sultani et al. (CVPR 2018) give to each of these sums. Over a mean of 32 segments the same
    weight would be thirty times weaker.
    """
    counted = mask & abnormal.unsqueeze(1)
    steps = torch.where(counted[:, 1:], (scores[:, 1:] - scores[:, :-1]).square(), 0.0)
    sparsity = torch.where(counted, scores, 0.0)
    return (steps.sum() + sparsity.sum()) / abnormal.sum().clamp(min=1)
