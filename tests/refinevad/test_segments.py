from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from refinevad.data.segments import borders, expand, pool

Array = npt.NDArray[Any]
LENGTHS = (1, 2, 5, 31, 32, 33, 63, 64, 100, 257, 6749)


def slow_pool(x: Array, segments: int) -> Array:
    """RTFM's process_feat, in float64."""
    r = [int(v) for v in np.linspace(0, len(x), segments + 1)]
    rows = []
    for i in range(segments):
        rows.append(x[r[i]] if r[i] == r[i + 1] else x[r[i] : r[i + 1]].mean(axis=0))
    return np.array(rows)


def slow_expand(scores: Array, n: int) -> Array:
    r = [int(v) for v in np.linspace(0, n, len(scores) + 1)]
    under: list[list[float]] = [[] for _ in range(n)]
    for i, score in enumerate(scores):
        for snippet in range(r[i], max(r[i + 1], r[i] + 1)):
            under[snippet].append(float(score))
    return np.array([np.mean(covering) for covering in under])


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("segments", [2, 32, 200])
def test_pool_and_expand_equal_the_slow_loops(n: int, segments: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, 3))
    np.testing.assert_allclose(pool(x, segments), slow_pool(x, segments), atol=2e-6)
    scores = rng.random(segments)
    np.testing.assert_allclose(expand(scores, n), slow_expand(scores, n), rtol=1e-6)


def test_pooling_by_hand() -> None:
    x = np.array([[0.0], [2.0], [4.0], [6.0], [8.0]])
    # borders 0, 2, 5: means of rows 0-1 and 2-4
    assert pool(x, 2).tolist() == [[1.0], [6.0]]
    # five rows in eight segments: borders 0 0 1 1 2 3 3 4 5; an empty segment takes its first row
    assert pool(x, 8).ravel().tolist() == [0.0, 0.0, 2.0, 2.0, 4.0, 6.0, 6.0, 8.0]


def test_expanding_by_hand() -> None:
    # two snippets, three segments: borders 0 0 1 2, so snippet 0 lies under segments 0 and 1
    assert expand(np.array([0.0, 1.0, 5.0]), 2).tolist() == [0.5, 5.0]


def test_pooling_an_already_pooled_video_changes_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((32, 384)).astype(np.float16)
    assert np.array_equal(pool(x, 32).astype(np.float16), x)


@pytest.mark.parametrize("n", [n for n in LENGTHS if n >= 32])
def test_expanding_a_pooled_score_keeps_what_is_constant_per_segment(n: int) -> None:
    scores = np.arange(32, dtype=np.float32)
    snippets = expand(scores, n)
    assert np.array_equal(pool(snippets[:, None], 32)[:, 0], scores)


def test_crops_are_pooled_alike() -> None:
    x = np.random.default_rng(1).standard_normal((70, 10, 4)).astype(np.float32)
    pooled = pool(x, 32)
    assert pooled.shape == (32, 10, 4)
    assert pooled.dtype == np.float32
    np.testing.assert_array_equal(pooled[:, 3], pool(x[:, 3], 32))


def test_every_row_of_a_long_video_is_in_exactly_one_segment() -> None:
    edges = borders(1000, 32)
    assert edges[0] == 0
    assert edges[-1] == 1000
    assert (np.diff(edges) > 0).all()
