"""The reports of a training run: one record per epoch, one result per run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from refinevad.config.section import SNIPPET_FRAMES

if TYPE_CHECKING:
    from torch import Tensor

    from refinevad.config.detector import DetectorConfig
    from refinevad.data.store import Store
    from refinevad.run_config import Config


@dataclass(frozen=True)
class EpochRecord:
    """One epoch."""

    epoch: int
    """1-based."""
    objective: float
    """0.0 where the run diverged."""
    metrics: dict[str, float]
    """Finite values only: ``train/loss``, ``train/mil``, … (unweighted parts, means over steps),
    ``val/ap``, ``val/auc`` or ``test/…``, ``shift/s_mean``, ``shift/s_span``, ``lr``."""
    seconds: float
    """Wall time, evaluation included."""


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    state: Literal["complete", "pruned"]
    diverged: bool
    """A loss or a score was NaN or infinite: the objective is then 0.0."""
    objective: float
    """What ``objective.epoch`` makes of the epochs' values; by default the best of them."""
    selected_epoch: int
    """Epoch of the kept weights, 1-based, the earliest of equally good ones; 0 where the run
    diverged."""
    last_objective: float
    curve: list[EpochRecord]
    selected: dict[str, float]
    """The selected epoch's metrics, ``test/…`` and ``floor/…`` included; empty if diverged."""
    last: dict[str, float]
    """The last epoch's metrics, likewise."""
    model_state: dict[str, Tensor] | None
    """Weights of the selected epoch, on the CPU; None if diverged."""
    hardware: dict[str, str]
    """Device, processor or GPU, precision, threads, torch's version."""
    selection: str
    """Checkpoint selection: ``validation``, or ``selected on test``."""
    model: DetectorConfig
    """The detector's section, with the numbers that the run chose in place of ``auto``."""
    cost: Mapping[str, float] = field(default_factory=dict)
    """``cost/<objective.cost>`` -> its value, also if diverged; empty where the objective has no
    cost."""


def checkpoint_facts(
    result: RunResult, config: Config, store: Store, seeds: Mapping[str, int]
) -> dict[str, Any]:
    """Facts about a run that its checkpoint keeps in the header."""
    return {
        **seeds,
        "fingerprint": store.fingerprint,
        "synthetic": store.synthetic,
        "selected_epoch": result.selected_epoch,
        "selection": result.selection,
        "segments": config.data.segments,
        "test_length": config.data.test_length,
    } | (
        {}
        if config.data.snippet_frames == SNIPPET_FRAMES
        else {"snippet_frames": config.data.snippet_frames}
    )
