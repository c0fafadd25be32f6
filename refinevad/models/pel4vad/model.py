"""PEL4VAD: one similarity read globally and in a window; pooled segments are aligned with texts."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.dropout import Dropout
from refinevad.layers.mil import bag_cross_entropy, top_k_mean
from refinevad.layers.texts import add_texts, text_width
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.pel4vad.config import PEL4VADConfig

ATTENTION, HIDDEN = 128, 300
SHARPNESS = 10.0
"""Of the weights of foreground and background, and of the targets of the alignment."""


class PEL4VAD(Detector):
    """``h = dropout(GELU(Linear(LN(x + W z))))`` to the width d of the texts, z the context;
    ``d-300``, GELU, dropout, a causal convolution, sigmoid."""

    Config = PEL4VADConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "bce", "kl")
    config: PEL4VADConfig
    texts: Tensor

    def __init__(self, config: PEL4VADConfig, task: Task) -> None:
        super().__init__(config, task)
        embeddings = task.category_embeddings
        width = text_width(embeddings, config.texts, task.width)
        rows = len(task.categories) + 1
        add_texts(self, embeddings, config.texts, rows=rows, width=width)
        self.query = nn.Linear(task.width, ATTENTION)
        self.key = nn.Linear(task.width, ATTENTION)
        self.value = nn.Linear(task.width, ATTENTION)
        self.distance = nn.Parameter(torch.tensor([0.6, 0.2]))
        """w and b of ``exp(-|w d^2 - b|)``."""
        self.balance = nn.Parameter(torch.zeros(()))
        self.out = nn.Linear(ATTENTION, task.width)
        self.norm = nn.LayerNorm(task.width)
        self.project = nn.Linear(task.width, width)
        self.hidden = nn.Linear(width, HIDDEN)
        self.causal = nn.Conv1d(HIDDEN, 1, config.kernel)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / config.temperature)))
        self.dropout = Dropout(config.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        _, scores = self._score(x, mask)
        return Prediction(scores if mask is None else scores.masked_fill(~mask, 0.0))

    def _score(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, d)`` and scores ``(B, T)``, float32."""
        self.require_width(x)
        joined = self.norm(x + self.out(self._context(x, mask)))
        h = self.dropout(F.gelu(self.project(joined)))
        within = self.dropout(F.gelu(self.hidden(h)))
        if mask is not None:
            within = within * mask.unsqueeze(-1)
        earlier = F.pad(within.transpose(1, 2), (self.config.kernel - 1, 0))
        scores: Tensor = self.causal(earlier).squeeze(1).float().sigmoid()
        return h, scores

    def _context(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, 128)``: what a segment reads of all segments, and of those in its window."""
        value = self.value(x)
        with torch.autocast(x.device.type, enabled=False):
            alike = self.query(x.float()) @ self.key(x.float()).transpose(1, 2) / ATTENTION**0.5
            time = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
            apart = (time[:, None] - time[None, :]).abs()
            w, b = self.distance.unbind()
            alike = alike + (-(w * apart.square() - b).abs()).exp()
            if mask is not None:
                alike = alike.masked_fill(~mask.unsqueeze(1), -torch.inf)
            near = apart <= self.config.window // 2
            if mask is not None:  # a row of padding sees itself, so that it is finite
                near = near & mask.unsqueeze(1) | (apart == 0)
                alike_near = torch.where(mask.unsqueeze(1), alike, 0.0)
            else:
                alike_near = alike
            local = alike_near.masked_fill(~near, -torch.inf).softmax(dim=-1)
            share = self.balance.sigmoid()
            weights = share * alike.softmax(dim=-1) + (1 - share) * local
            z = weights @ value.float()
            if self.config.power_norm:
                z = z.sign() * (z.abs() + 1e-6).sqrt()
                if self.config.norm_axis == "time" and mask is not None:
                    z = z * mask.unsqueeze(-1)
                z = F.normalize(z, dim=-1 if self.config.norm_axis == "features" else 1)
        context: Tensor = z.to(value.dtype)
        return context

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """BCE of a normal video's largest and an abnormal one's mean top-k score, and the alignment
        of pooled segments with texts."""
        h, scores = self._score(batch.x, None)
        with torch.autocast(scores.device.type, enabled=False):
            everywhere = torch.ones_like(scores, dtype=torch.bool)
            video = torch.where(batch.abnormal, top_k_mean(scores, everywhere), scores.amax(dim=1))
            bce = bag_cross_entropy(video, batch.abnormal)
            pools, labels = pooled(h.float(), scores, batch.labels)
            unit = F.normalize(pools, dim=-1)
            texts = F.normalize(texts_of(self.texts.float(), labels), dim=-1)
            kl = alignment(self.log_scale.exp() * (unit @ texts.T), labels)
            loss = bce + self.config.w_kl * kl
        return {"loss": loss, "bce": bce, "kl": kl}


def pooled(h: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What is aligned: the foreground of every video and the background of abnormal ones.

    Args:
        h: ``(B, T, d)``.
        scores: ``(B, T)`` in [0, 1].
        labels: ``(B, C)`` bool.

    Returns:
        ``(R, d)`` pooled features, and ``(R, C + 1)`` bool, the texts of each, normal first.
    """
    abnormal = labels.any(dim=1)
    front = _weighted(h, (SHARPNESS * scores).exp() - 1)
    back = _weighted(h, (SHARPNESS * (1 - scores)).exp() - 1)[abnormal]
    own = torch.cat([~abnormal.unsqueeze(1), labels], dim=1)
    normal = torch.zeros_like(own[abnormal])
    normal[:, 0] = True
    return torch.cat([front, back]), torch.cat([own, normal])


def _weighted(h: Tensor, weights: Tensor) -> Tensor:
    share = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return torch.einsum("bt,btd->bd", share, h)


def texts_of(texts: Tensor, labels: Tensor) -> Tensor:
    """``(R, d)``: the mean text of each row's labels ``(R, C + 1)``."""
    share = labels.float()
    return share / share.sum(dim=1, keepdim=True) @ texts


def alignment(logits: Tensor, labels: Tensor) -> Tensor:
    """Divergence of ``softmax(logits)`` ``(R, R)`` from the softmax of 10 where two rows have the
    same labels, mean over rows."""
    same = (labels.unsqueeze(1) == labels.unsqueeze(0)).all(dim=-1)
    target = (SHARPNESS * same.float()).softmax(dim=-1)
    return F.kl_div(logits.log_softmax(dim=-1), target, reduction="batchmean")
