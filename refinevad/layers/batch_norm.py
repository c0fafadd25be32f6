"""Batch normalisation over (B, T, width) in which padded segments count for nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOMENTUM = 0.1
EPS = 1e-5


def masked_batch_norm(
    x: Tensor,
    mask: Tensor | None,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    training: bool,
) -> Tensor:
    """``F.batch_norm`` of ``x (B, T, width)`` over its valid segments.

    Args:
        x: Values.
        mask: ``(B, T)``, True where valid; None: everywhere.
        mean: Running mean ``(width,)``, moved in training.
        var: Running variance, likewise.
        weight: Scale ``(width,)``.
        bias: Shift ``(width,)``.
        training: Normalise by the batch's own statistics.
    """
    if training and mask is not None:
        return _normalise_valid(x, mask, mean, var, weight, bias)
    flat = x.flatten(0, 1)
    return F.batch_norm(flat, mean, var, weight, bias, training, MOMENTUM, EPS).view_as(x)


def _normalise_valid(
    x: Tensor, mask: Tensor, mean: Tensor, var: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """Normalises the valid rows as ``F.batch_norm``; no gather, so no data-dependent shape."""
    values = x.float()
    weight = mask.unsqueeze(-1).float()
    count = weight.sum()
    batch_mean = (values * weight).sum(dim=(0, 1)) / count
    batch_var = ((values - batch_mean).square() * weight).sum(dim=(0, 1)) / count
    with torch.no_grad():
        mean.lerp_(batch_mean, MOMENTUM)
        var.lerp_(batch_var * count / (count - 1).clamp(min=1), MOMENTUM)
    y = (values - batch_mean) * (batch_var + EPS).rsqrt() * scale + bias
    return y.to(x.dtype)


class BatchNorm(nn.Module):
    """Masked batch normalisation with one set of running statistics."""

    mean: Tensor
    var: Tensor

    def __init__(self, width: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), scale))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, width)`` to the same shape."""
        return masked_batch_norm(
            x, mask, self.mean, self.var, self.weight, self.bias, training=self.training
        )
