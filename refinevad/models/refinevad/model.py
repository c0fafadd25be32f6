"""The assembled model: fuse -> MoTAR -> rough scores -> CORE -> final scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refinevad.errors import InputError
from refinevad.models.refinevad.config import ModelConfig
from refinevad.models.refinevad.core import CORE
from refinevad.models.refinevad.scorer import SnippetScorer
from refinevad.models.refinevad.temporal import along_time, temporal_module


@dataclass(frozen=True)
class Output:
    """What a forward pass computes. B videos, T segments, C categories, D channels."""

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


class RefineVAD(nn.Module):
    """RefineVAD of arXiv 2511.13204 with the decisions of ``docs/paper.md``.

    Args:
        config: every knob.
        widths: feature width of each modality (``visual``, ``text``), in the order in which the
            input concatenates them.
        n_categories: C.

    Raises:
        InputError: ``config.fusion`` names a modality that the data set does not have.
    """

    def __init__(self, config: ModelConfig, widths: Mapping[str, int], n_categories: int) -> None:
        super().__init__()
        self.config = config
        self.width = sum(widths.values())
        self.channels = _channels(config.fusion, widths)
        self.fuse = nn.Linear(len(range(self.width)[self.channels]), config.d_model)
        self.motar = temporal_module(config)  # whatever it is: the name is that of the weights
        self.scorer = SnippetScorer(config)
        self.core = CORE(config, n_categories)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, labels: Tensor | None = None
    ) -> Output:
        """Score every segment.

        Args:
            x: features ``(B, T, sum of widths)``, float.
            mask: ``(B, T)`` bool, True where valid; at least one a video. None: everywhere.
            labels: ``(B, C)`` bool, the categories of each video, none for a normal one. Used in
                training mode only, for e_y.

        Raises:
            InputError: the features have another width than the model was built for.
        """
        if x.shape[-1] != self.width:
            raise InputError(
                f"features are {x.shape[-1]} wide, but the model was built for {self.width}: "
                "use the features it was trained on"
            )
        x_tc, shift = along_time(self.motar, self.fuse(x[..., self.channels]), mask)
        rough_logits = self.scorer(x_tc, "rough", mask)
        refined = self.core(x_tc, rough_logits, mask, labels)
        logits = self.scorer(refined.x_ca, "final", mask)
        scores = logits.sigmoid()
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        else:
            scores = scores.masked_fill(~mask, 0.0)
            shift = shift.masked_fill(~mask, 0)
        return Output(
            logits=logits,
            scores=scores,
            rough_logits=rough_logits,
            x_tc=x_tc,
            shift=shift,
            mask=mask,
            **refined._asdict(),
        )


def _channels(fusion: str, widths: Mapping[str, int]) -> slice:
    """Where the modalities that the model sees lie in its input. [a1]"""
    if fusion == "concat":
        return slice(0, sum(widths.values()))
    if fusion not in widths:
        raise InputError(
            f"model.fusion is '{fusion}', but the data set only has {', '.join(widths)}: "
            "choose another fusion or add that modality under data"
        )
    before = 0
    for name, width in widths.items():
        if name == fusion:
            break
        before += width
    return slice(before, before + widths[fusion])
