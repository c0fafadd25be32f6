"""What a finished run's own measurements say about it, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from refinevad.data.batches import steps_of_an_epoch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST_GAP = 0.3
"""Held-out minus training MIL loss above which the two are said to differ. The loss is 1 where
scores tell nothing; the runs behind docs/paper.md differ by 0.02 to 0.15, those with a leaking
label by 0.5 to 0.9."""
FEWEST_REACHED = 0.05
"""Share of abnormal videos in which a category reaches the threshold, below which CORE is said
to be inactive."""


FEW_STEPS = 40
"""Gradient steps of a run below which that is said. The demo's trials have 20 to 60 and learn
well above chance; 116 videos with batch 64 and 20 epochs, which are 20 steps, had an AUC of .45."""
_STEPS_OF_AN_EPOCH = 7
"""Steps of an epoch that a suggested batch size gives."""


def few_steps(labels: NDArray[np.bool_], batch_size: int, epochs: int) -> str:
    """A sentence where a run has few gradient steps, as on a small data set with a large batch;
    else empty.

    Args:
        labels: (N, C) of the videos that are trained on.
        batch_size: Videos a step.
        epochs: Of the run.
    """
    abnormal = int(labels.any(axis=1).sum())
    rarer = min(abnormal, len(labels) - abnormal)
    an_epoch = steps_of_an_epoch(labels, batch_size)
    if rarer == 0 or epochs * an_epoch >= FEW_STEPS:
        return ""
    fitting = 2 * max(1, min(batch_size // 2, rarer // _STEPS_OF_AN_EPOCH))
    smaller = f"train.batch_size: {fitting} or " if fitting < batch_size else ""
    return (
        f"a run of {epochs} epochs has {epochs * an_epoch} gradient steps ({an_epoch} an epoch, "
        f"with {abnormal} abnormal and {len(labels) - abnormal} normal training videos and a batch "
        f"of {batch_size}); that is often too few: try {smaller}more epochs"
    )


def core_is_inactive(metrics: Mapping[str, float]) -> bool:
    """Whether hardly any abnormal video has a category above the threshold of eq. 6."""
    return metrics.get("core/s_abnormal", 1.0) < FEWEST_REACHED


def core_sentence(metrics: Mapping[str, float]) -> str:
    """The activity of CORE in one sentence; empty where it was not measured."""
    names = ("core/s_abnormal", "core/s_normal", "core/prototypes")
    if any(name not in metrics for name in names):
        return ""
    abnormal, normal, prototypes = (metrics[name] for name in names)
    return (
        f"CORE: a category reaches the threshold in {abnormal:.0%} of abnormal and {normal:.0%} of "
        f"normal videos; other prototypes move a logit by {prototypes:.1%} of the logits' standard "
        "deviation"
    )


def warnings_of(metrics: Mapping[str, float]) -> list[str]:
    """Faults that AUC and AP do not show.

    Args:
        metrics: Of the selected epoch, as :class:`~refinevad.training.results.RunResult` has them.
    """
    found = []
    train, held_out = metrics.get("train/mil"), metrics.get("val/mil")
    if train is not None and held_out is not None and held_out - train > LARGEST_GAP:
        found.append(
            f"the MIL loss is {train:.2f} on training videos and {held_out:.2f} on held-out ones: "
            "scores of new videos have another level than those of training, which AUC and AP do "
            "not show. One cause is a label prototype that abnormal videos alone get "
            "(model.label_prototype: true)"
        )
    if core_is_inactive(metrics):
        found.append(
            f"CORE is inactive: a category reaches the threshold in "
            f"{metrics['core/s_abnormal']:.0%} of abnormal videos. All prototypes then weigh the "
            "same (eq. 6). Try a lower lr, more epochs or a larger lambda_cat"
        )
    return found
