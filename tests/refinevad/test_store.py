from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinevad.config.data import DataConfig
from refinevad.data import build, npy_file, open_store, packing, prepare, sources, synthetic
from refinevad.data.segments import pool
from refinevad.data.store import ARRAYS
from refinevad.errors import InputError
from tests.support.datasets import Benchmark, benchmark, write_text_features


@pytest.fixture
def bench(tmp_path: Path) -> Benchmark:
    return benchmark(tmp_path / "data")


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    return tmp_path / "stores"


def refusal(config: DataConfig, stores: Path) -> str:
    """The message of a refused data set; nothing may be left behind."""
    with pytest.raises(InputError) as caught:
        prepare(config, stores, progress=False)
    if stores.exists():
        assert [path.name for path in stores.iterdir() if path.is_dir()] == []
    return str(caught.value)


def snapshot(store: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in store.iterdir()}


# --- what is packed -------------------------------------------------------------------------------


def test_test_videos_are_ragged_and_carry_their_ground_truth(
    bench: Benchmark, stores: Path
) -> None:
    test = prepare(bench.config(), stores, progress=False).test
    assert test.lengths.tolist() == [50, 7]
    # frames 100 to 200: 12 of snippet 6, all of 7 to 11, 8 of snippet 12
    assert test.truth[:14].tolist() == [0] * 6 + [12] + [16] * 5 + [8, 0]
    assert test.truth.sum() == 100
    assert test.events == [[(100, 200)], []]
    for name, segments in zip(test.names, test.segments, strict=True):
        expected = pool(bench.arrays[name][:, 0], 32).astype(np.float16)
        np.testing.assert_array_equal(segments[0], expected)


