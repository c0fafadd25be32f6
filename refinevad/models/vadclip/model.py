"""VadCLIP: one head scores segments, another one aligns them with texts of the categories."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.lgt import LGTAdapter, QuickGELU
from refinevad.layers.mil import bag_cross_entropy, fine_grained_loss, top_k_logits, top_k_mean
from refinevad.layers.texts import add_texts, text_width
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.vadclip.config import VadCLIPConfig


class Aligned(NamedTuple):
    """The output of both heads."""

    logits: Tensor
    """``(B, T)`` of the scorer, float32."""
    likeness: Tensor
    """``(B, T, C + 1)`` cosines with the texts over the temperature, float32."""


class VadCLIP(Detector):
    """``X = LGT(stem(x))``; scorer ``Linear(X + MLP(X))``; texts ``E_c = e_c + V``, plus an MLP of
    it, with V the video's vector; ``M = cos(X, E) / temperature``."""

    Config = VadCLIPConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "alignment", "apart")
    config: VadCLIPConfig
    texts: Tensor

    def __init__(self, config: VadCLIPConfig, task: Task) -> None:
        super().__init__(config, task)
        embeddings = task.category_embeddings
        width = text_width(embeddings, config.texts, task.width)
        rows = len(task.categories) + 1
        add_texts(self, embeddings, config.texts, rows=rows, width=width)
        self.stem = nn.Identity() if width == task.width else nn.Linear(task.width, width)
        self.adapter = LGTAdapter(width, window=config.window, blocks=config.blocks)
        self.scorer_mlp = _mlp(width)
        self.scorer = nn.Linear(width, 1)
        self.residual = nn.Parameter(0.01 * torch.randn(rows, width))
        self.text_mlp = _mlp(width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        found = self._align(x, mask)
        probs = found.likeness.softmax(dim=-1)
        scores = found.logits.sigmoid() if self.config.head == "c" else 1 - probs[..., 0]
        scores = scores.clamp(0, 1)
        if mask is not None:
            scores = scores.masked_fill(~mask, 0.0)
        video = top_k_logits(found.likeness, mask).softmax(dim=-1)
        return Prediction(scores, video[:, 1:], class_probs=probs)

    def _prompts(self) -> Tensor:
        """``(C + 1, d)`` texts with their learned residuals."""
        return self.texts + self.config.prompt_scale * self.residual

    def _align(self, x: Tensor, mask: Tensor | None) -> Aligned:
        self.require_width(x)
        h = self.adapter(self.stem(x), mask)
        logits = self.scorer(h + self.scorer_mlp(h)).squeeze(-1).float()
        weights = logits.sigmoid() if self.config.pooling == "sigmoid" else logits
        if mask is not None:
            weights = weights * mask
        video = F.normalize(torch.einsum("bt,btd->bd", weights, h.float()), dim=-1)
        texts = self._prompts().unsqueeze(0) + video.unsqueeze(1)  # (B, C + 1, d)
        texts = texts + self.text_mlp(texts)
        with torch.autocast(x.device.type, enabled=False):
            unit, own = F.normalize(h.float(), dim=-1), F.normalize(texts.float(), dim=-1)
            return Aligned(
                logits, torch.einsum("btd,bcd->btc", unit, own) / self.config.temperature
            )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """BCE of the mean top-k score, cross-entropy of the mean top-k likenesses, and the mean
        absolute cosine between the normal text and the others."""
        config = self.config
        found = self._align(batch.x, None)
        with torch.autocast(batch.x.device.type, enabled=False):
            everywhere = torch.ones_like(found.logits, dtype=torch.bool)
            bce = bag_cross_entropy(top_k_mean(found.logits.sigmoid(), everywhere), batch.abnormal)
            alignment = fine_grained_loss(found.likeness, batch.labels)
            apart = apartness(self._prompts())
            loss = bce + config.w_alignment * alignment + config.w_apart * apart
        return {"loss": loss, "bce": bce, "alignment": alignment, "apart": apart}


def apartness(texts: Tensor) -> Tensor:
    """Mean absolute cosine between the first row, normal, and the others."""
    unit = F.normalize(texts.float(), dim=-1)
    return (unit[1:] @ unit[0]).abs().mean()


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), QuickGELU(), nn.Linear(4 * width, width))
