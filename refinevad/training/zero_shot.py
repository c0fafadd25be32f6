"""A detector of another data set, scored as it is: a run of one epoch that trains nothing.

Both data sets need features of the same widths; categories may be others, and other in number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.errors import InputError
from refinevad.models.checkpoint import Meta, require_widths
from refinevad.run_config import Config
from refinevad.training.single_epoch import SingleEpochRun
from refinevad.training.smoothing import Chosen

if TYPE_CHECKING:
    from refinevad.data.store import Store
    from refinevad.models.base import Detector


class ZeroShotRun(SingleEpochRun):
    """A run that scores a detector of another data set on this one.

    Args:
        store: Packed data.
        source: The detector; the run puts it on the device.
        meta: Metadata of its checkpoint.
        config: Configuration of the run: validation videos and test scores.
        split_seed: As in :class:`refinevad.training.run.TrainingRun`: the same videos are held out.
        objective: Objective of the run.
        runtime: Device; scoring is always float32.

    Raises:
        InputError: The checkpoint reads other features, or is of another detector than the run.
    """

    def __init__(
        self,
        store: Store,
        source: Detector,
        meta: Meta,
        config: Config,
        *,
        split_seed: int,
        objective: ObjectiveConfig,
        runtime: Runtime,
    ) -> None:
        require_widths(meta, store.widths)
        if meta.model.name != config.model.name:
            raise InputError(
                f"the checkpoint is of {meta.model.name}, the study trains {config.model.name}; "
                "give both the same model.name"
            )
        super().__init__(store, config, split_seed=split_seed, objective=objective, runtime=runtime)
        self._model = source.to(self._runtime.device).eval()

    def _ready(self, fold: int) -> Detector:
        return self._model

    def _state(self) -> None:
        return None

    def _chosen(self) -> Chosen:
        return Chosen(self._model.config)
