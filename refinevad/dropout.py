"""Dropout that a CPU does not wait for.

torch draws one Bernoulli number per element with its scalar generator: a quarter of a training
step of this model on one core. Here one 64-bit draw serves two or four elements, and the mask is
applied to their bits. The probability is exact to 2^-15.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BITS = {2: torch.int16, 4: torch.int32}


class FastDropout(nn.Module):
    """``nn.Dropout``; on other devices than the CPU it is that.

    Args:
        p: Probability of a zero.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu" or x.element_size() not in _BITS:
            return F.dropout(x, self.p)
        result: Tensor = _Dropout.apply(x, self.p)  # type: ignore[no-untyped-call]
        return result


def use_fast_dropout(module: nn.Module) -> None:
    """Puts ``FastDropout`` in the place of every ``nn.Dropout`` inside ``module``."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, FastDropout(child.p))
        else:
            use_fast_dropout(child)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        mask = _keep_mask(x, p)
        ctx.save_for_backward(mask)
        ctx.scale = 1 / (1 - p)
        return _apply(x, mask, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _apply(gradients[0], mask, ctx.scale), None


def _keep_mask(x: Tensor, p: float) -> Tensor:
    """Integers as wide as x's elements: all bits set with probability 1 - p, else none."""
    kind = _BITS[x.element_size()]
    per_draw = 8 // x.element_size()
    draws = torch.empty(-(-x.numel() // per_draw), dtype=torch.int64).random_(-(2**63), None)
    mask = draws.view(kind)[: x.numel()].view(x.shape)
    width = 8 * x.element_size()
    # Uniform in [-2^(w-2), 2^(w-2)), so that the difference cannot overflow; then its sign bit.
    lowest_kept = round((p - 0.5) * 2 ** (width - 1))
    mask.bitwise_right_shift_(1).neg_().add_(lowest_kept - 1)
    return mask.bitwise_right_shift_(width - 1)


def _apply(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    return x.contiguous().view(mask.dtype).bitwise_and(mask).view(x.dtype).mul_(scale)
