from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refinevad.config.data import AnnotationTimes
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
        ("video 9 5", "line 1.*not an interval"),
        ("video -1 5", "line 1.*not an interval"),
        (
            "ok 1 2\nv Abuse 165 240 300.5 400",
            r"annotations\.txt, line 2: 300\.5 400 are no whole frames; .*annotation_style",
        ),
        ("v Abuse 165 240 +30s 400", r"line 1: '\+30s' is not a number"),
        ("v Abuse 165 240 .5 400", "line 1: 0.5 400 are no whole frames"),
        ("v Abuse 165 240 -x 400", "line 1: '-x' is not a number"),
        ("v Abuse 165 240 3_0 4_0", "line 1: '3_0' is not a number"),
        ("v Abuse 165 nan", "line 1: 'nan' is not a number"),
        ("v Abuse 165 240 nan nan", "line 1: expected numbers after 'nan'"),
        ("v B4 0 15 G 19", "line 1.*pairs"),
        ("video 1 2\nvideo.mp4 1 2", "line 2.*twice"),
        ("video 1 2\nvideo Normal", "line 2.*twice, as normal"),
        ("v Fire", "line 1: expected pairs of numbers after 'Fire'"),
        ("v Normal 5", "line 1.*pairs"),
        ("v Fire 16O 320", "line 1: '16O' is not a number"),
        ('{"v": [[1, 2]]}', "looks like JSON"),
        ("video,start,end,label\nv,1,2,Fire,x", "line 2: 5 fields, but the header has 4"),
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


@pytest.mark.parametrize(
    "text",
    [
        "a Fire 160 320 -1 -1\nn Normal -1 -1 -1 -1",
        "a.avi Fire 160 320 -1 -1\nn.MP4 Normal -1 -1",
        "Fire/a.mp4 Fire 160 320\nnormal/n.mkv Normal",
        "a,Fire,160,320,-1,-1\nn,Normal,-1,-1",
        "a\tFire\t160\t320\nn\tNormal\t-1\t-1",
        "name class s1 e1 s2 e2\na Fire 160 320 -1 -1\nn Normal -1 -1 -1 -1",
        "a Fire 160.0 320.0\nn Normal 0 0",
        "a 2wheeler 160 320\nn",
        "a Fire [160, 320, -1, -1]\nn Normal []",
        "a [160,320]\nn Normal_Videos",
        "video,start,end,label\na,160,320,Fire\nn,,,Normal",
        "a,160,320,Fire\nn,-1,-1,Normal",
        '"a",160,320,"Fire"\n"n",-1,-1,"正常"',
        "video, start, end\na, 160, 320\nn, -1, -1",
    ],
)
def test_every_form_that_people_have_gives_the_same_events(tmp_path: Path, text: str) -> None:
    found = read_annotations(written(tmp_path, text)).events
    assert {name.rpartition("/")[2]: own for name, own in found.items()} == {
        "a": [(160, 320)],
        "n": [],
    }


def test_events_of_one_video_on_several_lines_belong_together(tmp_path: Path) -> None:
    found = read_annotations(written(tmp_path, "video,start,end,label\na,10,20,X\na,40,50,X"))
    assert found.events == {"a": [(10, 20), (40, 50)]}


@pytest.mark.parametrize("separator", [" ", "\t", ","])
def test_names_with_blanks_are_found_among_the_listed_ones(tmp_path: Path, separator: str) -> None:
    line = separator.join(["my video 1.mp4", "Fire", "16", "32"])
    other = separator.join(["my video 12", "Normal", "-1", "-1"])
    found = read_annotations(
        written(tmp_path, f"{line}\n{other}"), known=["my video 1", "my video 12", "my"]
    )
    assert found.events == {"my video 1": [(16, 32)], "my video 12": []}


@pytest.mark.parametrize(
    ("times", "event"),
    [
        (AnnotationTimes(), (10, 20)),
        (AnnotationTimes("inclusive"), (10, 21)),
        (AnnotationTimes("one_based"), (9, 20)),
        (AnnotationTimes("seconds", fps=25), (250, 500)),
        (AnnotationTimes("frames", fps=24, annotation_fps=30), (8, 16)),
        (AnnotationTimes("inclusive", fps=60, annotation_fps=30), (20, 42)),
    ],
)
def test_numbers_are_what_the_study_file_says(
    tmp_path: Path, times: AnnotationTimes, event: Event
) -> None:
    assert read_annotations(written(tmp_path, "v Fire 10 20"), times).events == {"v": [event]}


def test_an_event_of_one_frame_is_one_frame(tmp_path: Path) -> None:
    path = written(tmp_path, "v Fire 385 385 400 410")
    assert read_annotations(path).events == {"v": [(385, 386), (400, 410)]}
    assert read_annotations(path, AnnotationTimes("inclusive")).events["v"][0] == (385, 386)
    assert read_annotations(path, AnnotationTimes("one_based")).events["v"][0] == (384, 385)


@pytest.mark.parametrize("frames", [1, 8, 12, 24, 255])
def test_truth_at_other_lengths_of_a_snippet_equals_a_slow_count(frames: int) -> None:
    events = [(0, 3), (30, 47), (100, 4000)]
    marked = [any(s <= f < e for s, e in events) for f in range(9 * frames)]
    slow = [sum(marked[frames * i : frames * (i + 1)]) for i in range(9)]
    assert truth(events, 9, frames).tolist() == slow
