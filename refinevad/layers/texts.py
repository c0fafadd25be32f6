"""Category texts, for detectors that align segments with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinevad.config.detector import NO_TEXTS
from refinevad.errors import InputError


def text_width(embeddings: Tensor | None, texts: str, width: int) -> int:
    """Width of the space that segments and texts meet in: that of the embeddings; of learned texts
    that of the features.

    Raises:
        InputError: There are no embeddings, and texts are not learned.
    """
    if texts == "learned":
        return width
    if embeddings is None:
        raise InputError(NO_TEXTS)
    return embeddings.shape[1]


def add_texts(
    module: nn.Module, embeddings: Tensor | None, texts: str, *, rows: int, width: int
) -> None:
    """Gives a module ``texts (C + 1, width)``, normal first: a buffer, or learned rows that start
    from N(0, 1 / width)."""
    if texts == "learned":
        module.register_parameter("texts", nn.Parameter(torch.randn(rows, width) * width**-0.5))
    else:
        assert embeddings is not None
        module.register_buffer("texts", embeddings.detach().clone().float())
