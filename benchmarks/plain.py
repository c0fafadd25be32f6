"""RefineVAD as one would first write it: float32, a loop for the shift, torch's stock layers.

The other side of the comparisons: same widths, same losses, no trick of ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def loop_shift(x: Tensor, rate: Tensor, groups: int) -> Tensor:
    """Eq. 2-3 as they are written: segment by segment."""
    size = (rate * x.shape[-1] / groups).floor().long()
    out = x.clone()
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            s = int(size[b, t])
            if t > 0:
                out[b, t, :s] = x[b, t - 1, :s]
            if t < x.shape[1] - 1:
                out[b, t, s : 2 * s] = x[b, t + 1, s : 2 * s]
    return out


class PlainRefineVAD(nn.Module):
    """The same method as ``refinevad.models.refinevad.model.RefineVAD``, in the obvious way."""

    def __init__(self, d_in: int, d: int, categories: int, d_proj: int = 256, d_emb: int = 256):
        super().__init__()
        self.groups = 8
        self.fuse = nn.Linear(d_in, d)
        self.norm = nn.LayerNorm(d)
        self.rate = nn.Sequential(
            nn.Linear(d, 32), nn.GELU(), nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 1)
        )
        layer = nn.TransformerEncoderLayer(d, 4, 2048, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.linears = nn.ModuleList([nn.Linear(d, 512), nn.Linear(512, 128), nn.Linear(128, 1)])
        self.norms = nn.ModuleList(
            nn.ModuleList([nn.BatchNorm1d(512), nn.BatchNorm1d(128)]) for _ in range(2)
        )
        self.category = nn.Sequential(
            nn.Linear(d, d_proj), nn.ReLU(), nn.Dropout(0.1), nn.Linear(d_proj, 2 * categories)
        )
        self.prototypes = nn.Parameter(torch.randn(categories, d_emb) * 0.02)
        self.query = nn.Linear(d_emb, d_proj)
        self.key = nn.Linear(d, d_proj)
        self.attention = nn.MultiheadAttention(d_proj, 4, batch_first=True)
        self.out = nn.Linear(d_proj, d)
        self.gaussians = nn.Linear(d + d_emb, 2 * categories)

    def shift(self, x: Tensor) -> Tensor:
        delta = x[:, 1:] - x[:, :-1]
        delta = torch.cat([delta[:, :1], delta], dim=1)
        v = (delta - delta.mean(-1, keepdim=True)) ** 2
        rate = torch.sigmoid(self.rate(self.norm(v))).squeeze(-1)
        return loop_shift(x, rate, self.groups)

    def score(self, x: Tensor, which: int) -> Tensor:
        b, t, _ = x.shape
        h = x.flatten(0, 1)
        for linear, norm in zip(self.linears[:2], self.norms[which], strict=True):
            h = F.dropout(F.relu(norm(linear(h))), 0.6, self.training)
        return self.linears[2](h).view(b, t)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.encoder(self.shift(self.fuse(x)))
        rough = self.score(x, 0)
        pooled = (rough.softmax(1).unsqueeze(-1) * x).sum(1)
        z = self.category(pooled).view(len(x), -1, 2)
        weights = z[..., 1].softmax(-1)
        v = weights @ self.prototypes
        key = self.key(x)
        injected, _ = self.attention(self.query(v).unsqueeze(1), key, key)
        x = x + self.out(injected)
        scores = self.score(x, 1).sigmoid()
        both = torch.cat([x, v.unsqueeze(1).expand(-1, x.shape[1], -1)], -1)
        mu, sigma = self.gaussians(both).mean(1).chunk(2, -1)
        tau = (torch.arange(x.shape[1], device=x.device) + 0.5) / x.shape[1]
        spread = 2 * (F.softplus(sigma) + 1e-6).unsqueeze(-1) ** 2
        bumps = torch.exp(-0.7 * (tau - mu.sigmoid().unsqueeze(-1)) ** 2 / spread)
        mixture = (weights.unsqueeze(-1) * bumps).sum(1)
        return scores, z, mixture


def plain_loss(output: tuple[Tensor, Tensor, Tensor], labels: Tensor) -> Tensor:
    """Hinge of all pairs, category, mixture and regularising terms."""
    scores, z, mixture = output
    abnormal = labels.any(1)
    top = scores.topk(scores.shape[1] // 16 + 1, dim=1).values.mean(1)
    mil = F.relu(1 - top[abnormal][:, None] + top[~abnormal][None]).mean()
    targets = torch.stack([~labels, labels], -1).float()
    category = F.binary_cross_entropy_with_logits(z, targets)
    gmm = ((scores - mixture)[abnormal] ** 2).mean()
    smooth = ((scores[abnormal, 1:] - scores[abnormal, :-1]) ** 2).sum(1).mean()
    return mil + 0.5 * category + 0.1 * gmm + 8e-5 * (smooth + scores[abnormal].sum(1).mean())
