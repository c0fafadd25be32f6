"""The four losses and their sum.

``L = L_MIL + lambda_cat L_cat + lambda_gmm L_GMM + lambda_reg L_reg``. A video is abnormal if it
has a label; the order of videos in a batch carries no meaning. Everything is computed in float32,
and a term of weight zero is not computed (it reads 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from refinevad.layers.mil import bag_cross_entropy, mil_loss, regulariser, top_k_mean
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.core import ANOMALOUS, NORMAL
from refinevad.models.refinevad.output import Output


@dataclass(frozen=True)
class Losses:
    """Scalars. ``total`` is weighted and carries the gradient; the terms are unweighted."""

    total: Tensor
    mil: Tensor
    cat: Tensor
    gmm: Tensor
    reg: Tensor


def training_loss(
    output: Output, labels: Tensor, config: RefineVADConfig, class_weights: Tensor | None = None
) -> Losses:
    """The training loss of a batch.

    Args:
        output: of the model in training mode.
        labels: ``(B, C)`` bool; no label: a normal video. Where categories are frozen
            (``lambda_cat = 0``), C may be another number than the model's.
        config: weights and margins.
        class_weights: ``(C,)``, see :func:`category_loss`.
    """
    abnormal = labels.any(dim=1)
    scores, mask = output.scores, output.mask
    zero = scores.new_zeros(())
    with torch.autocast(scores.device.type, enabled=False):
        video = top_k_mean(scores, mask, config.mil_top_k)
        mil = video_loss(video, abnormal, config)
        cat = gmm = reg = zero
        if config.lambda_cat:
            cat = category_loss(
                output.category_logits, labels, class_weights, config.category_outputs
            )
        if config.lambda_gmm:
            if config.gmm == "mixture":
                target = mixture(output, config.gmm_beta)
            else:
                target = moments(scores, mask, config.gmm_beta)
            gmm = gmm_loss(scores, target, mask, abnormal)
        if config.lambda_reg:
            reg = regulariser(scores, mask, abnormal)
        total = mil + config.lambda_cat * cat + config.lambda_gmm * gmm + config.lambda_reg * reg
    return Losses(total=total, mil=mil, cat=cat, gmm=gmm, reg=reg)


def video_loss(video: Tensor, abnormal: Tensor, config: RefineVADConfig) -> Tensor:
    """L_MIL of video scores ``(B,)``: the hinge over all pairs, or binary cross-entropy. [e]"""
    if config.mil_loss == "bce":
        return bag_cross_entropy(video, abnormal, config.label_smoothing)
    return mil_loss(video, abnormal, config.mil_margin)


def category_loss(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None, outputs: str = "sum"
) -> Tensor:
    """L_cat: sum over categories of the two outputs' BCE, mean over videos. [d4]

    The targets of ``(normal, anomalous)`` are ``(1 - y, y)``.

    Args:
        logits: z ``(B, C, 2)``.
        labels: ``(B, C)`` bool.
        class_weights: ``(C,)``, multiplies a category's loss on the videos that have it, as
            torch's ``pos_weight``: negatives / positives makes both sides weigh the same.
            Weighting its negatives too would leave the imbalance as it is.
        outputs: ``sum`` adds the two cross-entropies of a category, ``mean`` averages them.
    """
    y = labels.float()
    targets = torch.empty_like(logits)
    targets[..., NORMAL] = 1 - y
    targets[..., ANOMALOUS] = y
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    bce = bce.sum(dim=-1) if outputs == "sum" else bce.mean(dim=-1)
    if class_weights is not None:
        bce = bce * torch.where(labels, class_weights, 1.0)
    return bce.sum(dim=1).mean()


def balanced_class_weights(labels: Tensor, kind: str = "balanced") -> Tensor:
    """``(C,)`` negatives / positives of ``(N, C)`` labels; 1 for a category without a video.

    ``sqrt_balanced`` takes the square root of that.
    """
    positives = labels.sum(0).float()
    ratio = torch.where(positives > 0, (len(labels) - positives) / positives.clamp(min=1), 1.0)
    return ratio.sqrt() if kind == "sqrt_balanced" else ratio


def mixture(output: Output, beta: float) -> Tensor:
    """s_gmm ``(B, T)``: sum_c w_c exp(-beta (tau_t - mu_c)^2 / (2 sigma_c^2)). [f]

    After LEC-VAD (arXiv 2506.13095). ``tau_t = (t + 0.5) / T`` of the valid T.
    """
    distance = _time(output.mask).unsqueeze(-1) - output.mu.unsqueeze(1)  # (B, T, C)
    gaussians = (-beta * distance.square() / (2 * output.sigma.square().unsqueeze(1))).exp()
    return torch.einsum("btc,bc->bt", gaussians, output.category_weights)


def moments(scores: Tensor, mask: Tensor, beta: float) -> Tensor:
    """s_gmm ``(B, T)``: one Gaussian with the mean and deviation of the scores over time. [f]

    The moments are a target, hence without gradient.
    """
    tau = _time(mask)
    weight = torch.where(mask, scores.detach(), 0.0)
    weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
    mu = (weight * tau).sum(dim=1, keepdim=True)
    squares = (tau - mu).square()
    variance = (weight * squares).sum(dim=1, keepdim=True) + 1e-6
    return (-beta * squares / (2 * variance)).exp()


def _time(mask: Tensor) -> Tensor:
    """tau_t ``(B, T)``: the middle of each segment as a share of the video."""
    t = torch.arange(mask.shape[1], device=mask.device, dtype=torch.float32) + 0.5
    return t / mask.sum(dim=1, keepdim=True)


def gmm_loss(scores: Tensor, target: Tensor, mask: Tensor, abnormal: Tensor) -> Tensor:
    """L_GMM: mean over the valid segments of abnormal videos of ``(s_t - s_gmm)^2``."""
    counted = mask & abnormal.unsqueeze(1)
    squares = torch.where(counted, (scores - target).square(), 0.0)
    return squares.sum() / counted.sum().clamp(min=1)
