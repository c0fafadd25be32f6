"""UR-DMU: two memories, of normality and of anomaly; a video should excite the right one."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.global_local import WIDTH, GlobalLocalEncoder
from refinevad.layers.magnitude import length_of
from refinevad.layers.mil import bag_cross_entropy, top_k_mean
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.urdmu.config import URDMUConfig

EXCITED = 4
"""Rows of a memory whose mean answer is its excitation."""
TRIPLET_MARGIN = 1.0


class Reading(NamedTuple):
    """What a memory gives for ``(B, T, 512)``."""

    excitation: Tensor
    """``(B, T)`` in [0, 1], float32."""
    read: Tensor
    """``(B, T, 512)``."""


class Memory(nn.Module):
    """``w = sigmoid(x M^T / sqrt 512)``; the excitation is the mean of the 4 largest of w, the
    read-out ``w M``."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        bound = WIDTH**-0.5
        self.rows = nn.Parameter(torch.empty(rows, WIDTH).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Reading:
        answers = (x @ self.rows.to(x.dtype).T * WIDTH**-0.5).sigmoid()
        excitation = answers.float().topk(EXCITED, dim=-1).values.mean(dim=-1)
        return Reading(excitation, answers @ self.rows.to(answers.dtype))


class Encoded(NamedTuple):
    """The parts of a forward pass that the losses read."""

    x: Tensor
    normal: Reading
    abnormal: Reading
    mean: Tensor
    """``(B, T, 512)`` mean of the normal read-out."""
    log_variance: Tensor
    anomaly: Tensor
    """``(B, T, 512)`` mean of the abnormal read-out."""


class URDMU(Detector):
    """Encoder to 512, two memories, ``mu`` and ``log variance``; head ``1024-128-1`` on
    ``[x ; z_N + mu(r_A)]``."""

    Config = URDMUConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "memory", "triplet", "kl", "dist")
    config: URDMUConfig

    def __init__(self, config: URDMUConfig, task: Task) -> None:
        super().__init__(config, task)
        self.encoder = GlobalLocalEncoder(
            task.width, config.dropout, columns=config.distance_norm == "columns"
        )
        self.normal = Memory(config.memory)
        self.abnormal = Memory(config.memory)
        self.mean = nn.Linear(WIDTH, WIDTH)
        self.log_variance = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Sequential(nn.Linear(2 * WIDTH, 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        """Scores; nothing is sampled."""
        found = self._encode(x, mask)
        scores = self._score(found, found.mean)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _encode(self, x: Tensor, mask: Tensor | None) -> Encoded:
        self.require_width(x)
        h = self.encoder(x, mask)
        normal, abnormal = self.normal(h), self.abnormal(h)
        return Encoded(
            h, normal, abnormal,
            self.mean(normal.read), self.log_variance(normal.read), self.mean(abnormal.read),
        )  # fmt: skip

    def _score(self, found: Encoded, z: Tensor) -> Tensor:
        joined = torch.cat([found.x, z + found.anomaly], dim=-1)
        scores: Tensor = self.head(joined).squeeze(-1).float().sigmoid()
        return scores

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """BCE of the mean top-k score, the memories' answers, the triplet, the divergence of normal
        read-outs, the hinge of the lengths."""
        config, is_abnormal = self.config, batch.abnormal
        found = self._encode(batch.x, None)
        z = found.mean
        if self.training:  # the normal read-out of a normal video is sampled
            drawn = torch.randn_like(z) * (found.log_variance / 2).exp()
            z = torch.where(is_abnormal[:, None, None], z, z + drawn)
        scores = self._score(found, z)
        everywhere = torch.ones_like(scores, dtype=torch.bool)
        with torch.autocast(scores.device.type, enabled=False):
            bce = bag_cross_entropy(top_k_mean(scores, everywhere), is_abnormal)
            memory = memory_loss(found.normal.excitation, found.abnormal.excitation, is_abnormal)
            triplet, dist = self._contrast(found, z, is_abnormal)
            kl = divergence(
                found.mean[~is_abnormal].float(),
                found.log_variance[~is_abnormal].float(),
                config.kl_axis,
            )
            loss = (
                bce
                + config.w_memory * memory
                + config.w_triplet * triplet
                + config.w_kl * kl
                + config.w_dist * dist
            )
        return {
            "loss": loss, "bce": bce, "memory": memory, "triplet": triplet, "kl": kl, "dist": dist,
        }  # fmt: skip

    def _contrast(self, found: Encoded, z: Tensor, abnormal: Tensor) -> tuple[Tensor, Tensor]:
        """The triplet and the hinge, over pairs of one index."""
        pairs = min(int(abnormal.sum()), int((~abnormal).sum()))
        above, below = abnormal.nonzero()[:pairs, 0], (~abnormal).nonzero()[:pairs, 0]
        by_normal, by_abnormal = found.normal.excitation, found.abnormal.excitation
        x = found.x.float()
        anchor = mean_of_top(x[below], by_normal[below])
        positive = mean_of_top(x[above], by_normal[above])
        negative = mean_of_top(x[above], by_abnormal[above])
        triplet = triplet_loss(anchor, positive, negative)
        anomaly = mean_of_top(found.anomaly[above].float(), by_abnormal[above])
        normality = mean_of_top(z[below].float(), by_normal[below])
        hinge = self.config.margin - length_of(anomaly) + length_of(normality)
        return triplet, hinge.clamp(min=0).sum() / max(1, pairs)


def memory_loss(normal: Tensor, abnormal: Tensor, labels: Tensor) -> Tensor:
    """What the excitations of both memories, each ``(B, T)``, should be.

    An abnormal video excites the memory of anomaly somewhere and that of normality not everywhere;
    a normal one excites that of normality in all segments and the other in none.
    """

    def of_top(excitation: Tensor) -> Tensor:
        video = top_k_mean(excitation, torch.ones_like(excitation, dtype=torch.bool))
        return bag_cross_entropy(video, torch.ones_like(video, dtype=torch.bool))

    above, below = labels, ~labels
    loss = normal.new_zeros(())
    if above.any():
        loss = loss + of_top(abnormal[above]) + of_top(1 - normal[above])
    if below.any():
        own, other = normal[below].flatten(), abnormal[below].flatten()
        loss = loss + bag_cross_entropy(own, torch.ones_like(own, dtype=torch.bool))
        loss = loss + bag_cross_entropy(other, torch.zeros_like(other, dtype=torch.bool))
    return loss


def mean_of_top(x: Tensor, ranked: Tensor) -> Tensor:
    """Mean of ``x (B, T, D)`` over the T // 16 + 1 segments with the largest ``ranked (B, T)``."""
    k = ranked.shape[1] // 16 + 1
    top = ranked.detach().topk(min(k, ranked.shape[1]), dim=1).indices
    return x.gather(1, top.unsqueeze(-1).expand(-1, -1, x.shape[-1])).mean(dim=1)


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of ``[1 + |a - p| - |a - n|]_+`` of normalised rows ``(B, D)``."""
    a, p, n = (F.normalize(rows, dim=-1) for rows in (anchor, positive, negative))
    found = (TRIPLET_MARGIN + length_of(a - p) - length_of(a - n)).clamp(min=0)
    return found.sum() / max(1, len(found))


def divergence(mean: Tensor, log_variance: Tensor, axis: str) -> Tensor:
    """KL divergence of ``(B, T, d)`` normal distributions from the standard one: half the sum of
    ``mu^2 + exp(lv) - 1 - lv`` over features, mean over the rest; ``axis = time``: half the sum
    over time, mean over the rest."""
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return (
        0.5
        * terms.sum(dim=2 if axis == "features" else 1).sum()
        / max(1, terms.shape[0] * terms.shape[1 if axis == "features" else 2])
    )
