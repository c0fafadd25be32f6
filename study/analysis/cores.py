"""Work on all cores, with results in order: the same answer with any number of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")


def on_all_cores(work: Callable[[T], R], items: Sequence[T], done: Callable[[], None]) -> list[R]:
    """Results of ``work`` on every item, in order; trees are grown without Python's lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1
    found = []
    with threadpool_limits(1), warnings.catch_warnings():  # else a thread starts as many again
        # scikit-learn's forests warn where another thread has just changed the warnings' filters.
        warnings.filterwarnings("ignore", message=".*sklearn.utils.parallel.delayed")
        for result in Parallel(cores, prefer="threads", return_as="generator")(
            delayed(work)(item) for item in items
        ):
            found.append(result)
            done()
    return found
