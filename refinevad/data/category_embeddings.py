"""Text embeddings of the categories, of a file that a user made with an encoder of their choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refinevad.config.datasets import Taxonomy, is_normal, plain_word
from refinevad.errors import InputError

Embeddings = npt.NDArray[np.float32]

_MAKE = "an .npz file with `names` (R,) of text and `embeddings` (R, D) of float32"


def read_category_embeddings(path: Path, taxonomy: Taxonomy) -> Embeddings:
    """``(C + 1, D)`` float32: rows of length 1, normal first, then the taxonomy's categories.

    A name may stand in several rows (descriptions of a category): they are normalised, averaged and
    normalised again. Names match categories without case, spaces and underscores; the normal class
    is any spelling of normal.

    Raises:
        InputError: The file cannot be read, or names and categories do not match one another, or a
            row is zero or not finite; every offender is named.
    """
    names, rows = _read(path)
    places: list[list[int]] = [[] for _ in range(len(taxonomy.categories) + 1)]
    wanted = {plain_word(word): place for place, word in enumerate(taxonomy.categories, 1)}
    wanted |= {plain_word(word): place for place, word in enumerate(taxonomy.codes, 1)}
    unknown = []
    for row, name in enumerate(names):
        place = 0 if is_normal(name) else wanted.get(plain_word(name))
        if place is None:
            unknown.append(name)
        else:
            places[place].append(row)
    problems = []
    every = ("normal", *taxonomy.categories)
    missing = [word for word, found in zip(every, places, strict=True) if not found]
    if missing:
        problems.append(f"no row for {', '.join(missing)}")
    if unknown:
        problems.append(f"no category of these data: {', '.join(dict.fromkeys(unknown))}")
    lengths = np.linalg.norm(rows, axis=1)
    bad = [names[row] for row in np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))]
    if bad:
        problems.append(f"rows that are zero or not finite: {', '.join(dict.fromkeys(bad))}")
    if problems:
        raise InputError(f"data.category_embeddings, {path}: {'; '.join(problems)}")
    unit = rows / lengths[:, None]
    means = np.stack([unit[found].mean(axis=0) for found in places])
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    if not norms.all():
        word = every[int(np.flatnonzero(norms[:, 0] == 0)[0])]
        raise InputError(f"data.category_embeddings, {path}: the rows of {word} cancel each other")
    found: Embeddings = (means / norms).astype(np.float32)
    return found


def _read(path: Path) -> tuple[list[str], npt.NDArray[np.float64]]:
    try:
        with np.load(path, allow_pickle=False) as content:
            if not {"names", "embeddings"} <= set(content.files):
                raise ValueError(f"it has {', '.join(content.files) or 'nothing'}")
            names: npt.NDArray[Any] = content["names"]
            rows: npt.NDArray[Any] = content["embeddings"]
    except Exception as error:  # numpy's reader raises anything
        raise InputError(
            f"data.category_embeddings, {path}: cannot be read ({error}); give {_MAKE}"
        ) from None
    if names.dtype.kind != "U" or names.ndim != 1 or rows.dtype.kind != "f" or rows.ndim != 2:
        raise InputError(
            f"data.category_embeddings, {path}: names are {names.dtype} {names.shape}, embeddings "
            f"{rows.dtype} {rows.shape}; give {_MAKE}"
        )
    if len(names) != len(rows) or not rows.size:
        raise InputError(
            f"data.category_embeddings, {path}: {len(names)} names, {len(rows)} embeddings"
        )
    return [str(name) for name in names], rows.astype(np.float64)
