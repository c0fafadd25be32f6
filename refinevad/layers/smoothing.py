"""What may follow a detector's scores: smoothing over time, and a share of the video's mean.

An event lasts longer than a segment, so neighbours tell about each other; and a frame metric over
all videos gains where a segment's score also says how abnormal its video is. Both cost nothing in
training: a run may choose them on its held-out videos (``auto``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SEGMENTS = (1, 3, 5, 9, 15)
"""Widths that ``smooth_segments: auto`` tries."""
SHARES = (0.0, 0.25, 0.5, 0.75)
"""Shares that ``video_share: auto`` tries."""
EPSILON = 1e-6
"""Scores are this far from 0 and 1 before their logits are averaged."""


@dataclass(frozen=True)
class Smoothing:
    """The two numbers of the smoothing."""

    segments: int = 1
    """Width of the centred moving average; odd."""
    share: float = 0.0
    """Weight of the video's mean logit beside the segment's own."""

    @property
    def changes_nothing(self) -> bool:
        return self.segments == 1 and self.share == 0.0

    def __call__(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Smoothed scores ``(B, T)``, in logits; 0 where padded.

        Args:
            scores: ``(B, T)`` in [0, 1].
            mask: ``(B, T)`` bool, True where valid. None: everywhere.
        """
        if self.changes_nothing:
            return scores
        valid = torch.ones_like(scores) if mask is None else mask.to(scores.dtype)
        logits = torch.logit(scores, eps=EPSILON) * valid
        if self.segments > 1:
            logits = _window_sum(logits, self.segments)
            logits = logits / _window_sum(valid, self.segments).clamp(min=1) * valid
        if self.share:
            mean = logits.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp(min=1)
            logits = (1 - self.share) * logits + self.share * mean
        return logits.sigmoid() * valid


def _window_sum(values: Tensor, width: int) -> Tensor:
    """Sum of the ``width`` values around each one; fewer at both ends."""
    pooled = torch.nn.functional.avg_pool1d(
        values.unsqueeze(1), width, stride=1, padding=width // 2, count_include_pad=True
    )
    return pooled.squeeze(1) * width
