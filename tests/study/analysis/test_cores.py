"""Work on all cores: in order, and without warnings that are none of the user's."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.utils.parallel import delayed

from study.analysis.cores import on_all_cores

X = np.random.default_rng(0).random((40, 3))


def forest(seed: int) -> float:
    found = RandomForestRegressor(5, random_state=seed).fit(X, X[:, 0]).predict(X[:1])
    return float(found[0])


def test_results_are_in_order_and_what_is_done_is_counted() -> None:
    counted: list[int] = []
    assert on_all_cores(lambda n: n * n, range(20), lambda: counted.append(1)) == [
        n * n for n in range(20)
    ]
    assert len(counted) == 20


def test_forests_in_threads_warn_of_nothing_and_leave_the_filters_as_they_were() -> None:
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        one = on_all_cores(forest, range(300), lambda: None)
    assert [str(w.message) for w in seen] == []
    assert one[:3] == [forest(seed) for seed in range(3)]
    assert list(warnings.filters) == before


def test_filters_that_another_thread_has_emptied_let_no_false_alarm_out() -> None:
    def with_emptied_filters(number: int) -> int:
        warnings.resetwarnings()  # as scikit-learn does in every thread
        wrapped, arguments, _ = delayed(abs)(-number)
        return int(wrapped(*arguments))

    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        assert on_all_cores(with_emptied_filters, range(8), lambda: None) == list(range(8))
    assert [str(w.message) for w in seen] == []
    assert list(warnings.filters) == before


def test_other_warnings_are_still_shown() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        on_all_cores(lambda n: warnings.warn("of the work", stacklevel=1), [1], lambda: None)
    assert [str(w.message) for w in seen] == ["of the work"]
