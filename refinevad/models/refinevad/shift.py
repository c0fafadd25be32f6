"""The adaptive channel shift (eq. 2-3): a pure function with a straight-through gradient."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

NEGLIGIBLE = 20.0
"""Sigmoids this many temperatures from their centre have a slope below 3e-9: left out."""


def shift_size(rate: Tensor, channels: int, groups: int) -> Tensor:
    """s_t = floor(r_t D / K), eq. 2: ``(B, T)`` in [0, 1] to whole channels, int64."""
    return (rate.detach().nan_to_num(0.0) * (channels / groups)).floor().long()


def adaptive_shift(
    x: Tensor,
    rate: Tensor,
    *,
    groups: int = 8,
    temperature: float = 1.0,
    edges: str = "keep",
    mask: Tensor | None = None,
) -> Tensor:
    """Replace the first channels of each segment by its neighbours', eq. 2-3.

    With ``s_t = floor(u_t)``, ``u_t = r_t D / K``: channels ``c < s_t`` come from segment t - 1,
    channels ``s_t <= c < 2 s_t`` from t + 1, and the rest stays. As K >= 2, ``2 s_t <= D``.

    The floor has no gradient, and a straight-through s_t would have none either, since s_t only
    enters comparisons. The gradient of ``rate`` is therefore that of soft selection masks ::

        past(c)   = sigmoid((u_t - c - 0.5) / temperature)
        future(c) = sigmoid((2 u_t - c - 0.5) / temperature) - past(c)
        weights   = hard + soft - stopgrad(soft)

    while the forward pass stays eq. 3, bit for bit. Gradients of ``x`` use the hard masks. [b1]

    Args:
        x: ``(B, T, D)``, any float type.
        rate: r_t in [0, 1], ``(B, T)`` float32. Detach it to have the shift without its gradient.
        groups: K.
        temperature: width of the soft masks, in channels.
        edges: what a segment without that neighbour takes: ``keep`` its own channels, or
            ``zero`` as in TSM. [b2]
        mask: ``(B, T)``, True where valid; valid segments come first. The last valid one has no
            next one.
    """
    u = rate.float() * (x.shape[-1] / groups)
    if edges == "zero" and mask is None:
        mask = torch.ones_like(u, dtype=torch.bool)
    shifted: Tensor = _AdaptiveShift.apply(x, u, mask, groups, temperature, edges == "zero")  # type: ignore[no-untyped-call]
    return shifted


class _AdaptiveShift(torch.autograd.Function):
    """Eq. 3 forward; the straight-through gradient, written out, backward.

    Only the first 2 D / K channels can change, so that is all that either pass works on. Two
    tensors (x and u) are kept for the backward pass, where the plain formula keeps a dozen of the
    size of x; ``tests/refinevad/test_motar.py`` holds this class to that formula.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        u: Tensor,
        mask: Tensor | None,
        groups: int,
        temperature: float,
        zero: bool,
    ) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else x.new_empty(0), u)
        ctx.channels = x.shape[-1]
        ctx.mask, ctx.groups, ctx.temperature, ctx.zero = mask, groups, temperature, zero
        n = x.shape[-1] // groups  # s_t <= n
        past, future = _selections(u, n, x.dtype)
        taken = future * _next_is_valid(mask) if mask is not None else future
        out = x.clone()
        # A lerp by 0 or by 1 returns its start or its end exactly: a selection, but vectorised.
        out[:, :-1, : 2 * n].lerp_(x[:, 1:, : 2 * n], taken[:, :-1])
        out[:, 1:, :n].lerp_(x[:, :-1, :n], past[:, 1:])
        if zero:
            out[:, 0, :n].mul_(1 - past[:, 0])
            out[..., : 2 * n].mul_(1 - (future - taken))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, u = ctx.saved_tensors
        grad_x = grad_u = None
        if ctx.needs_input_grad[0]:
            grad_x = _gradient_of_x(grad, u, ctx.mask, ctx.channels // ctx.groups, ctx.zero)
        if ctx.needs_input_grad[1]:
            grad_u = _gradient_of_u(grad, x, u, ctx.mask, ctx.groups, ctx.temperature, ctx.zero)
        return grad_x, grad_u, None, None, None, None


@lru_cache(maxsize=16)
def _masks_by_size(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Row s: the past mask of eq. 3 for ``s_t = s``, n wide, then the future mask, 2 n wide.

    s_t is one of n + 1 numbers, and looking its row up is faster than comparing every channel.
    """
    c = torch.arange(2 * n, device=device)
    s = torch.arange(n + 1, device=device).unsqueeze(1)
    return torch.cat([c[:n] < s, (c >= s) & (c < 2 * s)], dim=1).to(dtype)


def _selections(u: Tensor, n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Eq. 3: ones where a channel is of the past ``(B, T, n)`` or the future ``(B, T, 2 n)``."""
    # s_t, eq. 2. The NaN of a diverged model must reach the loss, not end as a wild index.
    rows = u.nan_to_num(0.0).floor().long().flatten()
    chosen = _masks_by_size(n, dtype, u.device).index_select(0, rows).view(*u.shape, 3 * n)
    return chosen[..., :n], chosen[..., n:]


def _gradient_of_x(grad: Tensor, u: Tensor, mask: Tensor | None, n: int, zero: bool) -> Tensor:
    """Send each channel's gradient back to the segment it was taken from."""
    past, future = _selections(u, n, grad.dtype)
    taken = future * _next_is_valid(mask) if mask is not None else future
    to_previous = grad[:, 1:, :n] * past[:, 1:]
    to_following = grad[:, :-1, : 2 * n] * taken[:, :-1]
    result = grad.clone()
    block = result[..., : 2 * n]
    if zero:  # replaced at the ends too, by zeros
        block.mul_(1 - future)
        block[..., :n].mul_(1 - past)
    else:
        block[:, :-1].mul_(1 - taken[:, :-1])
        block[:, 1:, :n].mul_(1 - past[:, 1:])
    block[:, :-1, :n].add_(to_previous)
    block[:, 1:].add_(to_following)
    return result


def _gradient_of_u(
    grad: Tensor,
    x: Tensor,
    u: Tensor,
    mask: Tensor | None,
    groups: int,
    temperature: float,
    zero: bool,
) -> Tensor:
    """d/du of sum_c grad (past previous + future following + (1 - past - future) own)."""
    channels = x.shape[-1]
    width = min(channels, math.ceil(2 * channels / groups + NEGLIGIBLE * temperature))
    own = x[..., :width]
    previous, following = _neighbours(own, mask, zero=zero)
    c = torch.arange(width, dtype=torch.float32, device=x.device) + 0.5
    slope_1 = _sigmoid_slope((u.unsqueeze(-1) - c) / temperature)
    slope_2 = _sigmoid_slope((2 * u.unsqueeze(-1) - c) / temperature)
    # past' = slope_1, future' = 2 slope_2 - slope_1, each over the temperature
    change = slope_1 * (previous - following).float() + 2 * slope_2 * (following - own).float()
    return (grad[..., :width].float() * change).sum(dim=-1) / temperature


def _sigmoid_slope(z: Tensor) -> Tensor:
    y = z.sigmoid()
    return y * (1 - y)


def _next_is_valid(mask: Tensor) -> Tensor:
    """``(B, T, 1)``: whether segment t + 1 exists."""
    return torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1).unsqueeze(-1)


def _neighbours(x: Tensor, mask: Tensor | None, *, zero: bool) -> tuple[Tensor, Tensor]:
    """x_{t-1} and x_{t+1} of every segment; where there is none, its own channels or zeros."""
    first, last = x[:, :1], x[:, -1:]
    if zero:
        first, last = torch.zeros_like(first), torch.zeros_like(last)
    previous = torch.cat([first, x[:, :-1]], dim=1)
    following = torch.cat([x[:, 1:], last], dim=1)
    if mask is not None:
        absent = torch.zeros_like(x) if zero else x
        following = torch.where(_next_is_valid(mask), following, absent)
    return previous, following
