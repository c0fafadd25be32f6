"""K-fold splits of the training videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from refinevad.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Split = tuple[NDArray[np.int64], NDArray[np.int64]]


def k_folds(
    labels: NDArray[np.bool_], folds: int, seed: int, groups: Sequence[Any] | None = None
) -> list[Split]:
    """Splits the training videos so that each is held out once, by scikit-learn's stratified folds.

    A video of several categories counts for its rarest one; normal videos are a stratum of their
    own. The only video of a category is never held out, so that every category can be learnt.

    Args:
        labels: (N, C) bool.
        folds: Number of folds, 2 or more.
        seed: Decides which video is in which fold.
        groups: (N,) group of each video; a group is in one fold. None or empty: no groups.

    Returns:
        For each fold the indices of the training and of the held-out videos, ascending.

    Raises:
        InputError: There are fewer videos of a kind, or groups, than folds, or a fold would hold
            out videos of one kind only.
    """
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    abnormal: NDArray[np.bool_] = np.asarray(labels.any(axis=1))
    grouped = groups is not None and len(groups) > 0
    kinds = {"abnormal": int(abnormal.sum()), "normal": int((~abnormal).sum())}
    if grouped:
        kinds = {"groups of": len(set(np.asarray(groups).tolist()))}
    for kind, count in kinds.items():
        if count < folds:
            raise InputError(
                f"objective.folds is {folds}, but there are only {count} {kind} training videos; "
                f"give {count} folds or fewer, or fold_kind: repeated"
            )
    counts = labels.sum(axis=0)
    rarest = np.where(labels, counts, len(labels) + 1).argmin(axis=1)
    stratum = np.where(abnormal, rarest, labels.shape[1])
    if grouped:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    else:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():  # a category of fewer videos than folds is no mistake here
        warnings.simplefilter("ignore", UserWarning)
        parts = list(splitter.split(np.zeros(len(labels)), stratum, groups if grouped else None))
    found: list[Split] = []
    for _, part in parts:
        held = np.zeros(len(labels), dtype=bool)
        held[part] = True
        # A category that training would not have at all keeps its videos there.
        lost = np.asarray(labels.any(axis=0)) & ~np.asarray(labels[~held].any(axis=0))
        held &= ~np.asarray(labels[:, lost].any(axis=1))
        if not (abnormal[held].any() and (~abnormal[held]).any()):
            raise InputError(
                f"objective.folds is {folds}, and one of the folds would hold out no "
                f"{'normal' if abnormal[held].any() else 'abnormal'} video; give fewer folds, or "
                "fold_kind: repeated"
            )
        found.append((np.flatnonzero(~held), np.flatnonzero(held)))
    return found
