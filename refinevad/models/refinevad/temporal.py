"""The temporal module, fused features to X^tc: the paper's MoTAR, two alternatives, or none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinevad.layers.lgt import LGTAdapter
from refinevad.layers.mtn import MTN
from refinevad.models.refinevad.config import RefineVADConfig, Temporal
from refinevad.models.refinevad.motar import MoTAR


class Unchanged(nn.Module):
    """X^tc = X: every segment stands alone."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``x (B, T, D)``."""
        return x


def temporal_module(config: RefineVADConfig) -> nn.Module:
    """The module that ``config.temporal`` names."""
    if config.temporal == "motar":
        return MoTAR(config)
    if config.temporal == "mtn":
        return MTN(config.d_model)
    return LGTAdapter(config.d_model) if config.temporal == "lgt" else Unchanged()


def temporal_modules(config: RefineVADConfig, *names: Temporal) -> dict[str, nn.Module]:
    """The named modules, by default the paper's three, with the other knobs of ``config``."""
    return {
        name: temporal_module(config.model_copy(update={"temporal": name}))
        for name in names or ("motar", "mtn", "lgt")
    }


def along_time(module: nn.Module, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """X^tc ``(B, T, D)`` and the shift s_t ``(B, T)`` int64, zero where nothing is shifted."""
    if isinstance(module, MoTAR):
        shifted: tuple[Tensor, Tensor] = module(x, mask)
        return shifted
    return module(x, mask), torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
