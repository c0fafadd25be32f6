"""Main effects and interactions of a forest, against averages over the whole grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.analysis.forest import Design, Forest, Sample, columns
from study.analysis.marginals import Marginals
from study.space.encoding import Encoder

SPACE: dict[str, BaseDistribution] = {
    "a": CategoricalDistribution([1, 2, 8]),
    "b": CategoricalDistribution(["x", "y", "z"]),
    "c": IntDistribution(1, 4, log=True),
}


def forest_of(encoder: Encoder, seed: int = 0) -> Forest:
    rng = np.random.default_rng(seed)
    codes = encoder.at(rng.random((80, len(encoder.scales))))
    value = codes[:, 0] * (codes[:, 1] == 1) + 0.5 * codes[:, 2] + 0.1 * rng.standard_normal(80)
    return Forest(encoder, Sample(codes, value, np.ones(80, dtype=bool)), trees=20, rng=rng)


def test_effects_are_the_averages_over_the_grid() -> None:
    encoder = Encoder(SPACE)
    forest = forest_of(encoder)
    effects = Marginals(encoder).effects(forest.trees)
    cells = [scale.codes(scale.values or []) for scale in encoder.scales]
    weights = [scale.cells()[1] for scale in encoder.scales]
    probes = (np.arange(500) + 0.5) / 500
    grid = np.array(list(itertools.product(*cells)))
    mass = np.prod(list(itertools.product(*weights)), axis=1)
    rows = np.hstack([np.repeat(grid, 500, axis=0), np.tile(probes, len(grid))[:, None]])
    predicted = forest.trees.predict(columns(encoder.scales, rows)).reshape(-1, 500).mean(axis=1)
    for i, scale in enumerate(encoder.scales):
        for k, code in enumerate(cells[i]):
            there = grid[:, i] == code
            expected = np.average(predicted[there], weights=mass[there])
            assert effects.main[i][k] == pytest.approx(expected, abs=2e-3), scale.name
    for i, j in itertools.combinations(range(3), 2):
        for (k, one), (m, other) in itertools.product(enumerate(cells[i]), enumerate(cells[j])):
            there = (grid[:, i] == one) & (grid[:, j] == other)
            expected = np.average(predicted[there], weights=mass[there])
            assert effects.pairs[i, j][k, m] == pytest.approx(expected, abs=2e-3)
    strongest = max(effects.pair_variance, key=lambda pair: effects.pair_variance[pair])
    assert strongest == (0, 1)


def test_measures_are_those_that_the_search_draws_from() -> None:
    scale = Encoder({"c": IntDistribution(1, 20, log=True)}).scales[0]
    _, measure = scale.cells()
    drawn = scale.at((np.arange(100_000) + 0.5) / 100_000)
    codes = scale.codes(scale.values or [])
    counted = [(np.isclose(drawn, code)).mean() for code in codes]
    assert measure == pytest.approx(counted, abs=1e-4)


def test_permutation_is_the_total_effect_over_the_space() -> None:
    """A slow loop: each row's column drawn anew by hand."""
    space = {"a": SPACE["a"], "lr": FloatDistribution(1e-5, 1e-1, log=True)}
    encoder = Encoder(space)
    rng = np.random.default_rng(1)
    codes = encoder.at(rng.random((100, 2)))
    sample = Sample(codes, codes[:, 0] + 2 * codes[:, 1], np.ones(100, dtype=bool))
    forest = Forest(encoder, sample, trees=10, rng=rng)
    shares, variance = forest.permutation(Design(encoder, points=4096, seed=2))
    base = np.hstack([encoder.at(rng.random((4096, 2))), rng.random((4096, 1))])
    effects = []
    for i in range(3):
        again = base.copy()
        again[:, i] = np.hstack([encoder.at(rng.random((4096, 2))), rng.random((4096, 1))])[:, i]
        change = forest.trees.predict(again) - forest.trees.predict(base)
        effects.append((change**2).mean() / 2)
    assert shares[:2] == pytest.approx(np.array(effects[:2]) / sum(effects[:2]), abs=0.02)
    assert variance == pytest.approx(forest.trees.predict(base).var(), rel=0.05)


def test_a_value_and_its_code() -> None:
    lr = Encoder({"lr": FloatDistribution(1e-4, 1e-2, log=True)}).scales[0]
    assert lr.code(1e-3) == pytest.approx(0.5)
    ordered = Encoder({"d": CategoricalDistribution([256, 64, 128])}).scales[0]
    assert [ordered.code(v) for v in (64, 128, 256)] == [0.0, 0.5, 1.0]
    words = Encoder({"w": CategoricalDistribution([64, "auto", None, True])}).scales[0]
    assert [words.code(v) for v in (64, "auto", None, True)] == [0, 1, 2, 3]
    assert words.columns == 4
