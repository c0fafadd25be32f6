"""The time limit of an attempt: it counts computing, so that a busy machine changes no result.

An attempt may use the limit in processor time of each of its threads. One that computes nothing
(it hangs) uses none, and is ended once it has made no progress for ``STALLED`` times as long on the
wall clock.
"""

from __future__ import annotations

import faulthandler
import math
import resource
import time

STALLED = 10
"""Limits on the wall clock without progress, after which an attempt is said to hang."""
_OWN = resource.getrlimit(resource.RLIMIT_CPU)[0]
"""The limit that the process began with (``ulimit -t``), which is never raised."""


class TimeLimit:
    """Counts the processor time of an attempt, from now on.

    Args:
        seconds: The limit; None: there is none.
        threads: Threads that the attempt computes with.
    """

    def __init__(self, seconds: float | None, threads: int) -> None:
        self.seconds = seconds
        self._threads = threads
        self._begun = time.process_time()

    @property
    def reached(self) -> bool:
        """Whether the attempt has used its time."""
        used = (time.process_time() - self._begun) / self._threads
        return self.seconds is not None and used >= self.seconds

    def enforce(self) -> None:
        """From now on the process ends when the time is used: the kernel counts it and sends
        SIGXCPU, which a hang in native code cannot hold up."""
        if self.seconds is None:
            return
        _no_core_file()
        soft = math.ceil(self._begun + self.seconds * self._threads) + 1
        if _OWN == resource.RLIM_INFINITY or soft < _OWN:
            hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        self.progressed()

    def progressed(self) -> None:
        """The attempt has made progress: it does not hang."""
        if self.seconds is not None:
            # Ends the process from a thread of C, which a hang in native code cannot hold up.
            faulthandler.dump_traceback_later(STALLED * self.seconds, exit=True)

    @staticmethod
    def lift() -> None:
        """The process may compute as long as it likes again."""
        faulthandler.cancel_dump_traceback_later()
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (_OWN, hard))


def _no_core_file() -> None:
    """SIGXCPU would leave the memory of the process in a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
