"""Everything that a forward pass of RefineVAD computes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Output:
    """The output of a forward pass. B videos, T segments, C categories, D channels."""

    logits: Tensor
    """``(B, T)`` final anomaly logits, float32."""
    scores: Tensor
    """``(B, T)`` their sigmoid; 0 where padded."""
    rough_logits: Tensor
    """``(B, T)`` logits before CORE: the weights of its pooling."""
    category_logits: Tensor
    """z ``(B, C, 2)``: ``[..., 0]`` normal, ``[..., 1]`` anomalous."""
    category_probs: Tensor
    """p_c ``(B, C)``."""
    category_weights: Tensor
    """w_c ``(B, C)``, eq. 6; sums to one."""
    x_tc: Tensor
    """X^tc ``(B, T, D)``, the temporal module's output."""
    x_ca: Tensor
    """X^ca ``(B, T, D)``, CORE's output."""
    mu: Tensor
    """``(B, C)`` centres of the Gaussians, as a share of the video's length."""
    sigma: Tensor
    """``(B, C)`` their widths, likewise."""
    shift: Tensor
    """s_t ``(B, T)`` int64: channels taken from each neighbour; 0 where padded."""
    mask: Tensor
    """``(B, T)`` bool: valid segments."""
