"""CORE: category-oriented refinement (eq. 4-14 of the paper).

A video is softly assigned to categories, the categories' prototypes are mixed by that assignment,
and the mixture is injected into the segments.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from refinevad.layers.dropout import Dropout
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.injection import INJECTIONS

NORMAL, ANOMALOUS = 0, 1
"""The two outputs of a category's logits, in this order."""

INITIAL_MARGIN = -1.0
"""z^a - z^n at initialisation: p_c is about 0.27. At 0 every p_c would sit on the threshold, and
the set of eq. 6 would change at random with every step of early training."""


def pooling_weights(rough_logits: Tensor, mask: Tensor | None, kind: str) -> Tensor:
    """``(B, T)`` weights over valid segments that sum to one. [c2]

    ``softmax`` of the rough logits, or their ``sigmoid`` divided by its sum.
    """
    if kind == "softmax":
        if mask is not None:
            rough_logits = rough_logits.masked_fill(~mask, -torch.inf)
        return rough_logits.softmax(dim=1)
    scores = rough_logits.sigmoid()
    if mask is not None:
        scores = scores * mask
    return scores / scores.sum(dim=1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)


def category_weights(
    category_logits: Tensor, threshold: float, kind: str = "soft"
) -> tuple[Tensor, Tensor]:
    """p_c and w_c, each ``(B, C)``, from z ``(B, C, 2)``: eq. 5-6. [d1, d5]

    ``p_c = softmax(z_c)[a] = sigmoid(z_c^a - z_c^n)``. If no p_c reaches the threshold, all
    categories weigh 1/C; otherwise the weights are softmax of z^a over *all* categories (``soft``),
    or 1 for the most probable category alone (``hard``), with the gradient of the softmax.
    """
    anomalous = category_logits[..., ANOMALOUS]
    probs = (anomalous - category_logits[..., NORMAL]).sigmoid()
    some = (probs >= threshold).any(dim=1, keepdim=True)
    uniform = 1.0 / anomalous.shape[1]
    weights = anomalous.softmax(dim=1)
    if kind == "hard":
        one = torch.zeros_like(weights).scatter(1, probs.argmax(dim=1, keepdim=True), 1.0)
        weights = one + weights - weights.detach()
    return probs, torch.where(some, weights, uniform)


def paired_labels(labels: Tensor) -> Tensor:
    """Labels ``(B, C)`` in which every normal video takes those of an abnormal one. [d2]

    The n-th normal video takes the n-th abnormal one's, and the first again after the last. A
    batch without abnormal videos stays as it is.
    """
    abnormal = labels.any(dim=1)
    of_abnormal = labels[abnormal]
    if not len(of_abnormal):
        return labels
    order = torch.arange(int((~abnormal).sum()), device=labels.device) % len(of_abnormal)
    paired = labels.clone()
    paired[~abnormal] = of_abnormal[order]
    return paired


class CategoryClassifier(nn.Module):
    """z ``(B, C, 2)`` from the segments, pooled by their rough scores."""

    def __init__(self, config: RefineVADConfig, n_categories: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.hidden = nn.Linear(config.d_model, config.d_proj)
        self.dropout = Dropout(config.category_dropout)
        self.head = nn.Linear(config.d_proj, 2 * n_categories)
        with torch.no_grad():
            bias = self.head.bias.view(n_categories, 2)
            bias[:, NORMAL] = -INITIAL_MARGIN / 2
            bias[:, ANOMALOUS] = INITIAL_MARGIN / 2

    def forward(self, x: Tensor, rough_logits: Tensor, mask: Tensor | None) -> Tensor:
        weights = pooling_weights(rough_logits, mask, self.pooling)
        pooled = torch.einsum("bt,btm->bm", weights.to(x.dtype), x)
        z: Tensor = self.head(self.dropout(self.hidden(pooled).relu()))
        return z.float().view(len(x), -1, 2)


class Prototypes(nn.Module):
    """A learnt vector e_c per category."""

    def __init__(self, n_categories: int, d_emb: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(n_categories, d_emb))

    def mixed(self, weights: Tensor) -> Tensor:
        """sum_c w_c e_c: ``(B, C) -> (B, d_emb)``."""
        return weights @ self.vectors

    def of_labels(self, labels: Tensor) -> Tensor:
        """e_y: the mean prototype of a video's labels ``(B, C)``; zero for a normal video. [d2]"""
        y = labels.to(self.vectors.dtype)
        return self.mixed(y / y.sum(dim=1, keepdim=True).clamp(min=1))


class GaussianHead(nn.Module):
    """mu_c in (0, 1) and sigma_c > 0, in units of the video's length, ``(B, C)`` each. [f]

    A linear head on ``[x_t^ca ; v]``, averaged over valid t and then squashed. The average of a
    linear map is the map of the average, so it is applied once per video.
    """

    def __init__(self, config: RefineVADConfig, n_categories: int) -> None:
        super().__init__()
        self.head = nn.Linear(config.d_model + config.d_emb, 2 * n_categories)

    def forward(self, x: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        if mask is None:
            mean = x.mean(dim=1)
        else:
            weight = mask.to(x.dtype)
            mean = torch.einsum("bt,btm->bm", weight, x) / weight.sum(dim=1, keepdim=True)
        mu, sigma = self.head(torch.cat([mean, v.to(mean.dtype)], dim=-1)).float().chunk(2, dim=-1)
        return mu.sigmoid(), nn.functional.softplus(sigma) + 1e-6


class Refined(NamedTuple):
    """The output of CORE; shapes as in :class:`refinevad.models.refinevad.output.Output`."""

    x_ca: Tensor
    category_logits: Tensor
    category_probs: Tensor
    category_weights: Tensor
    mu: Tensor
    sigma: Tensor


class CORE(nn.Module):
    """Classify, mix the prototypes, inject."""

    def __init__(self, config: RefineVADConfig, n_categories: int) -> None:
        super().__init__()
        self.threshold = config.threshold
        self.weights = config.category_weights
        self.label_prototype = config.label_prototype
        self.classifier = CategoryClassifier(config, n_categories)
        self.prototypes = Prototypes(n_categories, config.d_emb)
        self.injection = INJECTIONS[config.injection](config)
        self.gaussians = GaussianHead(config, n_categories)
        self.frozen = False

    def freeze_categories(self) -> None:
        """Keep what was learnt about categories on another data set (the paper's Table 4).

        Category head and prototypes get no gradient, and the head stays in evaluation mode: its
        dropout would make a fixed classifier waver. Labels then have no index here: the caller
        passes none and sets ``lambda_cat = 0``. The injection and the Gaussian head still train.
        """
        self.frozen = True
        self.classifier.requires_grad_(False)
        self.prototypes.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.classifier.eval()
        return self

    def forward(
        self,
        x: Tensor,
        rough_logits: Tensor,
        mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Refined:
        """Args: ``x (B, T, D)``, ``rough_logits`` and ``mask (B, T)``, ``labels (B, C)``."""
        z = self.classifier(x, rough_logits, mask)
        probs, weights = category_weights(z, self.threshold, self.weights)
        v = self.prototypes.mixed(weights)  # (B, d_emb)
        if self.training and self.label_prototype and labels is not None:
            if self.label_prototype == "paired":
                labels = paired_labels(labels)
            v = v + self.prototypes.of_labels(labels)
        x_ca = self.injection(x, v, mask)
        mu, sigma = self.gaussians(x_ca, v, mask)
        return Refined(x_ca, z, probs, weights, mu, sigma)
