"""The Gaussian process against its formulas, and what is said of what it leaves unexplained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from study.analysis.estimate import Estimate
from study.analysis.forest import Design, Sample
from study.analysis.gaussian import GaussianProcess, _Likelihood
from study.analysis.importance import Importance, importance
from study.analysis.kernel import Features, Lengths, correlation, distances
from study.analysis.ped_anova import LEAST_TRIALS, apart
from study.analysis.sentences import best_tenth, finding
from study.analysis.surrogate import gaussian_shares, surrogate_fit, widened
from study.space.encoding import Floats
from tests.support.families import FAMILIES, study_of, truth
from tests.support.known_functions import ENCODER, SPACE

RNG = np.random.default_rng(0)
X = RNG.random((40, 4))
WIDTHS = (1, 2, 1)  # a choice without order has two columns
Y = np.sin(6 * X[:, 0]) + X[:, 1] + 0.05 * RNG.standard_normal(40)


def slow_correlation(a: Floats, b: Floats, lengths: Floats) -> float:
    spread = [lengths[0], lengths[1], lengths[1], lengths[2]]
    r = np.sqrt(sum(((x - y) / scale) ** 2 for x, y, scale in zip(a, b, spread, strict=True)))
    return float((1 + 5**0.5 * r + 5 * r**2 / 3) * np.exp(-(5**0.5) * r))


def test_the_kernel_equals_its_formula() -> None:
    lengths = np.array([0.5, 2.0, 0.1])
    found = correlation(X[:5], X[5:9], Lengths(lengths, WIDTHS))
    slow = [[slow_correlation(a, b, lengths) for b in X[5:9]] for a in X[:5]]
    assert found == pytest.approx(np.array(slow), abs=1e-12)
    assert distances(X, WIDTHS)[1, 3, 4] == pytest.approx(((X[3, 1:3] - X[4, 1:3]) ** 2).sum())


def test_random_functions_have_the_covariance_of_the_kernel() -> None:
    lengths = Lengths(np.array([0.7, 1.5, 0.4]), WIDTHS)
    features = Features(lengths, 4, count=4000, functions=4000, rng=np.random.default_rng(1))
    values = features.at(X[:6])
    assert np.cov(values, bias=True) == pytest.approx(correlation(X[:6], X[:6], lengths), abs=0.08)


def test_the_gradient_of_the_likelihood_equals_differences() -> None:
    likelihood = _Likelihood(X, (Y - Y.mean()) / Y.std(), WIDTHS)
    at = np.array([0.1, -0.5, 0.8, 0.2, -2.0])
    _, gradient = likelihood.value(at)
    for i in range(len(at)):
        step = np.eye(len(at))[i] * 1e-5
        slope = (likelihood.value(at + step)[0] - likelihood.value(at - step)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_the_likelihood_is_that_of_a_normal_distribution() -> None:
    """Beside its priors, which are normal too."""
    y = (Y - Y.mean()) / Y.std()
    at = np.array([0.5, 0.5, 0.5, 0.0, -1.0])
    k = correlation(X, X, Lengths(np.exp(at[:3]), WIDTHS)) + (np.exp(-1.0) + 1e-8) * np.eye(40)
    own = 0.5 * y @ np.linalg.solve(k, y) + 0.5 * np.linalg.slogdet(k)[1]
    assert _Likelihood(X, y, WIDTHS).value(at)[0] == pytest.approx(own)  # at the priors' means


def test_predictions_of_a_fold_equal_those_of_a_process_without_it() -> None:
    process = GaussianProcess(X, Y, WIDTHS, np.random.default_rng(0))
    folds = [np.array([0, 7, 9]), np.array([3])]
    lengths = Lengths(process.parameters.lengths, WIDTHS)
    y = (Y - Y.mean()) / Y.std()
    expected = []
    for rows in folds:
        rest = np.setdiff1d(np.arange(40), rows)
        k = process.parameters.signal * correlation(X, X, lengths)
        noise = (process.parameters.noise + 1e-8) * np.eye(len(rest))
        solved = np.linalg.solve(k[np.ix_(rest, rest)] + noise, y[rest])
        expected.append(k[np.ix_(rows, rest)] @ solved)
    found = process.held_out(folds)
    assert found == pytest.approx(np.concatenate(expected) * Y.std() + Y.mean(), abs=1e-6)


def test_draws_have_the_posterior_s_mean_and_spread() -> None:
    process = GaussianProcess(X, Y, WIDTHS, np.random.default_rng(0))
    process._spread = np.zeros_like(process._spread)  # the kernel as it is
    points = RNG.random((5, 4))
    drawn = process.draws(points, kernels=8, functions=250, seed=np.random.SeedSequence(1))
    p = process.parameters
    lengths = Lengths(p.lengths, WIDTHS)
    k = p.signal * correlation(X, X, lengths) + (p.noise + 1e-8) * np.eye(40)
    near = p.signal * correlation(points, X, lengths)
    y = (Y - Y.mean()) / Y.std()
    mean = near @ np.linalg.solve(k, y) * Y.std() + Y.mean()
    variance = p.signal - np.einsum("ij,ji->i", near, np.linalg.solve(k, near.T))
    sd = np.sqrt(variance) * Y.std()
    assert np.all(np.abs(drawn.mean(axis=1) - mean) < 0.15 * sd + 1e-3)
    assert drawn.std(axis=1) == pytest.approx(sd, rel=0.25)


@pytest.fixture(scope="module")
def ridge() -> Importance:
    records = study_of("ridge", trials=140, space_filling=120, seed=3)
    return importance(records, SPACE, space_filling=120, seed=3, bootstraps=8)


def test_the_better_model_is_chosen_and_its_intervals_hold_the_truth(ridge: Importance) -> None:
    assert ridge.fit.model == "Gaussian process"
    for parameter in ridge.parameters:
        share = truth("ridge")[parameter.name]
        estimate = parameter.shares["permutation"]
        assert estimate.low <= share <= estimate.high or share < 0.02
        assert not (share == 0 and parameter.above_noise)
        assert not (share > 0.05 and parameter.negligible)


def test_the_answer_does_not_depend_on_the_number_of_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = study_of("ridge", trials=60, space_filling=60, seed=1)
    sample = Sample(
        ENCODER.encode([r.params for r in records]),
        np.array([r.objective for r in records], dtype=float),
        np.ones(60, dtype=bool),
    )
    design = Design(ENCODER, points=64, seed=1)

    def shares() -> Floats:
        _, process = surrogate_fit(ENCODER, sample, np.random.SeedSequence(3), lambda: None)
        assert process is not None
        seed = np.random.SeedSequence(4)
        return gaussian_shares(process, design, seed, kernels=4, functions=3)

    two = shares()
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    assert np.array_equal(shares(), two)


def test_what_is_unexplained_could_be_anybody_s() -> None:
    assert widened(Estimate(0.3, 0.2, 0.4), 0.0) == Estimate(0.3, 0.2, 0.4)
    wide = widened(Estimate(0.3, 0.2, 0.4), 0.5)
    assert (wide.low, wide.high) == pytest.approx((0.1, 0.7))
    assert widened(Estimate(0.3, 0.2, 0.4), 1.0) == Estimate(0.3, 0.0, 1.0)


def test_noise_is_only_said_of_what_the_unexplained_share_cannot_hold(ridge: Importance) -> None:
    """R² is 0.9: a tenth of the variance could be anybody's."""
    assert 0.05 < ridge.fit.unexplained < 0.3
    assert not any(p.negligible for p in ridge.parameters)
    assert "Not decided: " in finding(ridge)
    sure = [
        replace(p, shares=p.shares | {"permutation": Estimate(0.01, 0.0, 0.04)}, above_noise=False)
        for p in ridge.parameters[2:]
    ]
    assert all(p.negligible for p in sure)
    text = finding(replace(ridge, parameters=[*ridge.parameters[:2], *sure]))
    assert "have less than 5% each" in text
    assert "Not decided" not in text


