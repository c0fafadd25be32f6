"""Whether annotations and features count time alike.

An annotation of another frame rate, or features with another number of frames a row, give a ground
truth that looks like any other and is wrong everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from refinevad.config.data import DataConfig
from refinevad.data.problems import Problems

_LATE = 2
"""Snippets by which an event may run past the end of its video: features stop at the last whole
snippet; of the published sets, no event is later than one."""
_ROWS_OF_FRAMES = (8, 10, 12, 15, 16, 20, 24, 25, 30, 32, 48, 50, 60, 64, 96, 100, 120, 128)
"""Frames per row that feature extractions have."""
_EARLY = 0.7
"""Share of a video before which all events end, where rows may hold fewer frames than is said."""
_FEWEST_EARLY = 3
"""Videos with an event below which that may be chance."""


@dataclass(frozen=True)
class Ending:
    """A test video's length, and where its last event ends."""

    video: str
    rows: int
    end: int
    """The frame after the last event."""


def check_scale(
    ends: list[Ending], config: DataConfig, notes: list[str], problems: Problems
) -> set[str]:
    """Notes events that lie too late as a problem; where all lie early, adds a note.

    Args:
        ends: Test videos with an event.
        config: The data section.
        notes: What is said when data are packed.
        problems: What keeps data from being packed.

    Returns:
        Videos whose events lie too late.
    """
    frames = config.snippet_frames
    late = [e for e in ends if e.end > (e.rows + _LATE) * frames]
    if late and config.late_events == "refuse":
        factor = max(e.end / (e.rows * frames) for e in late)
        fitting = [n for n in _ROWS_OF_FRAMES if all(e.end <= (e.rows + _LATE) * n for e in ends)]
        guess = f" ({fitting[0]} would fit)" if fitting else ""
        advice = (
            f"events that end after their video's features, up to {factor:.2f} times as late, "
            f"counted at {frames} frames a row; if rows hold another number of frames, give "
            f"data.snippet_frames{guess}; if the annotation counts at another frame rate, data.fps "
            "and data.annotation_fps; if the features are cut short, data.late_events: clip"
        )
        for e in late:
            problems.add(
                f"{config.annotations}: {advice}",
                f"{e.video}: {e.rows} rows, {e.rows * frames} frames, event to {e.end}",
            )
    last = max((e.end / (e.rows * frames) for e in ends), default=1.0)
    if len(ends) >= _FEWEST_EARLY and last < _EARLY:  # it may be chance: no problem, but a note
        fewer = [n for n in _ROWS_OF_FRAMES if frames * last <= n < frames]
        guess = f" ({fewer[0]} would fit)" if fewer else ""
        notes.append(
            f"all {len(ends)} abnormal test videos have their events in the first {last:.0%} at "
            f"{frames} frames a row; if rows hold fewer frames{guess}, give data.snippet_frames"
        )
    return {e.video for e in late} if config.late_events == "refuse" else set()
