"""MTN, the multi-scale temporal network of RTFM (arXiv 2101.10030).

Written from the paper. Three dilated convolutions see neighbours at three distances, a non-local
block sees the whole video, and a convolution joins them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinevad.layers.batch_norm import BatchNorm

DILATIONS = (1, 2, 4)


class Convolution(nn.Module):
    """A convolution over time of ``(B, T, in) -> (B, T, out)``; padded segments read as zero."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=bias
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            x = x * mask.unsqueeze(-1)
        y: Tensor = self.convolution(x.transpose(1, 2))
        return y.transpose(1, 2)


class NonLocal(nn.Module):
    """Every segment adds what all segments have for it; the affinity is a mean, not a softmax.

    The last normalisation starts at zero, so that the block starts as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.theta = nn.Linear(width, inner)
        self.phi = nn.Linear(width, inner)
        self.g = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)
        self.norm = BatchNorm(width, scale=0.0)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``(B, T, width)`` to the same shape."""
        affinity = torch.einsum("bti,bsi->bts", self.theta(x), self.phi(x)).float()
        if mask is None:
            affinity = affinity / x.shape[1]
        else:
            count = mask.sum(dim=1).clamp(min=1)
            affinity = affinity * mask.unsqueeze(1) / count[:, None, None]
        seen = torch.einsum("bts,bsi->bti", affinity.to(x.dtype), self.g(x).to(x.dtype))
        result: Tensor = x + self.norm(self.out(seen), mask)
        return result


class MTN(nn.Module):
    """``(B, T, D) -> (B, T, D)``; 3,321,888 parameters at D = 768."""

    def __init__(self, width: int) -> None:
        super().__init__()
        part = max(1, width // 4)
        self.local = nn.ModuleList(
            Convolution(width, part, 3, dilation=dilation) for dilation in DILATIONS
        )
        self.norms = nn.ModuleList(BatchNorm(part) for _ in DILATIONS)
        self.reduce = nn.Linear(width, part, bias=False)
        self.whole = NonLocal(part)
        self.join = Convolution(4 * part, width, 3, bias=False)
        self.norm = BatchNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``x (B, T, D)``, ``mask (B, T)`` to ``(B, T, D)``."""
        parts = [
            norm(F.relu(convolve(x, mask)), mask)
            for convolve, norm in zip(self.local, self.norms, strict=True)
        ]
        parts.append(self.whole(F.relu(self.reduce(x)), mask))
        joined = F.relu(self.join(torch.cat(parts, dim=-1), mask))
        result: Tensor = x + self.norm(joined, mask)
        return result
