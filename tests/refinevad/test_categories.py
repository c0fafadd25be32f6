"""Recognition of categories, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refinevad.evaluation.recognition import (
    category_recall,
    confusion,
    recognition_metrics,
    threshold_accuracy,
)

PROBS = np.array(
    [
        [0.9, 0.1, 0.2, 0.0],
        [0.3, 0.2, 0.1, 0.0],
        [0.1, 0.8, 0.6, 0.7],
        [0.5, 0.4, 0.1, 0.6],
        [0.9, 0.9, 0.9, 0.9],
    ]
)
LABELS = np.array(
    [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 1, 1, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ],
    dtype=bool,
)
"""Rows 0 and 2 are named rightly; the last is a normal video and does not count."""


def test_metrics_by_hand() -> None:
    found = recognition_metrics(PROBS, LABELS)
    assert found["top1"] == 2 / 4
    assert found["top3"] == 4 / 4
    assert found["macro_recall"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found["commonest"] == 2 / 4


def test_the_accuracies_of_table_5_by_hand() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [1, 0], [0, 0], [0, 0], [0, 0]], dtype=bool)
    probs = np.array([[0.6, 0.2], [0.6, 0.2], [0.5, 0.1], [0.4, 0.1], [0.5, 0], [0.4, 0.2], [0, 0]])
    found = threshold_accuracy(probs, labels, 0.5)
    assert found == {"normal_right": 2 / 3, "anomalies_right": 2 / 4}  # exactly τ reaches it
    one_kind = threshold_accuracy(probs[:4], labels[:4], 0.5)
    assert np.isnan(one_kind["normal_right"])
    assert one_kind["anomalies_right"] == 0.5


def test_recall_by_category() -> None:
    recall = category_recall(PROBS[:4], LABELS[:4])
    assert recall[:3].tolist() == [0.5, 0.5, 0.0]
    assert np.isnan(recall[3])


def test_confusion_rows_sum_to_one() -> None:
    table = confusion(PROBS, LABELS)
    assert table[0].tolist() == [0.5, 0, 0, 0.5]
    assert table[1].tolist() == [0.5, 0.5, 0, 0]
    assert table[2].tolist() == [0, 1, 0, 0]
    assert np.isnan(table[3]).all()
