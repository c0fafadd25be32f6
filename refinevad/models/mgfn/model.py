"""MGFN: glance (attention), then focus (local), with the length of features as input and target."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.batch_norm import BatchNorm
from refinevad.layers.magnitude import length_of, longest
from refinevad.layers.mil import bag_cross_entropy
from refinevad.layers.mtn import Convolution
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.mgfn.config import MGFNConfig

FIRST, SECOND = 64, 128
OF_HEAD = 64
"""Channels of a head of attention, and channels that share a filter."""
APART = 1e-3
"""Weight of the distance between kinds against the distances within."""


class MGFN(Detector):
    """A stem of features and their length, three stages of blocks, ``f = LN(h)``, a linear map."""

    Config = MGFNConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "contrast", "sparsity", "smooth")
    config: MGFNConfig

    def __init__(self, config: MGFNConfig, task: Task) -> None:
        super().__init__(config, task)
        widths = (FIRST, SECOND, config.last)
        self.stem = Convolution(task.width, FIRST, 3)
        self.of_length = Convolution(1, FIRST, 3)
        depths = [int(number) for number in config.depth.split("-")]
        self.stages = nn.ModuleList(
            nn.ModuleList(
                Block(width, GlanceAttention(width) if stage == 0 else FocusAttention(width))
                for _ in range(depth)
            )
            for stage, (width, depth) in enumerate(zip(widths, depths, strict=True))
        )
        self.between = nn.ModuleList(
            nn.Sequential(ChannelNorm(narrow), nn.Linear(narrow, wide))
            for narrow, wide in pairwise(widths)
        )
        self.norm = nn.LayerNorm(config.last)
        self.head = nn.Linear(config.last, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        _, scores = self._score(x, mask)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _score(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features whose length counts ``(B, T, ·)`` and scores ``(B, T)``, float32."""
        self.require_width(x)
        lengths = length_of(x).unsqueeze(-1).to(x.dtype)
        h = self.stem(x, mask) + self.config.mag_ratio * self.of_length(lengths, mask)
        for place, stage in enumerate(self.stages):
            assert isinstance(stage, nn.ModuleList)
            for block in stage:
                h = block(h, mask)
            if place < len(self.between):
                h = self.between[place](h)
        f = self.norm(h)
        scores = self.head(f).squeeze(-1).float().sigmoid()
        return (h if self.config.length_of == "h" else f), scores

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """BCE of the longest segments' mean score, the contrast of lengths, sparsity,
        smoothness."""
        config, abnormal = self.config, batch.abnormal
        f, scores = self._score(batch.x, None)
        with torch.autocast(f.device.type, enabled=False):
            f = f.float()
            everywhere = torch.ones_like(scores, dtype=torch.bool)
            dropped = config.dropped if self.training else 0.0
            taken = longest(length_of(f), everywhere, config.top_k, dropped=dropped)
            bce = bag_cross_entropy((taken * scores).sum(dim=1), abnormal)
            k = min(config.top_k, scores.shape[1])
            chosen = taken.topk(k, dim=1).indices
            sums = f.abs().sum(dim=-1).gather(1, chosen).sort(dim=1, descending=True).values
            contrast = contrast_of(sums, abnormal, config.margin)
            sparsity = length_of(scores[abnormal].flatten())
            smooth = (scores[:, 1:] - scores[:, :-1]).square().sum()
            loss = (
                bce
                + config.w_contrast * contrast
                + config.sparsity * sparsity
                + config.smoothness * smooth
            )
        return {
            "loss": loss, "bce": bce, "contrast": contrast, "sparsity": sparsity, "smooth": smooth,
        }  # fmt: skip


class ChannelNorm(nn.Module):
    """``(x - mean) / (std + 1e-5)`` over channels, then scale and shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, T, width)`` to the same shape."""
        values = x.float()
        centred = values - values.mean(dim=-1, keepdim=True)
        deviation = (centred.square().mean(dim=-1, keepdim=True) + 1e-12).sqrt()
        return (centred / (deviation + 1e-5) * self.scale + self.shift).to(x.dtype)


class Block(nn.Module):
    """``h += Conv1d(h)``, ``h += attention(h)``, ``h += (LN, d-4d-d with GELU)(h)``."""

    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__()
        self.near = Convolution(width, width, 3)
        self.attention = attention
        self.feedforward = nn.Sequential(
            ChannelNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, width)``, ``(B, T)`` to ``(B, T, width)``."""
        h = h + self.near(h, mask)
        h = h + self.attention(h, mask)
        result: Tensor = h + self.feedforward(h)
        return result


class GlanceAttention(nn.Module):
    """Self-attention over the whole video, width / 64 heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, width)``, ``(B, T)`` to ``(B, T, width)``."""
        batch, length, width = h.shape
        projected = self.query_key_value(self.norm(h))
        parts = projected.view(batch, length, 3, width // OF_HEAD, OF_HEAD).permute(2, 0, 3, 1, 4)
        allowed = None if mask is None else mask[:, None, None, :]
        seen = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=allowed)
        result: Tensor = self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return result


class FocusAttention(nn.Module):
    """A convolution over five segments, in which 64 channels, those of one residue modulo
    width / 64, share a filter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.filters = width // OF_HEAD
        self.norm = BatchNorm(width)
        self.value = nn.Linear(width, width, bias=False)
        self.local = nn.Conv1d(self.filters, self.filters, 5, padding=2, groups=self.filters)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, width)``, ``(B, T)`` to ``(B, T, width)``."""
        batch, length, width = h.shape
        value = self.value(self.norm(h, mask))
        if mask is not None:
            value = value * mask.unsqueeze(-1)
        shared = value.transpose(1, 2).reshape(batch * OF_HEAD, self.filters, length)
        seen = self.local(shared).view(batch, width, length).transpose(1, 2)
        result: Tensor = self.out(seen)
        return result


def contrast_of(lengths: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """How far apart the lengths ``(B, k)`` of a video's longest segments are between kinds, and how
    near within.

    ``.001 mean [margin - |m_A - m_N|]_+^2 + mean |m_A - m_A'|^2 + mean |m_N - m_N'|^2``: pairs of
    kinds are of one index; ' is the video of the other half of the batch.
    """
    above, below = lengths[abnormal], lengths[~abnormal]
    pairs = min(len(above), len(below))
    apart = (margin - length_of(above[:pairs] - below[:pairs])).clamp(min=0).square()
    loss = APART * apart.sum() / max(1, pairs)
    for own in (above, below):
        half = len(own) // 2
        within = (own[:half] - own[half : 2 * half]).square().sum(dim=1)
        loss = loss + within.sum() / max(1, half)
    return loss
