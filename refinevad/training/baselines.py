"""Baselines that every detector should beat, made from a packed store in half a minute.

- *mean-feature regression*: a logistic regression on the mean feature of each training video,
  applied to every snippet of the test videos;
- *plain scorer*: RefineVAD's snippet scorer alone, without temporal module, injection and category
  loss, trained at fixed settings; the mean score of three seeds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refinevad.config.data import DataConfig
from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.data.batches import steps_of_an_epoch
from refinevad.errors import InputError
from refinevad.evaluation.metrics import video_metrics
from refinevad.evaluation.scores import score_test, segments_to_snippets
from refinevad.evaluation.splits import test_metrics
from refinevad.files import write_whole
from refinevad.training.judge import training_videos

if TYPE_CHECKING:
    from refinevad.data.store import Store

Array = NDArray[Any]

REGRESSION = "mean-feature regression"
PLAIN = "plain scorer"
NAMES = (REGRESSION, PLAIN)

VERSION = 1
"""Of the baselines' definitions: others are computed again."""
GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Values of C, the inverse strength of the regression's L2 penalty."""
SEEDS = (0, 1, 2)
STEPS = 200
"""Gradient steps of the plain scorer, at least: whole epochs."""
BATCH = 64
WIDTH = 128
RATE = 3e-4


@dataclass(frozen=True)
class Baseline:
    """A baseline's scores and metrics on the test set."""

    name: str
    scores: Array
    """(S,) float32, snippets of all test videos."""
    metrics: dict[str, float]
    """``test/auc``, ``test/ano_auc``, ``test/ap`` …"""
    note: str
    """How it was made: the C that was chosen, the steps."""


def baselines(
    store: Store, data: DataConfig, *, split_seed: int, say: Callable[[str], None] | None = None
) -> list[Baseline]:
    """The baselines of a data set, computed once and kept beside the packed store.

    Args:
        store: Packed data.
        data: ``val_fraction``, ``test_length``.
        split_seed: Decides which videos are held out; they choose C and the epoch.
        say: Called with a line before the first computation.

    Raises:
        InputError: The data cannot be split or learnt from.
    """
    key = {
        "version": VERSION,
        "fingerprint": store.fingerprint,
        "val_fraction": data.val_fraction,
        "split_seed": split_seed,
        "test_length": data.test_length,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = store.path.with_name(f"{store.path.name}.baselines-{digest}.json")
    found = _kept(path, key, len(store.test.truth))
    if found is None:
        if say is not None:
            say("computing baselines (once per data set and split)")
        makers = (mean_feature_regression, plain_scorer)
        made = [make(store, data, split_seed=split_seed) for make in makers]
        found = [(name, scores, note) for name, (scores, note) in zip(NAMES, made, strict=True)]
        content = key | {
            "baselines": [
                {"name": name, "note": note, "scores": [float(s) for s in scores]}
                for name, scores, note in found
            ]
        }
        with contextlib.suppress(OSError):  # a read-only folder: computed again the next time
            write_whole(path, json.dumps(content).encode())
    return [
        Baseline(name, scores, test_metrics(scores, store), note) for name, scores, note in found
    ]


def mean_feature_regression(
    store: Store, data: DataConfig, *, split_seed: int
) -> tuple[Array, str]:
    """Scores (S,) of a logistic regression on mean features, and the chosen C.

    Features are standardised by the training videos' means and deviations; C is the one with the
    highest AUC of held-out videos, the smallest of equals.
    """
    from sklearn.linear_model import LogisticRegression

    train, held_out = training_videos(store, data, ObjectiveConfig(), split_seed)
    x = np.asarray(store.train.features, dtype=np.float32).mean(axis=(1, 2))
    y: Array = np.asarray(store.train.labels.any(axis=1))
    mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
    scale = np.where(deviation > 1e-8, deviation, 1.0)
    x = (x - mean) / scale
    for part, what in ((train, "training"), (held_out, "held-out")):
        if y[part].all() or not y[part].any():
            raise InputError(f"the {what} videos are all of one kind: no regression can be trained")
    best: tuple[float, float, Any] | None = None
    for c in GRID:
        model = LogisticRegression(C=c, max_iter=2000).fit(x[train], y[train])
        auc = video_metrics(model.decision_function(x[held_out]), y[held_out])["auc"]
        if best is None or auc > best[0]:
            best = (auc, c, model)
    assert best is not None
    _, c, model = best
    weight = (model.coef_[0] / scale).astype(np.float32)
    bias = float(model.intercept_[0] - (mean / scale) @ model.coef_[0])

    def scored(features: Array) -> Array:
        """(…, crops, …, D) features, crops on axis 1, to logits."""
        averaged: Array = np.asarray(features, dtype=np.float32).mean(axis=1)
        return np.asarray(averaged @ weight + bias)

    if data.test_length == "full":
        parts = np.array_split(
            np.arange(len(store.test.features)), 1 + len(store.test.truth) // 8192
        )
        logits = np.concatenate([scored(store.test.features[part]) for part in parts])
    else:
        logits = segments_to_snippets(scored(store.test.segments), store.test.offsets)
    scores = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    return scores.astype(np.float32), f"C = {c:g}"


def plain_scorer(store: Store, data: DataConfig, *, split_seed: int) -> tuple[Array, str]:
    """Mean scores (S,) of the plain scorer over three seeds, and the length of its training."""
    from refinevad.models.base import Task
    from refinevad.models.registry import detector_class
    from refinevad.run_config import Config
    from refinevad.training.run import train

    training, _ = training_videos(store, data, ObjectiveConfig(), split_seed)
    abnormal = np.asarray(store.train.labels)[training].any(axis=1)
    fewest = int(min(abnormal.sum(), (~abnormal).sum()))
    batch = max(2, min(BATCH, 2 * (fewest // 2)))
    epochs = -(-STEPS // steps_of_an_epoch(store.train.labels[training], batch))
    config = Config.model_validate(
        {
            "data": data,
            "model": {
                "temporal": "none",
                "injection": "none",
                "d_model": WIDTH,
                "lambda_cat": 0.0,
                "lambda_gmm": 0.0,
            },
            "train": {"epochs": epochs, "batch_size": batch, "lr": RATE, "warmup_epochs": 0},
        }
    )
    total = np.zeros(len(store.test.truth))
    for seed in SEEDS:
        result = train(
            store,
            config,
            seed=seed,
            split_seed=split_seed,
            objective=ObjectiveConfig(monitor=False),
            runtime=Runtime(device="cpu", precision="fp32"),
        )
        if result.model_state is None:
            raise InputError("the plain scorer diverged on these data")
        task = Task(store.widths, store.categories)
        model = detector_class(config.model.name)(config.model, task)
        model.load_state_dict(result.model_state)
        total += score_test(model.eval(), store, length=data.test_length)
    return (total / len(SEEDS)).astype(np.float32), f"{len(SEEDS)} seeds, {epochs} epochs"


def _kept(path: Any, key: dict[str, Any], snippets: int) -> list[tuple[str, Array, str]] | None:
    """Baselines of an earlier command; None where there are none, or the file is damaged."""
    try:
        content = json.loads(path.read_bytes())
        if any(content[name] != value for name, value in key.items()):
            return None
        found = [
            (str(b["name"]), np.array(b["scores"], dtype=np.float32), str(b["note"]))
            for b in content["baselines"]
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    whole = [name for name, _, _ in found] == list(NAMES)
    finite = all(len(s) == snippets and np.isfinite(s).all() for _, s, _ in found)
    return found if whole and finite else None
