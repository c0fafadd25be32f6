"""Every layout of the registry keeps the contract; a new one is tested by its line there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinevad.config.data import FeatureSource
from refinevad.config.layouts import CROP_ARRAYS, LAYOUTS, ROWS
from refinevad.data.layouts import found_videos, listed_videos
from refinevad.data.npy_file import WRONG_NDIM
from refinevad.data.problems import Problems
from refinevad.data.video_files import NO_CROPS_3D, inspect_parts
from refinevad.errors import InputError
from tests.support.workspace import REPOSITORY

VIDEOS = {"v=x__#00-01_label_G-B2-B6": 7, "my_camera.2": 6}
"""Rows of a video by its name; a name may hold what stands before a crop's number."""
CASES = [(name, file) for name, layout in LAYOUTS.items() for file in layout.files]
SHAPES = {ROWS: (6, 4), "(n, crops, D)": (6, 5, 4), "(crops, n, D)": (5, 6, 4)}


def file_of(template: str, video: str, crop: int) -> str:
    filled = template.replace("<split>", "train").replace("<Class>", "Abuse")
    return filled.replace("<Video>", video).replace("<crop>", str(crop))


def save(path: Path, shape: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ones(shape, np.float32))


def source(name: str, root: Path) -> FeatureSource:
    return FeatureSource.model_validate({"layout": name, "root": root})


@pytest.mark.parametrize(("name", "template"), CASES)
@pytest.mark.parametrize("video", VIDEOS)
def test_a_name_round_trips(name: str, template: str, video: str) -> None:
    crops = (0, 3, 12) if "<crop>" in template else (0,)
    for crop in crops:
        file = Path(file_of(template, video, crop)).name
        assert LAYOUTS[name].parse(file) == (video, crop)


@pytest.mark.parametrize(("name", "template"), CASES)
def test_the_files_of_a_list_and_of_a_folder_are_found(
    tmp_path: Path, name: str, template: str
) -> None:
    crops = 5 if "<crop>" in template else 1
    for crop in range(crops):
        for video, rows in VIDEOS.items():
            save(tmp_path / file_of(template, video, crop), (rows, 4))
    lines = [f"/their/{file_of(template, v, k)},Abuse" for v in VIDEOS for k in range(crops)]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    problems = Problems()
    for videos in (
        listed_videos(source(name, tmp_path), {"train": tmp_path / "list.csv"}, problems)["train"],
        found_videos(source(name, tmp_path), VIDEOS, problems),
    ):
        parts = inspect_parts(videos, source(name, tmp_path), problems)
        assert {video: part.rows for video, part in parts.items()} == VIDEOS
        assert {part.crops for part in parts.values()} == {crops}
    assert not problems


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_crop_array_is_read_where_the_layout_has_it_and_named_elsewhere(
    tmp_path: Path, name: str, shape: str
) -> None:
    file = tmp_path / file_of(LAYOUTS[name].files[-1], "a", 0)
    save(file, SHAPES[shape])
    problems = Problems()
    videos = found_videos(source(name, tmp_path), ["a"], problems)
    parts = inspect_parts(videos, source(name, tmp_path), problems)
    if shape in LAYOUTS[name].shapes:
        assert (parts["a"].rows, parts["a"].width) == (6, 4)
        assert parts["a"].crops == (1 if shape == ROWS else 5)
        assert not problems
        return
    assert not parts
    with pytest.raises(InputError) as caught:
        problems.raise_any()
    assert NO_CROPS_3D in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_wrong_shape_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / file_of(LAYOUTS[name].files[-1], "a", 0)
    save(file, (3,))
    problems = Problems()
    videos = found_videos(source(name, tmp_path), ["a"], problems)
    assert not inspect_parts(videos, source(name, tmp_path), problems)
    with pytest.raises(InputError) as caught:
        problems.raise_any()
    assert WRONG_NDIM in str(caught.value)
    assert f"{file}: (3,)" in str(caught.value)


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_says_what_it_is_for_and_which_shapes_it_has(name: str) -> None:
    layout = LAYOUTS[name]
    assert layout.doc
    assert layout.files
    assert layout.shapes
    assert {*layout.shapes} <= {ROWS, *CROP_ARRAYS}


def test_the_page_has_the_table_of_the_registry() -> None:
    script = REPOSITORY / "docs" / "write_tables.py"
    spec = importlib.util.spec_from_file_location("write_tables", script)
    assert spec is not None
    assert spec.loader is not None
    writer: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    for path in writer.TABLES:
        written = path.read_text(encoding="utf-8")
        assert written == writer.page(path), f"{path}: run python docs/write_tables.py"
