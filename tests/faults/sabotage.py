"""Runs ``study.run`` and kills it (or sends it $SABOTAGE) at an exact moment.

    python -m tests.faults.sabotage MOMENT[:N] -- --space FILE …

patches the N-th passage (from 1, by default the first) of a moment in this process, where the
command ends itself by SIGKILL, and then runs the real command. The product has no hooks.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import refinevad.files
import study.ledger.journal
import study.ledger.writer
import study.session.session
import study.session.summary
from refinevad import cli
from study.ledger.writer import Ledger
from study.trials.checkpoints import Checkpoints

SIGNAL = signal.Signals[os.environ.get("SABOTAGE", "SIGKILL")]


def die() -> None:
    """SIGKILL, after which no line of ours runs, or what $SABOTAGE says."""
    os.kill(os.getpid(), SIGNAL)


def before(owner: Any, name: str, passage: int) -> None:
    """Dies when ``owner.name`` is called for the N-th time."""
    _patch(owner, name, passage, lambda real, *args, **kwargs: (die(), real(*args, **kwargs)))


def after(owner: Any, name: str, passage: int) -> None:
    """Dies when the N-th call of ``owner.name`` has returned."""
    _patch(owner, name, passage, lambda real, *args, **kwargs: (real(*args, **kwargs), die()))


def half_way(owner: Any, where: Callable[[int], bool], passage: int) -> None:
    """Dies in the N-th ``write_all`` of a module, with half of its bytes on the disk."""

    def half(real: Callable[[int, bytes], None], handle: int, content: bytes) -> None:
        real(handle, content[: len(content) // 2])
        die()
        real(handle, content[len(content) // 2 :])

    _patch(owner, "write_all", passage, half, lambda handle, content: where(handle))


def _patch(
    owner: Any,
    name: str,
    passage: int,
    trouble: Callable[..., Any],
    counts: Callable[..., bool] = lambda *args, **kwargs: True,
) -> None:
    real = getattr(owner, name)
    passed = 0

    def patched(*args: Any, **kwargs: Any) -> Any:
        nonlocal passed
        passed += counts(*args, **kwargs)
        if passed == passage and counts(*args, **kwargs):
            return trouble(real, *args, **kwargs)
        return real(*args, **kwargs)

    setattr(owner, name, patched)


def _writes(name: str) -> Callable[[int], bool]:
    """Whether an open file belongs to a path that contains ``name``."""
    return lambda handle: name in str(Path(f"/proc/self/fd/{handle}").readlink())


MOMENTS: dict[str, Callable[[int], None]] = {
    # a trial's way through the driver
    "asked": lambda n: after(Ledger, "begin", n),
    "result": lambda n: before(Ledger, "finish", n),
    "checkpoint": lambda n: half_way(refinevad.files, _writes(".safetensors"), n),
    "checkpoint-kept": lambda n: after(Checkpoints, "save", n),
    "recorded": lambda n: after(Ledger, "finish", n),
    "ranked": lambda n: after(Checkpoints, "rank", n),
    # the ledger's own writes: the N-th of the session
    "write": lambda n: half_way(study.ledger.journal, _writes("journal.log"), n),
    "written": lambda n: after(study.ledger.journal, "write_all", n),
    # the beginning and the end of a study
    "created": lambda n: after(study.ledger.writer.JournalStorage, "create_new_study", n),
    "study.yaml": lambda n: half_way(refinevad.files, _writes("study.yaml"), n),
    "trials.csv": lambda n: half_way(refinevad.files, _writes("trials.csv"), n),
    "summary": lambda n: before(study.session.summary, "_print_metrics", n),
    "summary-said": lambda n: after(study.session.session, "print_summary", n),
}


def main(argv: list[str]) -> int | None:
    moment, _, passage = argv[0].partition(":")
    MOMENTS[moment](int(passage or 1))
    from study.run import main as run

    return run(argv[2:])


if __name__ == "__main__":
    cli.run(main)
