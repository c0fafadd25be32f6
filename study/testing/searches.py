"""The contract that every search must pass, as a class of tests.

A test module of a new search subclasses it and says how one is made::

    class TestMine(SearchContract):
        window = 4

        @pytest.fixture
        def make(self) -> MakeSearch:
            return lambda seed: MySearch(SPACE, seed=seed, window=4)

The tests of this package run it over ``study.config.samplers.SAMPLERS``, so that a sampler with an
entry there is tested without a test being edited.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import ClassVar

from study.search.base import Search
from study.space.dimension import Params

MakeSearch = Callable[[int], Search]
"""A study's seed to its search, before the first trial."""

TRIALS = 40
SEED = 3


class SearchContract:
    """Tests that a search passes; pytest calls them with the fixture ``make``."""

    window: ClassVar[int | None] = 4
    """Trial n needs the results of trials 0 … n - window; None: no trial needs a result."""
    seeded: ClassVar[bool] = True
    """Whether the study's seed decides what is proposed."""

    def test_trials_are_numbered_in_the_order_of_asking(self, make: MakeSearch) -> None:
        search = make(SEED)
        for number in range(5):
            assert search.next_number == number
            params = search.ask()
            search.record(number, result_of(number, params))
        assert search.next_number == 5

    def test_space_seed_and_results_decide_every_trial(self, make: MakeSearch) -> None:
        first = run(make(SEED))
        random.seed(1)  # whatever the process drew
        assert run(make(SEED)) == first
        assert (run(make(SEED + 1)) != first) == self.seeded

    def test_the_order_in_which_results_come_changes_nothing(self, make: MakeSearch) -> None:
        alone = run(make(SEED))
        for order in range(3):
            assert run(make(SEED), workers=self.window or 7, order=random.Random(order)) == alone

    def test_a_trial_waits_for_exactly_the_results_of_its_window(self, make: MakeSearch) -> None:
        search = make(SEED)
        if self.window is None:
            for _ in range(TRIALS):
                assert search.ready
                search.ask()
            return
        asked = []
        for _ in range(self.window):
            assert search.ready
            asked.append(search.ask())
        for number in reversed(range(self.window)):
            assert not search.ready
            require_refusal(search.ask, RuntimeError)
            search.record(number, result_of(number, asked[number]))
        for _ in range(self.window):
            assert search.ready
            search.ask()
        assert not search.ready

    def test_results_beyond_the_window_change_nothing(self, make: MakeSearch) -> None:
        if self.window is None:
            return
        proposed = []
        for early in (None, 1e6):
            search = make(SEED)
            asked = [search.ask()]
            while len(asked) < TRIALS:
                due = len(asked) - self.window
                if due >= 0:
                    search.record(due, result_of(due, asked[due]))
                asked.append(search.ask())
            due = TRIALS - self.window
            if early is not None:
                for number in range(due + 1, TRIALS):
                    search.record(number, early)
            search.record(due, result_of(due, asked[due]))
            proposed.append(search.ask())
        assert proposed[0] == proposed[1]

    def test_a_restart_goes_on_with_the_same_trials(self, make: MakeSearch) -> None:
        whole = run(make(SEED))
        for stop in (0, 1, TRIALS // 2, TRIALS - 1):
            search = make(SEED)
            for number, params in enumerate(whole[:stop]):
                search.restore(params)
                search.record(number, result_of(number, params))
            assert run(search, begun=whole[:stop]) == whole

    def test_a_restart_may_learn_of_results_after_all_trials_and_in_any_order(
        self, make: MakeSearch
    ) -> None:
        whole = run(make(SEED))
        for order in range(3):
            search = make(SEED)
            for params in whole[:-1]:
                search.restore(params)
            assert search.next_number == TRIALS - 1
            assert search.ready == (self.window is None)
            numbers = list(range(TRIALS - 1))
            random.Random(order).shuffle(numbers)
            for number in numbers:
                search.record(number, result_of(number, whole[number]))
            assert search.ask() == whole[-1]

    def test_what_it_could_not_have_asked_is_refused_and_changes_nothing(
        self, make: MakeSearch
    ) -> None:
        search, whole = make(SEED), run(make(SEED))
        foreign: Params = {}
        require_refusal(lambda: search.restore(foreign), ValueError)
        assert run(search) == whole

    def test_nobody_can_change_what_it_knows_through_what_it_gave(self, make: MakeSearch) -> None:
        whole, search = run(make(SEED)), make(SEED)
        for number, expected in enumerate(whole):
            params = search.ask()
            assert params == expected
            value = result_of(number, params)
            params.clear()
            search.record(number, value)


def result_of(number: int, params: Params) -> float | None:
    """A value that the parameters decide; every eleventh trial fails, every fifth has a tie."""
    if number % 11 == 0:
        return None
    content = repr(sorted(params.items())).encode()
    value = int.from_bytes(hashlib.sha256(content).digest()[:4], "big") / 2**32
    return 0.5 if number % 5 == 0 else value


def run(
    search: Search,
    *,
    begun: Sequence[Params] = (),
    workers: int = 1,
    order: random.Random | None = None,
) -> list[Params]:
    """All trials of a search, on so many workers; they end in the order that ``order`` draws."""
    order = order or random.Random(0)
    asked, running = list(begun), list[int]()
    while len(asked) < TRIALS or running:
        free = len(asked) < TRIALS and len(running) < workers and search.ready
        if free and (not running or order.random() < 0.6):
            running.append(len(asked))
            asked.append(dict(search.ask()))
        else:
            number = running.pop(order.randrange(len(running)))
            search.record(number, result_of(number, asked[number]))
    return asked


def require_refusal(call: Callable[[], object], error: type[Exception]) -> None:
    """Raises AssertionError unless ``call`` raises ``error``."""
    try:
        call()
    except error:
        return
    raise AssertionError(f"accepted; a {error.__name__} was expected")
