"""Every layout must give the same videos, the same crops and the same rows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from scipy.io import savemat

from refinevad.config.data import FeatureSource
from refinevad.config.datasets import label_of
from refinevad.config.layouts import LAYOUTS as KNOWN
from refinevad.data import prepare
from refinevad.data.layouts import found_videos, listed_videos
from refinevad.data.lists import Line, locate, read_list
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
    assert read_list(path) == [Line("a/b, c__0.npy", "B1-0-0"), Line("d.npy", "A")]
    path.write_text("/x/a_i3d.npy\n/x/b,c_i3d.npy")
    assert read_list(path) == [Line("/x/a_i3d.npy"), Line("/x/b,c_i3d.npy")]


@pytest.mark.parametrize(
    "text",
    [
        "a.npy ,Fire\nb.npy , Normal",
        '"a.npy","Fire"\n"b.npy","Normal"',
        "a.mp4,Fire\nb.AVI,Normal",
        "a,Fire\nb,Normal",
        "0,a.npy,Fire\n1,b.npy,Normal",
        ",path,label\n0,a.npy,Fire\n1,b.npy,Normal",
        "label,path\nFire,a.npy\nNormal,b.npy",
        "id,video,frames,class\n7,a,100,Fire\n8,b,200,Normal",
        "\ufeffPath, Label\na.npy,Fire\n\nb.npy,Normal\n",
    ],
)
def test_lists_as_people_have_them_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    assert read_list(path) == [Line("a.npy", "Fire"), Line("b.npy", "Normal")]


def test_a_list_may_have_groups(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('path,label,group\n"a, 1.npy",Fire,cam1\nb.npy,Normal,')
    assert read_list(path) == [Line("a, 1.npy", "Fire", "cam1"), Line("b.npy", "Normal")]
    path.write_text("path,label,group\na, 1.npy,Fire,cam1")
    with pytest.raises(InputError, match=r"line 2: 4 fields, but the header has 3.*quotation"):
        read_list(path)


@pytest.mark.parametrize("ending", [".npz", ".h5", ".pt", ".mat", ".txt", ".csv", ".safetensors"])
def test_another_format_is_named_with_what_converts_it(tmp_path: Path, ending: str) -> None:
    """And the line of Python does convert it, where the format needs no other package."""
    path = tmp_path / "list.csv"
    path.write_text(f"a.npy\nb{ending}\n")
    with pytest.raises(InputError, match=rf"line 2: 'b{ending}' is no \.npy file") as caught:
        read_list(path)
    (code,) = re.findall(r'python -c "(.*)"', str(caught.value))
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    if ending == ".npz":
        np.savez(tmp_path / "b.npz", rows)
    elif ending in (".txt", ".csv"):
        np.savetxt(tmp_path / f"b{ending}", rows, delimiter="," if ending == ".csv" else " ")
    elif ending == ".pt":
        torch.save(torch.from_numpy(rows), tmp_path / "b.pt")
    elif ending == ".safetensors":
        save_file({"x": rows}, tmp_path / "b.safetensors")
    elif ending == ".mat":
        savemat(tmp_path / "b.mat", {"x": rows})
    else:
        return  # h5py is no dependency
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert np.array_equal(np.load(tmp_path / "b.npy"), rows)


def test_a_pickle_in_a_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("a.pkl,Fire")
    with pytest.raises(InputError, match=r"line 1: 'a\.pkl' is a pickle"):
        read_list(path)


def test_files_of_one_name_in_two_folders_are_two_videos(tmp_path: Path) -> None:
    root = tmp_path / "f"
    for place in ("x/cam1/0001", "x/cam2/0001", "x/cam2/0002", "y/cam1/0003"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{place}.npy").touch()
    (tmp_path / "train.csv").write_text("x/cam1/0001.npy,Fire\nx/cam2/0002.npy,Normal")
    (tmp_path / "test.csv").write_text("x/cam2/0001.npy,Fire\ny/cam1/0003.npy,Normal")
    problems = Problems()
    source = FeatureSource(layout="csv", root=root)
    lists = {split: tmp_path / f"{split}.csv" for split in ("train", "test")}
    videos = listed_videos(source, lists, problems)
    assert list(videos["train"]) == ["cam1/0001", "0002"]
    assert list(videos["test"]) == ["cam2/0001", "0003"]
    assert videos["test"]["cam2/0001"].files == {0: root / "x/cam2/0001.npy"}
    found = found_videos(source, ["cam1/0001", "cam2/0001", "0002"], problems)
    assert {name: entry.files[0] for name, entry in found.items()} == {
        "cam1/0001": root / "x/cam1/0001.npy",
        "cam2/0001": root / "x/cam2/0001.npy",
        "0002": root / "x/cam2/0002.npy",
    }
    assert not problems


def test_a_file_listed_twice_is_still_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a/v.npy,Fire\na/v.npy,Fire")
    problems = Problems()
    listed_videos(
        FeatureSource(layout="csv", root=tmp_path), {"train": tmp_path / "train.csv"}, problems
    )
    with pytest.raises(InputError, match="names twice"):
        problems.raise_any()


def test_a_folder_is_searched_through_links_and_whatever_the_case(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.NPY").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "linked/loop").symlink_to(root, target_is_directory=True)
    problems = Problems()
    found = found_videos(FeatureSource(layout="csv", root=root), ["a"], problems)
    assert found["a"].files == {0: root / "linked/a.NPY"}
    assert not problems


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
    videos = listed_videos(source, {"train": root / "list.csv"}, problems)["train"]
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
    path = real_data / "xd-violence-lists" / name
    videos = listed_videos(source, {"train": path}, problems)["train"]
    labels = [listed.label for listed in videos.values()]
    assert labels.count("A") == normal
    assert len(labels) == abnormal + normal
    assert {len(listed.files) for listed in videos.values()} == {crops}
    assert all(label_of(video) == listed.label for video, listed in videos.items())
    assert not problems
