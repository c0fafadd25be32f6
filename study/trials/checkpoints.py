"""The checkpoints of a study: those of its best trials, and no others."""

from __future__ import annotations

from pathlib import Path

from refinevad.files import remove, write_whole
from study.ledger.records import TrialRecord


def checkpoint_path(folder: Path, number: int) -> Path:
    """Path of a trial's checkpoint in ``folder``, if it is kept."""
    return folder / f"trial-{number:04d}.safetensors"


class Checkpoints:
    """Keeps the ``keep`` best trials' checkpoints in ``folder``.

    A worker sends a checkpoint when its trial beats :meth:`threshold` as known at its launch.
    The threshold only rises, so every trial that is among the best at the end has sent one
    (unless ``keep`` was raised between sessions: older ones are then gone).
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self._keep = keep
        self._ranking: list[tuple[float, int]] = []  # (-objective, number): the best first
        for unfinished in folder.glob(".trial-*.part"):
            remove(unfinished)

    def threshold(self) -> float | None:
        """Smallest objective of a checkpoint that is kept now; None: none is ever kept."""
        if self._keep == 0:
            return None
        full = len(self._ranking) == self._keep
        return -self._ranking[-1][0] if full else float("-inf")

    def path(self, number: int) -> Path:
        """Path of a trial's checkpoint, if it is kept."""
        return checkpoint_path(self.folder, number)

    def save(self, number: int, content: bytes) -> None:
        """Writes a checkpoint atomically, before its trial's end is recorded in the ledger."""
        write_whole(self.path(number), content)

    def rank(self, record: TrialRecord) -> None:
        """Adds an ended trial to the ranking and removes the checkpoint that it displaces."""
        if record.objective is None or record.diverged or self._keep == 0:
            return
        self._ranking = sorted([*self._ranking, (-record.objective, record.number)])
        for _, number in self._ranking[self._keep :]:
            remove(self.path(number))
        self._ranking = self._ranking[: self._keep]