def test_blocks_smaller_than_a_video_change_nothing(
    bench: Benchmark, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(bench.config(), stores / "a", progress=False).fingerprint
    for size in (1, 7 * 24, 33 * 24):
        monkeypatch.setattr(packing, "BLOCK_BYTES", size)
        assert prepare(bench.config(), stores / str(size), progress=False).fingerprint == whole


def test_two_modalities_are_joined_and_text_is_tiled_over_crops(tmp_path: Path) -> None:
    bench = benchmark(tmp_path / "data", "vadclip", crops=3)
    text = write_text_features(bench, tmp_path / "text")
    store = prepare(bench.config(text=text), tmp_path / "stores", progress=False)
    assert store.widths == {"visual": 6, "text": 3}
    assert store.test.features.shape == (57, 3, 9)
    spoken = np.load(tmp_path / "text" / "Arson009_x264_emb.npy").astype(np.float16)
    for crop in range(3):
        np.testing.assert_array_equal(store.test.features[:50, crop, 6:], spoken)
        np.testing.assert_array_equal(
            store.test.features[:50, crop, :6],
            bench.arrays["Arson009_x264"][:, crop].astype(np.float16),
        )


def test_one_snippet_more_is_trimmed_and_said(
    bench: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = {"Arson001_x264": 1, "Arson009_x264": -1}
    text = write_text_features(bench, tmp_path / "text", extra=longer)
    store = prepare(bench.config(text=text), tmp_path / "stores")
    assert store.test.lengths.tolist() == [49, 7]
    assert len(store.header.notes) == 2
    printed = capsys.readouterr().err
    assert all(note in printed for note in store.header.notes)


def test_already_pooled_training_videos_are_kept_as_they_are(real_data: Path) -> None:
    root = real_data / "ucf-crime-captions" / "features" / "train"
    file = sorted(root.glob("*.npy"))[0]
    rows = np.load(file)
    assert rows.shape == (32, 384)
    np.testing.assert_array_equal(pool(rows, 32).astype(np.float16), rows)


@pytest.mark.parametrize(
    ("name", "taxonomy", "counts"),
    [
        (
            "ucf-crime-captions",
            "ucf",
            {
                "train": 1610,
                "train_abnormal": 810,
                "test": 290,
                "test_abnormal": 140,
                "test_frames": 1_109_824,
                "test_positive_frames": 84_160,
                "test_events": 156,
            },
        ),
        ("msad-captions", "msad", {"train": 121, "test": 119, "test_abnormal": 59}),
    ],
)
def test_real_data_have_the_published_counts(
    real_data: Path, tmp_path: Path, name: str, taxonomy: str, counts: dict[str, int]
) -> None:
    root = real_data / name
    config = DataConfig.model_validate(
        {
            "taxonomy": taxonomy,
            "text": {
                "layout": "csv",
                "root": root,
                "train_list": "train.csv",
                "test_list": "test.csv",
            },
            "annotations": root / "Temporal_Anomaly_Annotation.txt",
        }
    )
    store = prepare(config, tmp_path, progress=False)
    assert counts.items() <= store.header.counts.items()
    assert store.train.labels.any(axis=0).all()
    assert store.train.labels.sum(axis=1).max() == 1
    assert 16 * len(store.test.truth) == store.header.counts["test_frames"]


# --- when it is packed ----------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    a, b = benchmark(tmp_path / "a"), benchmark(tmp_path / "elsewhere" / "b")
    first = prepare(a.config(), tmp_path / "s1", progress=False).fingerprint
    assert prepare(b.config(), tmp_path / "s2", progress=False).fingerprint == first
    assert prepare(a.config(segments=16), tmp_path / "s1", progress=False).fingerprint != first
    b.annotations.write_text(b.annotations.read_text().replace("200", "201"))
    assert prepare(b.config(), tmp_path / "s2", progress=False).fingerprint != first


def test_what_does_not_change_the_store_does_not_pack_it_again(
    bench: Benchmark, stores: Path
) -> None:
    store = prepare(bench.config(), stores, progress=False)
    before = snapshot(store.path)
    other = bench.config(val_fraction=0.3, split_seed=4, test_length="full")
    assert prepare(other, stores, progress=False).path == store.path
    assert snapshot(store.path) == before


def change_features(bench: Benchmark) -> None:
    file = bench.file("Arson001_x264")
    np.save(file, np.load(file) * 2)


def change_annotations(bench: Benchmark) -> None:
    bench.annotations.write_text(bench.annotations.read_text().replace("200", "210"))


def change_list(bench: Benchmark) -> None:
    path = bench.list_of("train")
    path.write_text(path.read_text().replace(",Arson", ",Abuse"))


@pytest.mark.parametrize("change", [change_features, change_annotations, change_list])
def test_a_changed_source_is_packed_again(
    bench: Benchmark, stores: Path, change: Callable[[Benchmark], None]
) -> None:
    old = prepare(bench.config(), stores, progress=False)
    mapped = old.train.features
    kept = np.array(mapped)
    change(bench)
    new = prepare(bench.config(), stores, progress=False)
    assert new.path == old.path
    assert new.fingerprint != old.fingerprint
    np.testing.assert_array_equal(mapped, kept)  # a running reader keeps what it opened
    assert [path for path in stores.iterdir() if path.is_dir()] == [new.path]


def test_the_store_outlives_its_sources_and_its_place(bench: Benchmark, stores: Path) -> None:
    store = prepare(bench.config(), stores, progress=False)
    shutil.rmtree(bench.root)
    assert prepare(bench.config(), stores, progress=False).fingerprint == store.fingerprint
    moved = store.path.rename(stores / "moved")
    open_store(moved).verify()


def test_a_failed_build_leaves_the_old_store(bench: Benchmark, stores: Path) -> None:
    store = prepare(bench.config(), stores, progress=False)
    bench.file("Arson001_x264").write_bytes(b"")
    with pytest.raises(InputError, match="truncated"):
        prepare(bench.config(), stores, progress=False)
    open_store(store.path).verify()


def test_two_processes_pack_once_between_them(
    bench: Benchmark, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = stores.parent / "packed"

    def slow_pack(*args: Any, **options: Any) -> None:
        with packed.open("a") as stream:
            stream.write("once ")
        time.sleep(0.3)  # long enough for the other process to come and wait
        packing.pack(*args, **options)

    monkeypatch.setattr(build, "pack", slow_pack)
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=prepare, args=(bench.config(), stores), kwargs={"progress": False})
        for _ in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert packed.read_text() == "once "
    (folder,) = (path for path in stores.iterdir() if path.is_dir())
    open_store(folder).verify()


def test_stores_of_one_synthetic_kind_built_at_once_share_its_files(
    stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores of different ``segments``: each has a lock of its own, the files are the same."""
    log = stores.parent / "log"

    def slow_write(*args: Any) -> None:
        with log.open("a") as stream:
            stream.write("generated ")
        time.sleep(0.3)
        write(*args)

    def slow_pack(*args: Any, **options: Any) -> None:
        time.sleep(0.5)  # its sources are listed, and read after the others have come
        packing.pack(*args, **options)

    write = synthetic._write
    monkeypatch.setattr(synthetic, "_write", slow_write)
    monkeypatch.setattr(build, "pack", slow_pack)
    configs = [DataConfig(synthetic="ucf-like", segments=n) for n in (4, 8, 16)]
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=prepare, args=(config, stores), kwargs={"progress": False})
        for config in configs
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert log.read_text() == "generated "
    monkeypatch.delattr(build, "pack")  # no store is out of date: nothing is packed again
    for config in configs:
        assert prepare(config, stores, progress=False).header.segments == config.segments


def test_the_rubbish_of_a_dead_builder_is_removed(bench: Benchmark, stores: Path) -> None:
    name = prepare(bench.config(), stores, progress=False).path.name
    shutil.rmtree(stores / name)
    (stores / f".{name}.99999.tmp").mkdir()
    prepare(bench.config(), stores, progress=False)
    assert [path.name for path in stores.iterdir() if path.is_dir()] == [name]


# --- damaged stores -------------------------------------------------------------------------------


@pytest.mark.parametrize("array", ARRAYS)
def test_a_truncated_array_is_noticed_at_opening(
    bench: Benchmark, stores: Path, array: str
) -> None:
    path = prepare(bench.config(), stores, progress=False).path
    file = path / f"{array}.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{array}.npy has \d+ bytes.*delete the folder"):
        open_store(path)
    prepare(bench.config(), stores, progress=False).verify()  # and prepare mends it


@pytest.mark.parametrize("array", ARRAYS)
def test_verify_notices_a_changed_byte(bench: Benchmark, stores: Path, array: str) -> None:
    path = prepare(bench.config(), stores, progress=False).path
    file = path / f"{array}.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    store = open_store(path)
    with pytest.raises(InputError, match=f"{array}.npy has changed"):
        store.verify()


def test_verify_notices_changed_names(bench: Benchmark, stores: Path) -> None:
    path = prepare(bench.config(), stores, progress=False).path
    videos = path / "videos.json"
    videos.write_text(videos.read_text().replace("Arson009", "Arson008"))
    with pytest.raises(InputError, match="fingerprint"):
        open_store(path).verify()


def test_a_header_of_another_version_or_none_says_so(bench: Benchmark, stores: Path) -> None:
    with pytest.raises(InputError, match="no packed store"):
        open_store(stores / "nothing")
    path = prepare(bench.config(), stores, progress=False).path
    header = json.loads((path / "header.json").read_text())
    (path / "header.json").write_text(json.dumps({**header, "version": 99}))
    with pytest.raises(InputError, match="format 99"):
        open_store(path)
    (path / "header.json").write_text(json.dumps({**header, "widths": "wide"}))
    with pytest.raises(InputError, match=r"header\.json, widths"):
        open_store(path)
    (path / "header.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        open_store(path)


# --- data that do not agree -----------------------------------------------------------------------


def broken(bench: Benchmark, name: str, array: object) -> str:
    np.save(bench.file(name), np.asarray(array))
    return name


def test_every_bad_file_is_named_in_one_message(bench: Benchmark, stores: Path) -> None:
    broken(bench, "Arson001_x264", np.zeros((40, 5), np.float32))
    broken(bench, "Fighting002_x264", np.full((10, 6), np.nan, np.float32))
    bench.file("Normal_Videos004_x264").write_bytes(b"\x93NUMPY")
    bench.file("Arson009_x264").unlink()
    bench.annotations.write_text(bench.annotations.read_text() + "\nNobody  Arson  1  9  -1  -1")
    message = refusal(bench.config(), stores)
    for problem in (
        sources.WIDTHS_DIFFER,
        npy_file.NOT_FINITE,
        npy_file.TRUNCATED,
        npy_file.MISSING,
        sources.UNKNOWN_VIDEO,
    ):
        assert f"{problem} (1):" in message
    for name in ("Arson001", "Fighting002", "Normal_Videos004", "Arson009", "Nobody"):
        assert name in message


def test_ten_offenders_are_named_and_the_rest_counted(bench: Benchmark, stores: Path) -> None:
    lines = "".join(f"\nNobody{i:02}  Arson  1  9  -1  -1" for i in range(13))
    bench.annotations.write_text(bench.annotations.read_text() + lines)
    message = refusal(bench.config(), stores)
    assert "(13):" in message
    assert "Nobody09" in message
    assert "Nobody10" not in message
    assert "3 more" in message


Break = Callable[[Benchmark], object]


def replacing(list_name: str, old: str, new: str) -> Break:
    def change(bench: Benchmark) -> None:
        path = bench.annotations if list_name == "annotations" else bench.list_of(list_name)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


ARSON = "Arson009_x264  Arson  100  200  -1  -1  \n"


@pytest.mark.parametrize(
    ("change", "problem", "named"),
    [
        (replacing("train", ",Fighting", ",Fightng"), sources.UNKNOWN_CLASS, "'Fighting'"),
        (replacing("annotations", ARSON, ""), sources.NOT_ANNOTATED, "Arson009_x264"),
        (replacing("annotations", "100  200", "818  830"), sources.NO_POSITIVE, "Arson009_x264"),
        (
            replacing("annotations", "Normal  -1  -1", "Normal  5  9"),
            sources.NORMAL_WITH_EVENT,
            "Normal_Videos_005",
        ),
        (lambda b: broken(b, "Arson001_x264", np.zeros(6)), npy_file.WRONG_NDIM, "Arson001"),
        (
            lambda b: broken(b, "Arson001_x264", np.full((40, 6), 1e6)),
            npy_file.OVERFLOW,
            "Arson001",
        ),
        (
            lambda b: b.file("Arson001_x264").write_bytes(b"\x80\x04\x95."),
            npy_file.PICKLED,
            "Arson001",
        ),
    ],
)
def test_each_disagreement_has_its_own_message(
    bench: Benchmark, stores: Path, change: Break, problem: str, named: str
) -> None:
    change(bench)
    message = refusal(bench.config(), stores)
    assert message.removeprefix(f"{bench.annotations}: ").startswith(problem)
    assert named in message


def test_a_video_listed_twice_or_in_both_lists_is_refused(bench: Benchmark, stores: Path) -> None:
    line = bench.list_of("train").read_text().splitlines()[1]
    with bench.list_of("train").open("a") as stream:
        stream.write(f"\n{line}")
    with bench.list_of("test").open("a") as stream:
        stream.write(f"\n{line}")
    message = refusal(bench.config(), stores)
    assert "names twice" in message
    assert sources.IN_BOTH in message
    assert "Arson001_x264" in message


def test_a_missing_crop_is_noticed(tmp_path: Path) -> None:
    bench = benchmark(tmp_path / "data", "vadclip", crops=4)
    path = bench.list_of("train")
    lines = [line for line in path.read_text().splitlines() if "Arson001_x264__3" not in line]
    path.write_text("\n".join(lines))
    message = refusal(bench.config(), tmp_path / "stores")
    assert message.startswith(sources.CROPS_DIFFER)
    assert "Arson001_x264: 3 visual crops, not 4" in message


def test_modalities_that_do_not_match_are_refused(bench: Benchmark, tmp_path: Path) -> None:
    text = write_text_features(bench, tmp_path / "text", extra={"Arson001_x264": 2})
    (tmp_path / "text" / "Arson009_x264_emb.npy").unlink()
    (tmp_path / "text" / "Normal_Videos004_x264_emb.npy").unlink()
    message = refusal(bench.config(text=text), tmp_path / "stores")
    assert sources.ROWS_OF_MODALITIES in message
    assert "Arson001_x264: 40 visual, 42 text" in message
    assert "without text features" in message
    assert "Arson009_x264" in message
    assert "Normal_Videos004_x264" in message


def test_xd_annotations_may_leave_out_normal_videos(bench: Benchmark, stores: Path) -> None:
    bench.annotations.write_text("Arson009_x264.mp4 100 200")
    assert prepare(bench.config(), stores, progress=False).test.events == [[(100, 200)], []]


def test_an_event_after_the_last_whole_snippet_is_noted_and_no_error(
    bench: Benchmark, stores: Path
) -> None:
    replacing("annotations", "100  200", "801  805")(bench)  # features end at frame 800
    store = prepare(bench.config(), stores, progress=False)
    assert store.test.truth[:50].sum() == 0
    assert "Arson009_x264" in store.header.notes[0]
