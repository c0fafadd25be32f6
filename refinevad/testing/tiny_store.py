"""A packed store small enough to train in a second: made in memory, no files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from refinevad.config.section import SNIPPET_FRAMES

CATEGORIES = ("Abuse", "Arson", "Fighting")
WIDTHS = {"visual": 8, "text": 4}


def embeddings() -> Any:
    """(C + 1, 8) float32 rows of length 1."""
    rows = np.random.default_rng(98).normal(size=(len(CATEGORIES) + 1, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def tiny_store(seed: int = 0, *, crops: int = 2, segments: int = 8, videos: int = 32) -> Any:
    """Half the videos abnormal, one category each, with a run of shifted segments.

    Test videos have 3 to 40 snippets, so some are shorter than ``segments``.
    """
    rng = np.random.default_rng(seed)
    width = sum(WIDTHS.values())
    directions = np.random.default_rng(99).normal(size=(len(CATEGORIES), width)) * 1.2

    def video(n: int, category: int | None) -> tuple[Any, Any]:
        features = rng.normal(size=(n, crops, width))
        truth = np.zeros(n, dtype=np.uint8)
        if category is not None:
            start, length = int(rng.integers(0, max(1, n // 2))), max(1, n // 3)
            features[start : start + length] += directions[category]
            truth[start : start + length] = 16
        return features.astype(np.float16), truth

    def labels(count: int) -> Any:
        result = np.zeros((count, len(CATEGORIES)), dtype=bool)
        result[np.arange(count // 2), np.arange(count // 2) % len(CATEGORIES)] = True
        return result

    def kinds(table: Any) -> list[int | None]:
        return [int(row.argmax()) if row.any() else None for row in table]

    train_labels, test_labels = labels(videos), labels(12)
    train = [video(segments, kind)[0].swapaxes(0, 1) for kind in kinds(train_labels)]
    lengths = rng.integers(3, 40, size=12)
    test = [video(int(n), kind) for n, kind in zip(lengths, kinds(test_labels), strict=True)]
    from refinevad.data import pool

    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pooled = [pool(features, segments).swapaxes(0, 1) for features, _ in test]
    return SimpleNamespace(
        categories=CATEGORIES,
        widths=dict(WIDTHS),
        category_embeddings=embeddings(),
        fingerprint=f"tiny-{seed}",
        synthetic=True,
        train=SimpleNamespace(labels=train_labels, features=np.stack(train), groups=()),
        test=SimpleNamespace(
            snippet_frames=SNIPPET_FRAMES,
            names=[f"video{i}" for i in range(12)],
            labels=test_labels,
            offsets=offsets,
            lengths=lengths,
            features=np.concatenate([features for features, _ in test]),
            segments=np.stack(pooled).astype(np.float16),
            truth=np.concatenate([truth for _, truth in test]),
        ),
    )
