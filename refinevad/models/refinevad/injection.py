"""How a category prototype reaches the segments: the four strategies of the paper's Table 6. [d3]

Every strategy is a module with ``forward(x (B, T, D), v (B, d_emb), mask (B, T) | None)`` and
returns ``(B, T, D)``. Padded segments never influence valid ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.dropout import Dropout
from refinevad.models.refinevad.config import RefineVADConfig


class PrototypeQuery(nn.Module):
    """The prototype asks the video: one attention output C per video, ``(B, D)``.

    ``q = W_q v``, ``k, v = W x``, heads, then ``W_o``: d_proj -> D. With a single query the
    projections of x need never be computed: ``q . (W_k x_t) = (W_k^T q) . x_t`` and
    ``sum_t a_t W_v x_t = W_v sum_t a_t x_t`` (weights that sum to one pass the bias through). The
    key has no bias: it would add the same number to every segment, which softmax ignores.
    """

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        self.heads = config.injection_heads
        self.query = nn.Linear(config.d_emb, config.d_proj)
        self.key = nn.Linear(config.d_model, config.d_proj, bias=False)
        self.value = nn.Linear(config.d_model, config.d_proj)
        self.out = nn.Linear(config.d_proj, config.d_model)

    def forward(self, x: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        batch, _, d_model = x.shape
        query = self.query(v).view(batch, self.heads, -1)  # (B, H, d)
        width = query.shape[-1]
        key = self.key.weight.view(self.heads, width, d_model)
        value = self.value.weight.view(self.heads, width, d_model)
        query = torch.einsum("bhd,hdm->bhm", query, key) / math.sqrt(width)
        logits = torch.einsum("bhm,btm->bht", query, x).float()
        if mask is not None:
            logits = logits.masked_fill(~mask.unsqueeze(1), -torch.inf)
        seen = torch.einsum("bht,btm->bhm", logits.softmax(dim=-1).to(x.dtype), x)
        answer = torch.einsum("bhm,hdm->bhd", seen, value).flatten(1) + self.value.bias
        result: Tensor = self.out(answer)
        return result


class CrossAttention(nn.Module):
    """X^ca = X^tc + C for every t (eq. 14): a calibration of the whole video."""

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        self.attention = PrototypeQuery(config)

    def forward(self, x: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        answer: Tensor = self.attention(x, v, mask)
        return x + answer.unsqueeze(1)


class LinearInjection(nn.Module):
    """X^ca = X^tc + W v (eq. 10): the prototype alone, without a look at the video."""

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        self.project = nn.Linear(config.d_emb, config.d_model)

    def forward(self, x: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        projected: Tensor = self.project(v)
        return x + projected.unsqueeze(1)


class AddNorm(nn.Module):
    """A transformer block around C (eq. 11-12): ``y = LN(X + C)``, ``X^ca = LN(y + FFN(y))``.

    The feed-forward part has the width and dropout of the temporal encoder's.
    """

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        self.attention = PrototypeQuery(config)
        self.norm_attention = nn.LayerNorm(config.d_model)
        self.feedforward = nn.Sequential(
            nn.Linear(config.d_model, config.encoder_feedforward),
            nn.ReLU(),
            Dropout(config.encoder_dropout),
            nn.Linear(config.encoder_feedforward, config.d_model),
            Dropout(config.encoder_dropout),
        )
        self.norm_feedforward = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.norm_attention(x + self.attention(x, v, mask).unsqueeze(1))  # eq. 11
        result: Tensor = self.norm_feedforward(y + self.feedforward(y))  # eq. 12
        return result


class SegmentQuery(nn.Module):
    """Each segment asks for the prototype, and may decline.

    Attention of every segment over the one prototype would be softmax over one key: always 1, the
    same for every t. So the keys are the prototype and a zero key with a zero value (torch's
    ``add_zero_attn``): a head takes ``softmax([q_t . k, 0])[0] = sigmoid(q_t . k)`` of it.
    """

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()
        self.heads = config.injection_heads
        self.query = nn.Linear(config.d_model, config.d_proj)
        self.key_value = nn.Linear(config.d_emb, 2 * config.d_proj)
        self.out = nn.Linear(config.d_proj, config.d_model)

    def forward(self, x: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        query = self.query(x).unflatten(-1, (self.heads, -1))  # (B, T, H, d)
        key, value = self.key_value(v).unflatten(-1, (2, self.heads, -1)).unbind(1)  # (B, H, d)
        logits = torch.einsum("bthd,bhd->bth", query, key) / math.sqrt(key.shape[-1])
        taken = F.sigmoid(logits).unsqueeze(-1) * value.unsqueeze(1)  # (B, T, H, d)
        result: Tensor = x + self.out(taken.flatten(2))
        return result


class NoInjection(nn.Module):
    """X^ca = X^tc: what is known of categories does not reach the scores."""

    def __init__(self, config: RefineVADConfig) -> None:
        super().__init__()

    def forward(self, x: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        return x


INJECTIONS: dict[
    str, type[CrossAttention | LinearInjection | AddNorm | SegmentQuery | NoInjection]
] = {
    "cross_attention": CrossAttention,
    "linear": LinearInjection,
    "add_norm": AddNorm,
    "segment_query": SegmentQuery,
    "none": NoInjection,
}
"""Strategy by its name in :class:`refinevad.config.RefineVADConfig`."""
