from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refinevad.data.annotations import Event, read_annotations, truth
from refinevad.errors import InputError


def written(folder: Path, text: str) -> Path:
    path = folder / "annotations.txt"
    path.write_text(text)
    return path


def slow_truth(events: list[Event], n: int) -> list[int]:
    frames = [any(s <= f < e for s, e in events) for f in range(16 * n)]
    return [sum(frames[16 * i : 16 * i + 16]) for i in range(n)]


def test_ucf_format_has_up_to_two_events_and_lists_normal_videos(tmp_path: Path) -> None:
    found = read_annotations(
        written(
            tmp_path,
            "Abuse028_x264.mp4  Abuse  165  240  -1  -1  \n"
            "Arson1  Arson  10  20  30  40  \nNormal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  ",
        )
    )
    assert found.events == {
        "Abuse028_x264": [(165, 240)],
        "Arson1": [(10, 20), (30, 40)],
        "Normal_Videos_003_x264": [],
    }
    assert found.lists_normal


def test_both_xd_formats_give_the_same_events(tmp_path: Path) -> None:
    plain = read_annotations(
        written(tmp_path, "v=a__#1_label_B4-0-0.mp4 0 1517 1970 3038\nb=1__#2_label_G-0-0 5 9")
    )
    classes = read_annotations(
        written(tmp_path, "v=a__#1_label_B4-0-0 B4 0 1517 G 1970 3038\nb=1__#2_label_G-0-0 G 5 9")
    )
    assert plain == classes
    assert plain.events["v=a__#1_label_B4-0-0"] == [(0, 1517), (1970, 3038)]
    assert not plain.lists_normal


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("video 5", "line 1.*pairs"),
        ("video", "line 1.*pairs"),
        ("video 9 5", "line 1.*not an interval"),
        ("video 5 5", "line 1.*not an interval"),
        ("video -1 5", "line 1.*not an interval"),
        ("ok 1 2\nv Abuse 165 240 300.0 400.0", r"annotations\.txt, line 2: '300\.0' is not"),
        ("v Abuse 165 240 +30s 400", r"line 1: '\+30s' is not a frame"),
        ("v Abuse 165 240 .5 400", r"line 1: '\.5' is not a frame"),
        ("v Abuse 165 240 -x 400", "line 1: '-x' is not a frame"),
        ("v Abuse 165 240 3_0 4_0", "line 1: '3_0' is not a frame"),
        ("v Abuse 165 nan", "line 1: 'nan' is not a frame"),
        ("v Abuse 165 240 nan nan", "line 1: expected frame numbers after 'nan'"),
        ("v B4 0 15 G 19", "line 1.*pairs"),
        ("video 1 2\nvideo.mp4 3 4", "line 2.*twice"),
        ("", "empty"),
    ],
)
def test_a_senseless_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_annotations(written(tmp_path, line))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no annotation file .*nowhere\.txt"):
        read_annotations(tmp_path / "nowhere.txt")


def test_truth_by_hand() -> None:
    # frames 10..20 of 48: six in snippet 0, five in snippet 1; the end is not included
    assert truth([(10, 21)], 3).tolist() == [6, 5, 0]
    assert truth([], 2).tolist() == [0, 0]


def test_overlapping_events_count_a_frame_once_and_the_end_is_clipped() -> None:
    events = [(5, 30), (20, 40), (60, 1000)]
    assert truth(events, 5).tolist() == slow_truth(events, 5)
    assert truth(events, 5).dtype == np.uint8


def frames_of(table: Path) -> dict[str, int]:
    rows = [line.rsplit(",", 1) for line in table.read_text().splitlines()[1:]]
    return {name: int(frames) for name, frames in rows}


@pytest.mark.parametrize(
    ("name", "n_events", "positive"),
    [
        ("annotations.txt", 1238, 537_882),
        ("annotations_multiclasses.txt", 1272, 538_007),  # per class, and not the same borders
    ],
)
def test_xd_violence_has_the_published_ground_truth(
    real_data: Path, name: str, n_events: int, positive: int
) -> None:
    folder = real_data / "xd-violence-lists"
    events = read_annotations(folder / name).events
    frames = frames_of(folder / "test_frames.csv")
    assert len(frames) == 800
    assert events.keys() <= frames.keys()
    assert sum(len(found) for found in events.values()) == n_events
    counts = [truth(events.get(video, []), n // 16) for video, n in frames.items()]
    assert 16 * sum(len(count) for count in counts) == 2_331_248
    assert sum(int(count.sum()) for count in counts) == positive
    raw = (folder / name).read_text().split()
    assert sum(word.endswith(".mp4") for word in raw) == 14


@pytest.mark.parametrize(
    ("name", "videos", "n_events"),
    [("ucf-crime-captions", 290, 156), ("msad-captions", 119, 59)],
)
def test_no_event_of_the_ucf_and_msad_files_is_lost(
    real_data: Path, name: str, videos: int, n_events: int
) -> None:
    path = real_data / name / "Temporal_Anomaly_Annotation.txt"
    found = read_annotations(path)
    assert found.lists_normal
    # Two pairs of numbers after a name and a class, and -1 -1 where there is none.
    rows = [line.split()[2:] for line in path.read_text().splitlines() if line.strip()]
    assert all(len(row) == 4 for row in rows)
    assert sum(len(row) // 2 - row.count("-1") // 2 for row in rows) == n_events
    assert len(found.events) == len(rows) == videos
    assert sum(len(events) for events in found.events.values()) == n_events
