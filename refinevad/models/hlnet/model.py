"""HL-Net: graphs of likeness, nearness and equal scores; a causal head learns from the full one."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.dropout import Dropout
from refinevad.layers.lgt import likeness, nearness
from refinevad.layers.mil import fine_grained_loss, top_k_logits, top_k_mean
from refinevad.layers.mlp import xavier
from refinevad.layers.mtn import Convolution
from refinevad.models.base import Batch, Detector, Prediction, Task
from refinevad.models.hlnet.config import HLNetConfig

STEM, WIDTH, GRAPH = 512, 128, 32
KERNEL = 5
"""Of the causal head and of a graph's residual."""


class HLNet(Detector):
    """``D-512-128``; online head ``128-64-32`` and a causal convolution; three graph branches of
    two layers, side by side, and a linear map."""

    Config = HLNetConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "full", "online", "distilled", "class")
    config: HLNetConfig

    def __init__(self, config: HLNetConfig, task: Task) -> None:
        super().__init__(config, task)
        drop = Dropout(config.dropout)
        self.stem = nn.Sequential(
            nn.Linear(task.width, STEM), nn.ReLU(), drop, nn.Linear(STEM, WIDTH), nn.ReLU(), drop
        )
        self.online = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.causal = nn.Conv1d(32, 1, KERNEL)
        self.branches = nn.ModuleList(GraphBranch(config.dropout) for _ in range(3))
        self.scorer = nn.Linear(3 * GRAPH, 1)
        classes = len(task.categories) + 1
        self.classifier = nn.Linear(3 * GRAPH, classes) if config.fine_grained else None
        xavier(self, biases=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        full, online, named = self._logits(x, mask)
        scores = (full if self.config.head == "full" else online).sigmoid()
        if mask is not None:
            scores = scores.masked_fill(~mask, 0.0)
        if named is None:
            return Prediction(scores)
        video = top_k_logits(named, mask).softmax(dim=-1)
        return Prediction(scores, video[:, 1:], class_probs=named.softmax(dim=-1))

    def _logits(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits of both heads ``(B, T)`` and of the classes ``(B, T, C + 1)``, float32."""
        self.require_width(x)
        h = self.stem(x)
        within = self.online(h)
        if mask is not None:
            within = within * mask.unsqueeze(-1)
        earlier = F.pad(within.transpose(1, 2), (KERNEL - 1, 0))
        online = self.causal(earlier).squeeze(1).float()
        with torch.autocast(x.device.type, enabled=False):
            graphs = (
                likeness(x, mask, self.config.threshold),
                nearness(x, mask),
                equal_scores(online.detach().sigmoid(), mask, self.config.sharpness),
            )
        joined = torch.cat(
            [branch(h, graph, mask) for branch, graph in zip(self.branches, graphs, strict=True)],
            dim=-1,
        )
        named = None if self.classifier is None else self.classifier(joined).float()
        return self.scorer(joined).squeeze(-1).float(), online, named

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """BCE of the mean top-k logits of both heads, and ``mean(-p_full log p_online)`` with no
        gradient to p_full."""
        full, online, named = self._logits(batch.x, None)
        with torch.autocast(full.device.type, enabled=False):
            target = batch.abnormal.float()
            everywhere = torch.ones_like(full, dtype=torch.bool)
            bce = [
                F.binary_cross_entropy_with_logits(top_k_mean(logits, everywhere), target)
                for logits in (full, online)
            ]
            distilled = distillation(full, online)
            of_classes = full.new_zeros(())
            if named is not None and self.config.lambda_class:
                of_classes = fine_grained_loss(named, batch.labels)
            loss = bce[0] + bce[1] + self.config.w_online * distilled
            loss = loss + self.config.lambda_class * of_classes
        return {
            "loss": loss, "full": bce[0], "online": bce[1], "distilled": distilled,
            "class": of_classes,
        }  # fmt: skip


class GraphBranch(nn.Module):
    """Two graph layers ``128-32-32``: ``dropout(ReLU(G h W + residual))``; the first residual is a
    convolution, the second the identity."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, GRAPH, bias=False)
        self.residual = Convolution(WIDTH, GRAPH, KERNEL)
        self.second = nn.Linear(GRAPH, GRAPH, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor, graph: Tensor, mask: Tensor | None) -> Tensor:
        """``h (B, T, 128)``, ``graph (B, T, T)`` with row t for what t receives."""
        weights = graph.to(h.dtype)
        y = self.dropout(F.relu(weights @ self.first(h) + self.residual(h, mask)))
        found: Tensor = self.dropout(F.relu(weights @ self.second(y) + y))
        return found


def equal_scores(p: Tensor, mask: Tensor | None, sharpness: float) -> Tensor:
    """``(B, T, T)``: softmax over s of ``sigmoid((.5 - |p_t - p_s|) / sharpness)``."""
    edges = edge(p.unsqueeze(2) - p.unsqueeze(1), sharpness)
    if mask is not None:
        edges = edges.masked_fill(~mask.unsqueeze(1), -torch.inf)
    return edges.softmax(dim=-1)


def edge(gap: Tensor, sharpness: float) -> Tensor:
    """Weight between two segments whose scores differ by ``gap``, before the softmax."""
    return ((0.5 - gap.abs()) / sharpness).sigmoid()


def distillation(full: Tensor, online: Tensor) -> Tensor:
    """``mean(-p_full log p_online)`` of logits; no gradient runs to the full head."""
    return -(full.detach().sigmoid() * F.logsigmoid(online)).mean()
