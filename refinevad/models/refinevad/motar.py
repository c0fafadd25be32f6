"""MoTAR: motion-aware temporal attention and recalibration (eq. 1-3 of the paper).

A segment looks at its neighbours through a shift of channels, and how many channels it takes
depends on how much it moves; a temporal transformer follows. Letters in brackets point to the
rows of ``docs/paper.md``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinevad.layers.dropout import Dropout
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.shift import adaptive_shift, shift_size

NORM_EPS = 1e-12
"""Added to a variance of *variances*, which are themselves around 1e-4 for unit-norm features.
LayerNorm's usual 1e-5 would be the larger term, and the shift MLP would see nothing but it."""


def motion_variance(x: Tensor, mask: Tensor | None, kind: str) -> Tensor:
    """v_t = Var(Delta_t), eq. 1: how each segment moves. [a3]

    ``Delta_t = x_t - x_{t-1}``; the first segment has no predecessor and borrows the difference
    of the second, for a made-up zero would say "no motion". A video of one segment has none.

    Args:
        x: ``(B, T, D)``.
        mask: ``(B, T)``, True where a segment is valid; None: everywhere.
        kind: ``per_channel``: ``(B, T, D)``, the squared deviation of each channel's difference
            from the segment's mean; ``scalar``: ``(B, T, 1)``, its mean over channels;
            ``per_video``: ``(B, 1, D)``, the variance of each channel's difference over time.
    """
    delta = x[:, 1:] - x[:, :-1]
    if mask is not None:
        delta = delta * mask[:, 1:, None]
    first = delta[:, :1] if x.shape[1] > 1 else torch.zeros_like(x)
    delta = torch.cat([first, delta], dim=1)  # (B, T, D)
    if kind == "per_video":
        mean = _mean_over_time(delta, mask)
        return _mean_over_time((delta - mean).square(), mask)
    squares = (delta - delta.mean(dim=-1, keepdim=True)).square()
    return squares if kind == "per_channel" else squares.mean(dim=-1, keepdim=True)


def standardise(v: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, T, 1)`` to zero mean and unit variance over a video's valid segments.

    LayerNorm of a single number is its bias, whatever the number. Over time, r_t says how much a
    segment moves *compared with the rest of its video*; a camera that always shakes is no event.
    """
    centred = v - _mean_over_time(v, mask)
    return centred * (_mean_over_time(centred.square(), mask) + NORM_EPS).rsqrt()


def _mean_over_time(x: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, T, D) -> (B, 1, D)``: the mean over valid segments."""
    if mask is None:
        return x.mean(dim=1, keepdim=True)
    weight = mask.to(x.dtype).unsqueeze(-1)
    return (x * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp(min=1)


class ShiftRate(nn.Module):
    """r_t in (0, 1): the share of the shiftable channels that a segment takes. [a3, a4]

    An MLP ``D -> 32 -> 16 -> 1`` on the normalised v_t. Without the normalisation its bias drowns
    v_t, and r_t stays at 0.5. It always computes in float32: in bfloat16 r_t would have steps of
    a fifth of a channel, and the floor of eq. 2 would turn rounding into a different shift.
    """

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        self.kind = config.motion
        width = 1 if config.motion == "scalar" else config.d_model
        self.norm = None if config.motion == "scalar" else nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, 32), nn.GELU(), nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 1)
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, D) -> (B, T)``, float32."""
        with torch.autocast(x.device.type, enabled=False):
            v = motion_variance(x.float(), mask, self.kind)
            v = standardise(v, mask) if self.norm is None else self.norm(v)
            rate: Tensor = self.mlp(v).sigmoid().squeeze(-1)  # eq. 1
            return rate.expand(x.shape[:2])


def encoder_layer(config: RefineVADConfig) -> nn.TransformerEncoderLayer:
    """Torch's post-norm layer, with our dropout wherever it has a module for it. [a5]"""
    layer = nn.TransformerEncoderLayer(
        config.d_model,
        config.encoder_heads,
        config.encoder_feedforward,
        config.encoder_dropout,
        batch_first=True,
    )
    for name in ("dropout", "dropout1", "dropout2"):
        setattr(layer, name, Dropout(config.encoder_dropout))
    return layer


class MoTAR(nn.Module):
    """Adaptive shift, then the temporal encoder: ``(B, T, D) -> X^tc (B, T, D)``."""

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        self.shift = config.shift
        self.constant = config.shift_constant
        self.groups = config.shift_groups
        self.temperature = config.shift_temperature
        self.edges = config.shift_edges
        learnt = config.shift in ("ste", "hard")
        self.rate = ShiftRate(config) if learnt else None
        # A list, not nn.TransformerEncoder: that one starts every layer with the same weights.
        self.encoder = nn.ModuleList(encoder_layer(config) for _ in range(config.encoder_layers))

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Args: ``x (B, T, D)``, ``mask (B, T)``. Returns X^tc and the shift s_t ``(B, T)``."""
        if self.shift == "off":
            size = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        else:
            if self.rate is None:
                rate = torch.full(x.shape[:2], self.constant, device=x.device)
            else:
                rate = self.rate(x, mask)
            if self.shift == "hard":
                rate = rate.detach()
            size = shift_size(rate, x.shape[-1], self.groups)
            x = adaptive_shift(
                x,
                rate,
                groups=self.groups,
                temperature=self.temperature,
                edges=self.edges,
                mask=mask,
            )
        padding = None if mask is None else ~mask
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=padding)
        return x, size
