"""IFS-VAD: how unlike the other segments a segment is, beside a score of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.magnitude import length_of
from refinevad.layers.mil import bag_cross_entropy, top_k_mean
from refinevad.layers.mlp import mlp
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.ifsvad.config import IFSVADConfig


class IFSVAD(Detector):
    """``u = LN(x)``; ``g = GELU(A1 cyc_S(u) + A2 cyc_T(u))``; ``z = B1 cyc_S(g) + B2 cyc_T(g)``;
    ``f = LN(z x + x)``; ``s = sigmoid(w1 MLP(f) + w2 Q)``, Q as in :func:`unlikeness`.

    The reference of Q is the video itself, but for an abnormal video in training the normal one of
    its index: this difference is the method.
    """

    Config = IFSVADConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "sparsity", "smooth")
    config: IFSVADConfig

    def __init__(self, config: IFSVADConfig, task: Task) -> None:
        super().__init__(config, task)
        width = task.width
        self.norm = nn.LayerNorm(width)
        self.near_in = nn.Linear(width, 2 * width)
        self.far_in = nn.Linear(width, 2 * width)
        self.near_out = nn.Linear(2 * width, width)
        self.far_out = nn.Linear(2 * width, width)
        self.head = mlp_linear(width, config.dropout)
        self.weights = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        f = self._features(x, mask)
        scores = self._score(f, f, mask)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _features(self, x: Tensor, mask: Tensor | None) -> Tensor:
        self.require_width(x)
        lengths = torch.full((len(x),), x.shape[1], device=x.device)
        if mask is not None:
            lengths = mask.sum(dim=1)
        near = torch.full_like(lengths, self.config.stride)
        u = self.norm(x)
        g = F.gelu(
            self.near_in(cycled(u, near, lengths)) + self.far_in(cycled(u, lengths, lengths))
        )
        z = self.near_out(cycled(g, near, lengths)) + self.far_out(cycled(g, lengths, lengths))
        f: Tensor = self.norm(z * x + x)
        return f

    def _score(self, f: Tensor, reference: Tensor, mask: Tensor | None) -> Tensor:
        own = self.head(f).squeeze(-1).float()
        with torch.autocast(f.device.type, enabled=False):
            unlike = unlikeness(f.float(), reference.float(), mask)
            logits: Tensor = self.weights[0] * own + self.weights[1] * unlike
            return logits.sigmoid()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """BCE of the mean top-k score, the norm of all scores, their squared differences."""
        config = self.config
        f = self._features(batch.x, None)
        above, below = batch.abnormal.nonzero()[:, 0], (~batch.abnormal).nonzero()[:, 0]
        pairs = min(len(above), len(below))
        origin = torch.arange(len(f), device=f.device)
        origin[above[:pairs]] = below[:pairs]
        scores = self._score(f, f[origin], None)
        with torch.autocast(scores.device.type, enabled=False):
            everywhere = torch.ones_like(scores, dtype=torch.bool)
            bce = bag_cross_entropy(top_k_mean(scores, everywhere, config.top_k), batch.abnormal)
            sparsity = length_of(scores.flatten())
            smooth = (scores[:, 1:] - scores[:, :-1]).square().sum()
            loss = bce + config.sparsity * sparsity + config.smoothness * smooth
        return {"loss": loss, "bce": bce, "sparsity": sparsity, "smooth": smooth}


def mlp_linear(width: int, dropout: float) -> nn.Sequential:
    """``D-512-128-1``: the first layer is linear, with dropout; the second has a ReLU."""
    wide = mlp(512, (128,), dropout)
    return nn.Sequential(nn.Linear(width, 512), nn.Dropout(dropout), *wide)


def offsets(channels: int, strides: Tensor) -> Tensor:
    """``(B, channels)``: channel i is read ``((i + S // 2) mod S) - S // 2`` segments later."""
    channel = torch.arange(channels, device=strides.device)
    half = strides.unsqueeze(1) // 2
    return (channel + half) % strides.unsqueeze(1).clamp(min=1) - half


def cycled(x: Tensor, strides: Tensor, lengths: Tensor) -> Tensor:
    """``x (B, T, D)`` with every channel read at its offset; zero outside of the video.

    Args:
        x: Features.
        strides: ``(B,)`` S of each video.
        lengths: ``(B,)`` valid segments, which come first.
    """
    batch, length, channels = x.shape
    time = torch.arange(length, device=x.device).view(1, length, 1)
    place = time + offsets(channels, strides).view(batch, 1, channels)
    inside = (place >= 0) & (place < lengths.view(batch, 1, 1))
    return x.gather(1, place.clamp(0, length - 1)) * inside


def unlikeness(f: Tensor, reference: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, T)``: minus the mean plus the unbiased variance of a segment's cosines with all
    segments of a reference ``(B, T, D)``; the variance of one value is 0."""
    unit, other = F.normalize(f, dim=-1), F.normalize(reference, dim=-1)
    cosines = torch.einsum("btd,bsd->bts", unit, other)
    valid = torch.ones(f.shape[:2], device=f.device) if mask is None else mask.float()
    weight = valid.unsqueeze(1)
    count = weight.sum(dim=-1).clamp(min=1)
    mean = (cosines * weight).sum(dim=-1) / count
    spread = ((cosines - mean.unsqueeze(-1)).square() * weight).sum(dim=-1)
    return spread / (count - 1).clamp(min=1) - mean
