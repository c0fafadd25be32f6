"""BN-WVAD: a BatchNorm's running mean is normality, and the distance from it abnormality."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.global_local import WIDTH, GlobalLocalEncoder
from refinevad.layers.magnitude import length_of
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.bnwvad.config import BNWVADConfig

HIDDEN = (32, 16)


class BNWVAD(Detector):
    """UR-DMU's encoder; ``512-32``, BatchNorm, ReLU, ``32-16``, BatchNorm, ReLU, ``16-1``, sigmoid.

    The score is ``u / (1 + u)`` with ``u = (d_1 + d_2) s``, d the distances of :func:`distance`.
    """

    Config = BNWVADConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "normal", "distance_1", "distance_2")
    config: BNWVADConfig

    def __init__(self, config: BNWVADConfig, task: Task) -> None:
        super().__init__(config, task)
        first, second = HIDDEN
        self.encoder = GlobalLocalEncoder(task.width, config.dropout)
        self.first = nn.Linear(WIDTH, first)
        self.norm_first = nn.BatchNorm1d(first, momentum=config.bn_momentum)
        self.second = nn.Linear(first, second)
        self.norm_second = nn.BatchNorm1d(second, momentum=config.bn_momentum)
        self.last = nn.Linear(second, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        scores, one, two = self._score(x, mask)
        raised = (one + two) * scores
        found = raised / (1 + raised)
        return Prediction(found if mask is None else found.masked_fill(~mask, 0.0))

    def _score(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """``s`` and both distances, each ``(B, T)``, float32."""
        self.require_width(x)
        h = self.first(self.encoder(x, mask))
        g = self.second(F.relu(_normalised(self.norm_first, h)))
        logits = self.last(F.relu(_normalised(self.norm_second, g)))
        scores = logits.squeeze(-1).float().sigmoid()
        with torch.autocast(x.device.type, enabled=False):
            return (
                scores,
                distance_from(self.norm_first, h.float()),
                distance_from(self.norm_second, g.float()),
            )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The norm of a normal video's scores, mean over normal videos, and a hinge between the
        distances of abnormal and normal segments at either BatchNorm; abnormal scores have no
        target of their own."""
        config = self.config
        scores, *distances = self._score(batch.x, None)
        with torch.autocast(scores.device.type, enabled=False):
            below = scores[~batch.abnormal]
            normal = length_of(below).sum() / max(1, len(below))
            found = [
                separation(d, batch.abnormal, config.ratio_video, config.ratio_batch)
                for d in distances
            ]
            loss = normal + config.w1 * found[0] + config.w2 * found[1]
        return {"loss": loss, "normal": normal, "distance_1": found[0], "distance_2": found[1]}


def _normalised(norm: nn.BatchNorm1d, h: Tensor) -> Tensor:
    found: Tensor = norm(h.flatten(0, 1)).view_as(h)
    return found


def distance_from(norm: nn.BatchNorm1d, h: Tensor) -> Tensor:
    """:func:`distance` from the running statistics as they are now."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # Copies: the next batch moves them before the gradient is computed.
    return distance(h, norm.running_mean.clone(), norm.running_var.clone())


def distance(h: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """``sqrt(sum_c (h_c - m_c)^2 / var_c)``; no gradient runs to the statistics."""
    return length_of((h - mean) / variance.clamp(min=1e-12).sqrt())


def separation(
    distances: Tensor, abnormal: Tensor, ratio_video: float, ratio_batch: float
) -> Tensor:
    """Mean of ``[d_pos - d_neg + 1]_+``.

    Args:
        distances: ``(B, T)``.
        abnormal: ``(B,)`` bool.
        ratio_video: An abnormal segment is a negative if it is in the top share of its video, ...
        ratio_batch: ... or of all abnormal segments of the batch. The positives, as many, are the
            segments of the normal videos with the largest distances, rank by rank over the videos.
    """
    above, below = distances[abnormal], distances[~abnormal]
    if not len(above) or not len(below):
        return distances.sum() * 0.0
    length = distances.shape[1]
    chosen = torch.zeros_like(above, dtype=torch.bool)
    in_video = int(ratio_video * length)
    if in_video:
        chosen.scatter_(1, above.detach().topk(in_video, dim=1).indices, True)
    in_batch = int(ratio_batch * above.numel())
    if in_batch:
        chosen.view(-1)[above.detach().flatten().topk(in_batch).indices] = True
    negatives = above[chosen]
    ranks = min(length, len(negatives) // len(below) + 1)
    positives = below.topk(ranks, dim=1).values.T.flatten()[: len(negatives)]
    found = (positives - negatives[: len(positives)] + 1).clamp(min=0)
    return found.sum() / max(1, len(found))
