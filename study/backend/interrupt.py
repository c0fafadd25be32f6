"""Ctrl-C, SIGTERM, a closed terminal: the first stops a study cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

LONGEST_STOP = 20.0
"""Seconds after which a study that was asked to stop is ended at once."""


class Interrupt:
    """The user's request to stop, made by a signal.

    Args:
        notice: Tells the user that the study is stopping.
        exits: True: the second signal, or a stop that takes too long, ends this process. False: the
            second signal raises KeyboardInterrupt, as a notebook expects.
    """

    def __init__(self, notice: Callable[[str], None], *, exits: bool = True) -> None:
        self.requested = False
        self._notice = notice
        self._exits = exits
        self._last: threading.Timer | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.requested and not self._exits:
            raise KeyboardInterrupt
        if self.requested:
            _end()
        self.requested = True
        if self._exits:
            # Ray's processes may be gone: a closing terminal and a service manager tell them too.
            self._last = threading.Timer(LONGEST_STOP, _end)
            self._last.daemon = True
            self._last.start()
        with suppress(RuntimeError):  # it came in the middle of a line that is being printed
            self._notice("Stopping … (press Ctrl-C again to stop at once)")

    def stopped(self) -> None:
        """Cancels the time limit: Ray has ended, and the seal and MLflow may take longer."""
        if self._last is not None:
            self._last.cancel()

    @contextmanager
    def installed(self) -> Iterator[Interrupt]:
        """Handles SIGINT, SIGTERM and SIGHUP while the block runs; under `nohup`, which ignores
        SIGHUP, a study outlives its terminal."""
        if threading.current_thread() is not threading.main_thread():
            yield self  # only the main thread can handle signals
            return
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signals.append(signal.SIGHUP)
        before = {s: signal.signal(s, self) for s in signals}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _end() -> None:
    """Ends the process at once, whatever locks are held: the ledger is durable at every moment."""
    cursor = b"\x1b[?25h" if os.isatty(2) else b""
    with suppress(OSError):
        text = b"Stopped. Finished trials are saved. To resume, run the same command again.\n"
        os.write(2, cursor + text)
    os._exit(130)
