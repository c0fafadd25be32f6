"""Data of people's own: rows of any length, frame rates, groups, one kind of video."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import refinevad
from refinevad import score
from refinevad.config.data import DataConfig
from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.data.batches import validation_split
from refinevad.data.build import prepare
from refinevad.data.store import Store
from refinevad.errors import InputError
from refinevad.evaluation.bootstrap import VideoBootstrap
from refinevad.evaluation.metrics import frame_metrics, video_label_floor
from refinevad.evaluation.splits import require_both_kinds
from refinevad.models import checkpoint
from refinevad.training.judge import training_videos

FRAMES = 1200
EVENT = (720, 960)


def write(root: Path, *, step: int, scale: float = 1.0, names: str = "v{}") -> None:
    """16 videos of 1,200 frames, a row every ``step`` frames; the signal lies in the event."""
    rng = np.random.default_rng(0)
    signal = 3 * rng.normal(size=8)
    lists: dict[str, list[str]] = {"train": ["path,label"], "test": ["path,label"]}
    events = []
    for k in range(24):
        split, abnormal = ("train", "test")[k >= 12], k % 2 == 1
        rows = rng.normal(size=(FRAMES // step, 8)).astype(np.float32)
        if abnormal:
            rows[EVENT[0] // step : EVENT[1] // step] += signal
        name = names.format(k)
        path = root / "features" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rows)
        lists[split].append(f"features/{name}.npy,{'Fire' if abnormal else 'Normal'}")
        if split == "test":
            start, end = (round(scale * frame) for frame in EVENT)
            numbers = f"{start} {end}" if abnormal else "-1 -1"
            events.append(f"{name.rpartition('/')[2]} {'Fire' if abnormal else 'Normal'} {numbers}")
    for split, lines in lists.items():
        (root / f"{split}.csv").write_text("\n".join(lines))
    (root / "events.txt").write_text("\n".join(events))


def config(root: Path, **data: object) -> refinevad.Config:
    visual = {"layout": "csv", "root": root, "train_list": "train.csv", "test_list": "test.csv"}
    return refinevad.Config.model_validate(
        {
            "data": {"visual": visual, "annotations": root / "events.txt", "segments": 8} | data,
            "model": {"name": "linear"},
            "train": {"epochs": 2, "batch_size": 4},
        }
    )


def packed(root: Path, **data: object) -> Store:
    return prepare(config(root, **data).data, root / "stores", progress=False)


@pytest.mark.parametrize("step", [8, 12, 16, 24, 100])
def test_ground_truth_is_right_at_any_number_of_frames_a_row(tmp_path: Path, step: int) -> None:
    write(tmp_path, step=step)
    test = packed(tmp_path, snippet_frames=step).test
    positive = [
        sum(EVENT[0] <= frame < EVENT[1] for frame in range(step * row, step * (row + 1)))
        for row in range(FRAMES // step)
    ]
    first = test.labels.any(axis=1).argmax()
    rows = slice(test.offsets[first], test.offsets[first + 1])
    assert test.truth[rows].tolist() == positive
    scores = np.random.default_rng(1).random(len(test.truth))
    labels = np.concatenate([np.repeat([1, 0], [p, step - p]) for p in test.truth.astype(int)])
    abnormal = np.asarray(test.labels.any(axis=1))
    found = frame_metrics(scores, test.truth, test.offsets, abnormal, frames=step)
    auc = roc_auc_score(labels, np.repeat(scores, step))
    assert found["auc"] == pytest.approx(auc, abs=1e-12)
    bootstrap = VideoBootstrap(test.truth, test.offsets, abnormal, frames=step, replicates=3)
    assert bootstrap.metrics(scores)["auc"][0] == pytest.approx(auc, abs=1e-12)
    floor = video_label_floor(test.truth, test.offsets, abnormal, frames=step)["auc"]
    label = np.repeat(np.repeat(abnormal, test.lengths), step)
    assert floor == pytest.approx(roc_auc_score(labels, label), abs=1e-12)


def test_the_signal_is_found_where_it_is_and_the_checkpoint_knows(tmp_path: Path) -> None:
    write(tmp_path, step=12)
    given = config(tmp_path, snippet_frames=12, test_length="full", val_fraction=0.3)
    train = TrainConfig(epochs=40, batch_size=4, lr=0.03)
    trained = refinevad.train_detector(
        given.model_copy(update={"train": train}),
        packed(tmp_path, snippet_frames=12, test_length="full", val_fraction=0.3),
    )
    assert trained.metrics["test/ano_auc"] > 0.8
    trained.save(tmp_path / "w.safetensors")
    _, meta = checkpoint.load(tmp_path / "w.safetensors")
    assert meta.extra["snippet_frames"] == 12
    video = tmp_path / "features" / "v13.npy"
    score.main(
        [
            *("--checkpoint", str(tmp_path / "w.safetensors"), "--features", str(video)),
            *("--annotations", str(tmp_path / "events.txt"), "--out", str(tmp_path / "scored")),
            *("--fps", "24"),
        ]
    )
    rows = (tmp_path / "scored" / "v13.csv").read_text().splitlines()
    assert len(rows) == 1 + FRAMES // 12
    assert rows[3].startswith("2,24,36,1.000,1.500,")


def test_events_that_run_past_their_video_are_named_with_what_would_fit(tmp_path: Path) -> None:
    write(tmp_path, step=24)
    with pytest.raises(InputError) as caught:
        packed(tmp_path)
    text = str(caught.value)
    assert "up to 1.20 times as late, counted at 16 frames a row" in text
    assert "give data.snippet_frames (20 would fit)" in text
    assert "v13: 50 rows, 800 frames, event to 960" in text
    clipped = packed(tmp_path, late_events="clip").test
    assert clipped.truth.sum() == 6 * (800 - 720)


def test_an_annotation_at_another_frame_rate_is_brought_to_the_videos(tmp_path: Path) -> None:
    write(tmp_path / "a", step=16)
    write(tmp_path / "b", step=16, scale=2)  # counted at 50 instead of 25 frames a second
    with pytest.raises(InputError, match=r"data\.fps and data\.annotation_fps"):
        packed(tmp_path / "b")
    right = packed(tmp_path / "a").test.truth
    assert np.array_equal(packed(tmp_path / "b", fps=25, annotation_fps=50).test.truth, right)
    write(tmp_path / "c", step=16, scale=1 / 25)
    seconds = packed(tmp_path / "c", fps=25, annotation_style="seconds").test
    assert [tuple(event) for own in seconds.events for event in own] == [(725, 950)] * 6


def test_events_that_all_lie_early_are_noted(tmp_path: Path) -> None:
    write(tmp_path, step=8)
    (note,) = packed(tmp_path).header.notes
    assert "in the first 40% at 16 frames a row; if rows hold fewer frames (8 would fit)" in note
    assert packed(tmp_path, snippet_frames=10).header.notes == (
        "all 6 abnormal test videos have their events in the first 64% at 10 frames a row; if rows "
        "hold fewer frames (8 would fit), give data.snippet_frames",
    )


@pytest.mark.parametrize("frames", [4, 8, 255])
def test_a_note_guesses_nothing_where_no_usual_length_fits(tmp_path: Path, frames: int) -> None:
    write(tmp_path, step=frames // 2)
    (note,) = packed(tmp_path, snippet_frames=frames).header.notes
    assert f"at {frames} frames a row; if rows hold fewer frames" in note
    assert "would fit" not in note or frames == 255


def test_the_stores_of_other_lengths_are_other_stores(tmp_path: Path) -> None:
    write(tmp_path, step=16)
    plain, other = packed(tmp_path), packed(tmp_path, snippet_frames=20)
    assert plain.path != other.path
    assert plain.fingerprint != other.fingerprint
    other.verify()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"annotation_style": "seconds"}, "give `fps`"),
        ({"annotation_fps": 25}, "give `fps` too"),
        ({"snippet_frames": 0}, "snippet_frames"),
        ({"group_pattern": "("}, "no valid expression"),
        ({"group_pattern": "a"}, "has no group"),
        ({"group_pattern": "(a)", "groups": "g.csv"}, "not both"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, data: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(tmp_path, **data)


@pytest.mark.parametrize(
    "data",
    [
        {"groups": "g.csv"},
        {"group_pattern": "(a)"},
        {"normal_labels": ["fine"]},
        {"annotation_style": "inclusive"},
        {"late_events": "clip"},
        {"snippet_frames": 8},
        {"fps": 25},
    ],
)
def test_how_files_are_read_is_refused_beside_synthetic_data(data: dict[str, object]) -> None:
    """Nothing that a study file says goes unread."""
    (name,) = data
    with pytest.raises(ValueError, match=f"{name} is for files of your own"):
        DataConfig.model_validate({"synthetic": "ucf-like", **data})


def test_groups_of_a_table_a_pattern_and_a_column_are_the_same(tmp_path: Path) -> None:
    write(tmp_path, step=16, names="cam{0}/x{0}")
    groups = {f"x{k}": f"g{k // 4}" for k in range(12)}
    lines = [f"{video},{group}" for video, group in groups.items()]
    (tmp_path / "groups.csv").write_text("\n".join(["video,group", *lines]))
    found = packed(tmp_path, groups=tmp_path / "groups.csv").train.groups
    assert found == tuple(groups.values())
    listed = (tmp_path / "train.csv").read_text().splitlines()
    with_groups = [
        f"{line},{g}" for line, g in zip(listed, ["group", *groups.values()], strict=True)
    ]
    (tmp_path / "train.csv").write_text("\n".join(with_groups))
    assert packed(tmp_path).train.groups == found
    by_pattern = packed(tmp_path, group_pattern=r"cam(\d)").train.groups
    assert by_pattern[:3] == ("0", "1", "2")
    (tmp_path / "groups.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match=r"(?s)without a group; give all.*x11"):
        packed(tmp_path, groups=tmp_path / "groups.csv")


def test_names_that_suggest_shared_sources_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "a", step=16, names="v{}")
    assert packed(tmp_path / "a").header.notes == ()
    write(tmp_path / "b", step=16)
    for split in ("train", "test"):
        text = (tmp_path / "b" / f"{split}.csv").read_text()
        for k in range(24):
            old, new = f"features/v{k}.npy", f"features/cam{k // 4}_clip{k}.npy"
            if old in text:
                (tmp_path / "b" / old).rename(tmp_path / "b" / new)
            text = text.replace(f"{old},", f"{new},")
        (tmp_path / "b" / f"{split}.csv").write_text(text)
    events = (tmp_path / "b/events.txt").read_text()
    for k in range(23, 11, -1):
        events = events.replace(f"v{k} ", f"cam{k // 4}_clip{k} ")
    (tmp_path / "b/events.txt").write_text(events)
    (note,) = packed(tmp_path / "b").header.notes
    assert "12 of 12 training videos seem to share 3 sources (4 of cam" in note


def test_a_split_by_group_takes_whole_groups_and_other_seeds_others() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((80, 3), dtype=bool)
    labels[np.arange(40), rng.integers(0, 3, 40)] = True
    groups = [f"g{i % 8}" for i in range(80)]
    chosen = set()
    for seed in range(12):
        train, held = validation_split(labels, 0.25, seed, groups)
        assert sorted([*train, *held]) == list(range(80))
        assert not {groups[i] for i in train} & {groups[i] for i in held}
        assert 0.2 <= len(held) / 80 <= 0.3
        assert labels[train].any(axis=0).all()
        assert labels[held].any(axis=1).any()
        assert not labels[held].any(axis=1).all()
        chosen.add(tuple(held))
        again = validation_split(labels, 0.25, seed, groups)
        assert np.array_equal(again[1], held)
    assert len(chosen) > 3
    with pytest.raises(InputError, match="1 groups of training videos cannot be split"):
        validation_split(labels, 0.25, 0, ["all"] * 80)


def test_runs_and_baselines_hold_groups_out_whole(tmp_path: Path) -> None:
    write(tmp_path, step=16)
    (tmp_path / "groups.csv").write_text("\n".join(f"v{k},g{k // 3}" for k in range(12)))
    data = config(tmp_path, groups=tmp_path / "groups.csv", val_fraction=0.3).data
    store = prepare(data, tmp_path / "stores", progress=False)
    groups = np.array(store.train.groups)
    for seed in range(6):
        training, held_out = training_videos(store, data, ObjectiveConfig(), seed)
        assert len(held_out)
        assert not set(groups[training]) & set(groups[held_out])
    everything, nothing = training_videos(store, data, ObjectiveConfig(split="test"), 0)
    assert (len(everything), len(nothing)) == (12, 0)


@pytest.mark.parametrize("metric", ["auc", "ap", "ano_auc"])
def test_an_objective_that_is_undefined_on_the_test_set_is_refused(
    tmp_path: Path, metric: Literal["auc", "ap", "ano_auc"]
) -> None:
    write(tmp_path, step=16)
    for name in ("test.csv", "events.txt"):
        lines = (tmp_path / name).read_text().splitlines()
        (tmp_path / name).write_text("\n".join(x for x in lines if "Fire" not in x))
    store = packed(tmp_path)
    with pytest.raises(InputError, match=f"in the test set is positive: {metric} is undefined"):
        require_both_kinds(store, ObjectiveConfig(split="test", metric=metric))
    with pytest.raises(InputError, match="is undefined"):
        refinevad.train_detector(config(tmp_path), store, split="test", metric=metric)


def test_a_detector_may_learn_from_normal_videos_alone(tmp_path: Path) -> None:
    write(tmp_path, step=16)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join(x for x in lines if "Fire" not in x))
    store = packed(tmp_path)
    assert store.categories == ("Fire",)
    with pytest.raises(InputError, match=r"all training videos are normal.*name: ocsvm"):
        refinevad.train_detector(config(tmp_path), store)
    given = config(tmp_path).model_dump(mode="json") | {"model": {"name": "ocsvm"}}
    trained = refinevad.train_detector(
        refinevad.Config.model_validate(given), store, split="test", metric="auc"
    )
    assert trained.metrics["test/auc"] > 0.9
