"""The Python API: prepare data, train a detector, evaluate it, score a video.

These names are handed on by ``refinevad`` itself, and are kept for two minor versions at least
(docs/stability.md)::

    import refinevad

    config = refinevad.load_config("search_spaces/ucf_captions.yaml", ["epochs=5"])
    store = refinevad.prepare_data(config)
    trained = refinevad.train_detector(config, store, seed=1)
    print(trained.metrics["test/auc"])
    trained.save("detector.safetensors")

    detector = refinevad.load_checkpoint("detector.safetensors")
    scores = refinevad.score_video(detector, features).scores
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.data import prepare
from refinevad.errors import InputError
from refinevad.evaluation import scores as scoring
from refinevad.evaluation.splits import floor_metrics, test_metrics
from refinevad.models import checkpoint
from refinevad.models.base import Detector
from refinevad.run_config import Config
from refinevad.run_config import load_config as read_config
from refinevad.training.judge import with_epochs
from refinevad.training.results import EpochRecord, RunResult, checkpoint_facts
from refinevad.training.run import train
from refinevad.training.runtime import process_settings_kept, resolve_runtime

if TYPE_CHECKING:
    from refinevad.data import Store

__all__ = [
    "Config",
    "TrainedDetector",
    "VideoScore",
    "evaluate_detector",
    "load_checkpoint",
    "load_config",
    "prepare_data",
    "score_video",
    "train_detector",
]

DEFAULT_SEED = 42


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """The `data`, `model` and `train` sections of a study file.

    Args:
        path: The file.
        overrides: ``KEY=VALUE``, as ``--set`` of the commands.

    Raises:
        InputError: The file, a key or an override is wrong; the message says where.
    """
    return read_config(Path(path), overrides)


def prepare_data(config: Config, stores: str | Path = "stores", *, progress: bool = False) -> Store:
    """The packed data of a configuration, packed now where they are not yet.

    Args:
        config: Its ``data`` section is read.
        stores: Folder of packed data.
        progress: Says on stderr what is packed.

    Raises:
        InputError: A list, a feature file or an annotation is wrong; the message names them.
    """
    return prepare(config.data, Path(stores), progress=progress)


@dataclass(frozen=True)
class TrainedDetector:
    """A detector after its training run, with the weights of the selected epoch."""

    detector: Detector
    """On the CPU, in evaluation mode."""
    result: RunResult
    config: Config
    store: Store
    seeds: Mapping[str, int]
    """``seed`` and ``split_seed`` of the run."""

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the selected epoch: ``test/auc``, ``val/ap``, ``floor/auc``, …"""
        return self.result.selected

    @property
    def curve(self) -> list[EpochRecord]:
        """One record per epoch."""
        return self.result.curve

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint that every command reads, in one step.

        Raises:
            OSError: It cannot be written.
        """
        checkpoint.save(
            Path(path),
            self.detector.state_dict(),
            model=self.result.model,
            categories=self.store.categories,
            widths=self.store.widths,
            extra=checkpoint_facts(self.result, self.config, self.store, self.seeds),
        )


def train_detector(
    config: Config,
    store: Store | None = None,
    *,
    seed: int | None = None,
    split_seed: int | None = None,
    metric: Literal["ap", "auc", "ano_auc", "seg_auc", "brier"] = "ap",
    split: Literal["val", "test"] = "val",
    epoch: Literal["best", "last", "mean_second_half", "ema"] = "best",
    folds: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    threads: int = 1,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> TrainedDetector:
    """Trains the detector that ``config.model`` names.

    The same arguments on one kind of machine give the same bits.

    Args:
        config: What to train, on which data, how long.
        store: Packed data; None: :func:`prepare_data` of the configuration.
        seed: Of weights, batches and dropout; None: the configuration's, else 42.
        split_seed: Of the validation split; None: the configuration's, else 42.
        metric: Chooses the epoch whose weights are kept.
        epoch: What the epochs' values of ``metric`` give, as ``objective.epoch`` of a study file.
        folds: Random splits that are trained and judged on; the weights are of the first.
        split: Where the metric is measured: ``val`` (held-out training videos) or ``test``
            (results are then "selected on test").
        device: ``auto``: a GPU where there is one.
        precision: ``auto``: bfloat16 where the device computes in it.
        threads: CPU threads; their number changes the last bits.
        on_epoch: Called with the record of every epoch.

    Raises:
        InputError: The data cannot be trained on, or training diverged.
    """
    store = store or prepare_data(config)
    seeds = {
        "seed": _first(seed, config.train.seed),
        "split_seed": _first(split_seed, config.data.split_seed),
    }
    objective = ObjectiveConfig(metric=metric, split=split, epoch=epoch, folds=folds)
    length = with_epochs(config.train, store, config.data, objective, seeds["split_seed"])
    config = config.model_copy(update={"train": length})
    with process_settings_kept():
        result = train(
            store,
            config,
            seed=seeds["seed"],
            split_seed=seeds["split_seed"],
            objective=objective,
            runtime=Runtime(device=device, precision=precision, threads=threads),
            on_epoch=on_epoch,
        )
    if result.model_state is None:
        raise InputError(
            f"training diverged in epoch {len(result.curve)} (a loss or a score is not finite); "
            f"try a smaller lr than {config.train.lr:g}"
        )
    content = checkpoint.dumps(
        result.model_state, model=result.model, categories=store.categories, widths=store.widths
    )
    detector, _ = checkpoint.loads(content)
    return TrainedDetector(detector, result, config, store, seeds)


def load_checkpoint(path: str | Path) -> Detector:
    """The detector of a checkpoint, on the CPU and in evaluation mode.

    ``detector.config`` has its knobs, ``detector.task`` its feature widths and categories. Nothing
    is unpickled.

    Raises:
        InputError: No such file, not a checkpoint of ours, or weights that do not fit.
    """
    return checkpoint.load(Path(path))[0]


def evaluate_detector(
    detector: Detector,
    store: Store,
    *,
    length: Literal["segments", "full"] = "segments",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
) -> dict[str, float]:
    """Frame metrics on the test set, ``test/…``, beside the video-label baseline's, ``floor/…``.

    Args:
        detector: A detector for features of the store's widths.
        store: Packed data.
        length: Score the store's segments, or snippet by snippet.
        device: ``auto``: a GPU where there is one.
        threads: CPU threads.

    Raises:
        InputError: The detector reads other features.
    """
    task = detector.task
    meta = checkpoint.Meta(detector.config, task.categories, dict(task.widths), {})
    checkpoint.require_widths(meta, store.widths)
    runtime = resolve_runtime(Runtime(device=device, threads=threads))
    with process_settings_kept():
        runtime.apply()
        found = scoring.score_test(detector.to(runtime.device), store, length=length)
    return test_metrics(found, store) | floor_metrics(store)


@dataclass(frozen=True)
class VideoScore:
    """What a detector says of one video."""

    scores: NDArray[np.float32]
    """(n,) one per snippet, in [0, 1]."""
    categories: dict[str, float] | None
    """Category -> probability; None: the detector knows no categories."""


def score_video(
    detector: Detector,
    features: NDArray[Any],
    *,
    segments: int = 32,
    length: Literal["segments", "full"] = "segments",
) -> VideoScore:
    """Scores one video.

    Args:
        detector: On any device.
        features: (n, D) or (n, crops, D), a row per snippet; modalities concatenated in the order
            of ``detector.task.widths``.
        segments: T, as in training.
        length: Score T segments, spread over the snippets; or every snippet.

    Raises:
        InputError: The features have another width or shape.
    """
    rows = np.asarray(features)
    if rows.ndim == 2:
        rows = rows[:, None, :]
    if rows.ndim != 3 or not len(rows):
        raise InputError(f"features are {features.shape}; expected (n, width) or (n, crops, width)")
    found, probs = scoring.score_video(
        detector, rows.astype(np.float32), segments=segments, length=length
    )
    if probs is None:
        return VideoScore(found, None)
    return VideoScore(found, dict(zip(detector.task.categories, probs.tolist(), strict=True)))


def _first(*values: int | None) -> int:
    return next((value for value in values if value is not None), DEFAULT_SEED)
