"""The categories of one RefineVAD in another: what `frozen_core` starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinevad.errors import InputError

if TYPE_CHECKING:
    from refinevad.models import RefineVAD


_SHARED = ("d_model", "d_proj", "d_emb")
"""What shapes the category head and the prototypes."""


def take_categories(model: RefineVAD, source: RefineVAD) -> None:
    """Puts the category head and the prototypes of ``source`` into ``model``, and freezes them.

    ``model`` must have been built for the categories of ``source``; train it with
    ``lambda_cat = 0`` and without labels.

    Raises:
        InputError: The two have different widths.
    """
    for name in _SHARED:
        ours, theirs = getattr(model.config, name), getattr(source.config, name)
        if ours != theirs:
            raise InputError(
                f"the checkpoint whose categories are taken has {name} = {theirs}, this model "
                f"{ours}; give both the same"
            )
    model.core.classifier.load_state_dict(source.core.classifier.state_dict())
    model.core.prototypes.load_state_dict(source.core.prototypes.state_dict())
    model.core.freeze_categories()
