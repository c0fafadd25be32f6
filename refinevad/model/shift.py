"""The adaptive channel shift (eq. 2-3): a pure function with a straight-through gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

NEGLIGIBLE = 20.0
"""Sigmoids this many temperatures from their centre have a slope below 3e-9: left out."""


def shift_size(rate: Tensor, channels: int, groups: int) -> Tensor:
    """s_t = floor(r_t D / K), eq. 2: ``(B, T)`` in [0, 1] to whole channels, int64."""
    return (rate.detach() * (channels / groups)).floor().long()


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
        mask: ``(B, T)``, True where valid. The last valid segment has no next one.
    """
    u = rate.float() * (x.shape[-1] / groups)
    shifted: Tensor = _AdaptiveShift.apply(x, u, mask, groups, temperature, edges == "zero")  # type: ignore[no-untyped-call]
    return shifted


class _AdaptiveShift(torch.autograd.Function):
    """Only the first 2 D / K channels can change, forward and backward: the rest is copied.

    As an autograd function it keeps two tensors for the backward pass (x and u) where the plain
    formula keeps a dozen of the size of x; ``tests/refinevad/test_motar.py`` holds it to that
    formula.
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
        s = u.floor().to(torch.int16).unsqueeze(-1)  # (B, T, 1)
        c = torch.arange(2 * n, dtype=torch.int16, device=x.device)
        past_end, future_end = s, 2 * s
        if not zero:  # A missing neighbour ends its range before it begins.
            past_end = s[:, 1:]
            if mask is not None:
                future_end = future_end * _next_is_valid(mask)
            # The outermost segments: [s, 2s) of the first, [0, s) of the last.
        out = x.clone()
        if zero:
            previous, following = _neighbours(x[..., : 2 * n], mask, zero=True)
            block = torch.where(c < future_end, following, x[..., : 2 * n])
            out[..., : 2 * n] = torch.where(c < past_end, previous, block)
            return out
        future = (c < future_end[:, :-1]) & (c >= s[:, :-1])
        view = out[:, :-1, : 2 * n]
        torch.where(future, x[:, 1:, : 2 * n], view, out=view)
        view = out[:, 1:, :n]
        torch.where(c[:n] < past_end, x[:, :-1, :n], view, out=view)
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


def _gradient_of_x(grad: Tensor, u: Tensor, mask: Tensor | None, n: int, zero: bool) -> Tensor:
    """Send each channel's gradient back to the segment it was taken from."""
    s = u.floor().to(torch.int16).unsqueeze(-1)
    c = torch.arange(2 * n, dtype=torch.int16, device=grad.device)
    past = c < s
    future = (c >= s) & (c < 2 * s)
    taken_past, taken_future = past[:, 1:], future[:, :-1]
    if mask is not None:
        taken_future = taken_future & _next_is_valid(mask)[:, :-1]
    block = grad[..., : 2 * n]
    result = grad.clone()
    own = result[..., : 2 * n]
    if zero:
        own.masked_fill_(past | future, 0)
    else:
        own[:, 1:].masked_fill_(taken_past, 0)
        own[:, :-1].masked_fill_(taken_future, 0)
    own[:, :-1] += block[:, 1:] * taken_past
    own[:, 1:] += block[:, :-1] * taken_future
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
