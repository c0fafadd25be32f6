"""Every layout must give the same videos, the same crops and the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refinevad.config.data import FeatureSource
from refinevad.config.datasets import label_of
from refinevad.config.layouts import LAYOUTS as KNOWN
from refinevad.data import prepare
from refinevad.data.layouts import listed_videos, locate, read_list
from refinevad.data.problems import Problems
from refinevad.data.segments import pool
from refinevad.errors import InputError
from tests.support.datasets import LABELS, LAYOUTS, Layout, benchmark


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_rows_that_were_written(tmp_path: Path, layout: Layout) -> None:
    bench = benchmark(tmp_path / "data", layout)
    store = prepare(bench.config(), tmp_path / "stores", progress=False)
    assert store.train.names == list(LABELS["train"])
    assert store.test.names == list(LABELS["test"])
    crops = bench.arrays["Arson001_x264"].shape[1]
    assert store.train.features.shape == (3, crops, 32, 6)
    for name, packed in zip(store.train.names, store.train.features, strict=True):
        expected = np.moveaxis(pool(bench.arrays[name], 32), 1, 0).astype(np.float16)
        np.testing.assert_array_equal(packed, expected)
    rows = np.concatenate([bench.arrays[name] for name in store.test.names])
    np.testing.assert_array_equal(store.test.features, rows.astype(np.float16))
    assert store.train.labels.sum(axis=1).tolist() == [1, 1, 0]


def test_five_crops_are_crops_too(tmp_path: Path) -> None:
    bench = benchmark(tmp_path / "data", "i3d-arrays", crops=5)
    store = prepare(bench.config(), tmp_path / "stores", progress=False)
    assert store.header.crops == {"train": 5, "test": 5}


@pytest.mark.parametrize(
    ("layout", "file", "video", "crop"),
    [
        ("vadclip", "v=x__#1_label_B1-0-0__3.npy", "v=x__#1_label_B1-0-0", 3),
        ("vadclip", "a.b.c__#00-01_label_G-B2-B6__12.npy", "a.b.c__#00-01_label_G-B2-B6", 12),
        ("i3d", "Abuse001_x264.npy", "Abuse001_x264", 0),
        ("i3d", "Abuse001_x264__9.npy", "Abuse001_x264", 9),
        ("i3d", "Abuse001_x264_i3d.npy", "Abuse001_x264", 0),
        ("tevad-text", "v=x__#1_label_A_emb.npy", "v=x__#1_label_A", 0),
        ("clip-tsa", "v=x__#1_label_A.npy", "v=x__#1_label_A", 0),
        ("csv", "cam__3.npy", "cam__3", 0),
        ("csv", "Assault_13.mp4.npy", "Assault_13", 0),
    ],
)
def test_names_are_split_at_the_right_place(layout: str, file: str, video: str, crop: int) -> None:
    assert KNOWN[layout].parse(file) == (video, crop)


@pytest.mark.parametrize(
    ("video", "label"),
    [
        ("v=x__#1_label_B1-0-0", "B1-0-0"),
        ("Bad.Boys__#01-11-55_01-12-40_label_G-B2-B6", "G-B2-B6"),
        ("v=x__#1_label_A", "A"),
        ("RoadAccidents001_x264", "RoadAccidents"),
        ("Normal_Videos_003_x264", "Normal"),
        ("Normal_Videos003_x264", "Normal"),
        ("my_camera", None),
    ],
)
def test_labels_are_found_in_names(video: str, label: str | None) -> None:
    assert label_of(video) == label


def test_lists_are_read_with_or_without_header_labels_and_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("path,label\na/b, c__0.npy,B1-0-0\r\nd.npy,A")
    assert read_list(path) == [("a/b, c__0.npy", "B1-0-0"), ("d.npy", "A")]
    path.write_text("/x/a_i3d.npy\n/x/b,c_i3d.npy")
    assert read_list(path) == [("/x/a_i3d.npy", None), ("/x/b,c_i3d.npy", None)]
    path.write_text("a.npy\nb.txt\n")
    with pytest.raises(InputError, match=r"line 2.*b\.txt"):
        read_list(path)


def test_authors_paths_are_found_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "Abuse").mkdir()
    for file in ("Abuse/a.npy", "b.npy"):
        (tmp_path / file).touch()
    assert locate("/home/them/Abuse/a.npy", tmp_path) == tmp_path / "Abuse/a.npy"
    assert locate("Abuse/a.npy", tmp_path) == tmp_path / "Abuse/a.npy"
    (tmp_path / "train/Arson").mkdir(parents=True)
    (tmp_path / "train/Arson/c.npy").touch()
    assert locate("/their/train/Arson/c.npy", tmp_path) == tmp_path / "train/Arson/c.npy"
    assert locate("/home/them/Gone/b.npy", tmp_path) == tmp_path / "b.npy"
    assert locate(str(tmp_path / "b.npy"), tmp_path / "Abuse") == tmp_path / "b.npy"
    assert locate("/home/them/Abuse/lost.npy", tmp_path) == tmp_path / "Abuse/lost.npy"


def test_the_real_vadclip_files_are_read(real_data: Path) -> None:
    root = real_data / "vadclip-sample"
    problems = Problems()
    source = FeatureSource(layout="vadclip", root=root)
    videos = listed_videos(source, root / "list.csv", problems)
    assert len(videos) == 10
    assert {listed.label for listed in videos.values()} == {"Assault", "Fighting", "Normal"}
    for listed in videos.values():
        assert np.load(listed.files[0]).shape[1] == 512
    assert not problems


@pytest.mark.parametrize(
    ("name", "abnormal", "normal", "crops"),
    [("xd_CLIP_rgb.csv", 1905, 2049, 10), ("xd_CLIP_rgbtest.csv", 500, 300, 1)],
)
def test_the_official_xd_lists_are_grouped_into_videos(
    real_data: Path, name: str, abnormal: int, normal: int, crops: int
) -> None:
    source = FeatureSource(layout="vadclip", root=Path("nowhere"))
    problems = Problems()
    videos = listed_videos(source, real_data / "xd-violence-lists" / name, problems)
    labels = [listed.label for listed in videos.values()]
    assert labels.count("A") == normal
    assert len(labels) == abnormal + normal
    assert {len(listed.files) for listed in videos.values()} == {crops}
    assert all(label_of(video) == listed.label for video, listed in videos.items())
    assert not problems
