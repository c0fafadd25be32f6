"""Work on all cores, with results in order: the same answer with any number of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")


def on_all_cores(work: Callable[[T], R], items: Sequence[T], done: Callable[[], None]) -> list[R]:
    """Results of ``work`` on every item, in order; trees are grown without Python's lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1
    found = []
    with threadpool_limits(1), _without_false_alarms():  # else a thread starts as many again
        for result in Parallel(cores, prefer="threads", return_as="generator")(
            delayed(work)(item) for item in items
        ):
            found.append(result)
            done()
    return found


@contextmanager
def _without_false_alarms() -> Iterator[None]:
    """Drops one warning of scikit-learn, and restores the filters of warnings.

    Its forests empty Python's filters for a moment, which all threads share; one that looks then
    takes an empty list for a wrong use of its own functions, and warns. A filter cannot stop that.
    """
    with warnings.catch_warnings():  # keeps what is shown as well as the filters
        show = warnings.showwarning

        def show_others(message: Warning | str, *rest: Any, **named: Any) -> None:
            if "sklearn.utils.parallel.delayed" not in str(message):
                show(message, *rest, **named)

        warnings.showwarning = show_others
        yield