def test_the_best_tenth_is_compared_on_space_filling_trials_alone(ridge: Importance) -> None:
    """TPE's trials cluster in every hyperparameter, also in those without effect."""
    records = study_of("floor", trials=300, space_filling=120, seed=1)
    even = np.array([r.number < 120 for r in records])
    sample = Sample(
        ENCODER.encode([r.params for r in records]),
        np.array([r.objective for r in records], dtype=float),
        even,
    )
    named = apart(ENCODER, sample, np.random.default_rng(0))
    assert named is not None
    assert set(named) <= {"lr", "lambda_cat", "lambda_reg"}
    assert "lr" in named
    few = sample.take(np.arange(LEAST_TRIALS - 1))
    assert apart(ENCODER, few, np.random.default_rng(0)) is None
    assert "differs from the others in a and b (" in best_tenth(replace(ridge, apart=["a", "b"]))
    assert "does not differ" in best_tenth(replace(ridge, apart=[]))
    assert f"fewer than {LEAST_TRIALS}" in best_tenth(replace(ridge, apart=None))


@pytest.mark.slow
def test_noise_is_said_to_separate_the_best_tenth_in_one_study_of_twenty() -> None:
    """Within what 200 studies allow: the 99.9% bound of a binomial of 5%."""
    studies, named = 200, 0
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        codes = ENCODER.at(rng.random((120, len(ENCODER.names))))
        sample = Sample(codes, rng.standard_normal(120), np.ones(120, dtype=bool))
        named += bool(apart(ENCODER, sample, rng))
    assert named / studies <= 0.05 + norm.ppf(0.999) * (0.05 * 0.95 / studies) ** 0.5


@pytest.mark.slow
def test_intervals_cover_over_all_families() -> None:
    covered = present = 0
    for family in FAMILIES:
        for seed in range(2):
            records = study_of(family, trials=300, space_filling=120, seed=seed)
            floor = FAMILIES[family].floor or 0.0
            records = [r for r in records if (r.objective or 0.0) >= floor]
            found = importance(records, SPACE, space_filling=120, seed=seed)
            for parameter in found.parameters:
                share, estimate = truth(family)[parameter.name], parameter.shares["permutation"]
                if share > 0.005:
                    present += 1
                    covered += estimate.low <= share <= estimate.high
                assert not (share > 0.05 and parameter.negligible), (family, seed)
                assert not (share == 0 and parameter.above_noise), (family, seed)
    assert covered >= 0.9 * present
