"""The perturbed top-k: which k values are the largest, as a differentiable expectation.

Berthet et al., *Learning with differentiable perturbed optimizers*, NeurIPS 2020. Memory is that of
the draws, ``(B, draws, T)``: no one-hot matrix of k rows is made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def perturbed_top_k(values: Tensor, k: int, *, draws: int, noise: float) -> Tensor:
    """Probability that each value is among the k largest under Gaussian perturbations.

    Args:
        values: ``(B, T)``.
        k: How many.
        draws: Number of perturbations.
        noise: Their standard deviation.

    Returns:
        ``(B, T)``; each row sums to k. Its gradient is that of the expectation, by the same draws.
    """
    batch, length = values.shape
    epsilon = torch.randn(batch, draws, length, device=values.device, dtype=torch.float32)
    apply: Any = _Expectation.apply
    result: Tensor = apply(values.float(), k, epsilon, noise)
    return result


class _Expectation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, k: int, epsilon: Tensor, noise: float) -> Tensor:
        perturbed = values.unsqueeze(1) + noise * epsilon
        chosen = torch.zeros_like(perturbed).scatter_(2, perturbed.topk(k, dim=2).indices, 1.0)
        ctx.save_for_backward(chosen, epsilon)
        ctx.noise = noise
        return chosen.mean(dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """The Jacobian is ``E[chosen_t epsilon_u] / noise``; it is never formed."""
        chosen, epsilon = ctx.saved_tensors
        along = torch.einsum("bnt,bt->bn", chosen, gradients[0])
        gradient = torch.einsum("bn,bnu->bu", along, epsilon) / (epsilon.shape[1] * ctx.noise)
        return gradient, None, None, None


def hard_top_k(values: Tensor, mask: Tensor, share: float) -> Tensor:
    """``(B, T)``: 1 for the largest values of each video, as many as ``share`` of its valid ones,
    rounded down, at least one; else 0."""
    counts = count_of(mask.sum(dim=1), share)
    order = values.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    return ((rank < counts.unsqueeze(1)) & mask).to(values.dtype)


def count_of(length: Tensor, share: float) -> Tensor:
    """Segments of ``share`` of a video: rounded down, at least one."""
    return (length * share + 1e-6).floor().long().clamp(min=1)
