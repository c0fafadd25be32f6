"""Figures show what they are given, in seconds and epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refinevad.figures import save_png, score_curve, training_curves


def test_a_score_is_drawn_as_a_step_over_its_snippet_in_seconds() -> None:
    figure = score_curve(np.array([0.2, 0.9, 0.4]), 0.5, title="a video")
    (stairs,) = figure.axes[0].patches
    values, edges, _ = stairs.get_data()  # type: ignore[attr-defined]
    assert values.tolist() == [0.2, 0.9, 0.4]
    assert edges.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert figure.axes[0].get_xlabel() == "time (s)"


def test_every_annotated_event_is_shaded_and_the_legend_names_them_once() -> None:
    figure = score_curve(
        np.linspace(0, 1, 20), 0.5, title="a video", events=[(1.0, 2.0), (6.0, 7.5)]
    )
    shaded = [p.get_extents() for p in figure.axes[0].patches if p.get_label() != "score"]
    assert len(shaded) == 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["annotated anomaly", "score"]


def test_a_video_annotated_as_normal_is_not_one_without_annotation() -> None:
    scores = np.zeros(4)
    normal = score_curve(scores, 0.5, title="a video", events=[]).axes[0].get_title(loc="left")
    unknown = score_curve(scores, 0.5, title="a video", events=None).axes[0].get_title(loc="left")
    assert normal == "a video\nannotated as normal"
    assert unknown == "a video"


def test_the_selected_epoch_is_marked_with_its_value() -> None:
    figure = training_curves(
        [0.5, 0.75, 0.6], {"loss": [1.0, 0.5, 0.25]}, objective_name="val/ap", selected_epoch=2
    )
    left = figure.axes[0]
    marked = [line for line in left.lines if line.get_marker() == "D"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marked] == [(2, 0.75)]  # type: ignore[index]
    assert left.get_ylabel() == "val/ap"


def test_a_part_of_the_loss_that_is_zero_does_not_break_the_log_axis(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    figure = training_curves(
        [0.5, 0.6],
        {"loss": [1.0, 0.5], "gmm": [0.0, 0.0], "cat": [float("nan"), 0.1]},
        objective_name="val/ap",
        selected_epoch=0,
    )
    save_png(figure, tmp_path / "new" / "folder" / "figure.png")
    assert (tmp_path / "new" / "folder" / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert len(recwarn) == 0
