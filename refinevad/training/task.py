"""The task that a packed store gives a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from refinevad.models.base import Task

if TYPE_CHECKING:
    from refinevad.data.store import Store


def task_of(store: Store, categories: tuple[str, ...] | None = None) -> Task:
    """Widths, categories and their text embeddings.

    Args:
        store: Packed data.
        categories: Those of another data set, which these data have no embeddings of; None: the
            store's own.
    """
    if categories is not None and categories != store.categories:
        return Task(store.widths, categories)
    found = store.category_embeddings
    embeddings = None if found is None else torch.from_numpy(found)
    return Task(store.widths, store.categories, embeddings)
