"""``refinevad.score``: one video's features to a CSV and a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from refinevad import cli, score
from refinevad.evaluation.scores import Length, score_video
from refinevad.models import checkpoint
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from tests.support.detectors import task

CONFIG = RefineVADConfig(d_model=16, d_proj=8, d_emb=8, encoder_feedforward=16, shift_groups=4)
VIDEO = "Abuse001_x264"


def _checkpoint(path: Path, widths: dict[str, int], **extra: object) -> None:
    torch.manual_seed(0)
    model = RefineVAD(CONFIG, task(widths, 2))
    with torch.no_grad():  # a fresh head hardly tells segments apart
        model.scorer.head.weight.mul_(20)
    checkpoint.save(
        path,
        model.state_dict(),
        model=CONFIG,
        categories=("Abuse", "Arson"),
        widths=widths,
        extra={"segments": 8, **extra},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints, and the features of a video of 20 snippets."""
    rng = np.random.default_rng(0)
    _checkpoint(tmp_path / "one", {"visual": 6})
    _checkpoint(tmp_path / "two", {"visual": 6, "text": 3})
    np.save(tmp_path / f"{VIDEO}.npy", rng.normal(size=(20, 6)).astype(np.float32))
    np.save(tmp_path / "crops.npy", rng.normal(size=(5, 20, 6)).astype(np.float16))
    np.save(tmp_path / "text.npy", rng.normal(size=(21, 3)).astype(np.float32))
    (tmp_path / "ucf.txt").write_text(
        f"{VIDEO}  Abuse  64  128  -1  -1\nNormal_1  Normal  -1  -1  -1  -1\n"
    )
    return tmp_path


def _run(folder: Path, *flags: str, weights: str = "one", features: str = VIDEO) -> int:
    argv = ["--checkpoint", str(folder / weights), "--features", str(folder / f"{features}.npy")]
    with pytest.raises(SystemExit) as exit_:
        cli.run(score.main, [*argv, "--out", str(folder / "out"), "--device", "cpu", *flags])
    return int(exit_.value.code or 0)


def _rows(folder: Path, name: str = VIDEO) -> list[dict[str, str]]:
    with (folder / "out" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("full", [False, True])
def test_the_csv_has_a_row_per_snippet_with_frames_seconds_and_the_models_score(
    folder: Path, full: bool
) -> None:
    assert _run(folder, "--fps", "25", *(["--full"] if full else [])) == 0
    rows = _rows(folder)
    model, _ = checkpoint.load(folder / "one")
    features = np.load(folder / f"{VIDEO}.npy")[:, None]
    expected, _ = score_video(model, features, segments=8, length="full" if full else "segments")
    np.testing.assert_allclose([float(row["score"]) for row in rows], expected, atol=1e-6)
    assert rows[3] | {"score": ""} == {
        "snippet": "3",
        "start_frame": "48",
        "end_frame": "64",
        "start_s": "1.920",
        "end_s": "2.560",
        "score": "",
    }
    assert (folder / "out" / f"{VIDEO}.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("written", "flags", "length", "segments"),
    [
        ("full", [], "full", 8),
        ("segments", [], "segments", 8),
        ("segments", ["--full"], "full", 8),
        ("full", ["--segments", "4"], "segments", 4),
    ],
)
def test_a_video_is_scored_as_the_checkpoints_test_set_was_unless_a_flag_says_otherwise(
    folder: Path, written: str, flags: list[str], length: Length, segments: int
) -> None:
    _checkpoint(folder / "one", {"visual": 6}, test_length=written)
    assert _run(folder, *flags) == 0
    model, _ = checkpoint.load(folder / "one")
    features = np.load(folder / f"{VIDEO}.npy")[:, None]
    expected, _ = score_video(model, features, segments=segments, length=length)
    found = [float(row["score"]) for row in _rows(folder)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_crops_of_a_video_are_averaged(folder: Path) -> None:
    assert _run(folder, features="crops") == 0
    model, _ = checkpoint.load(folder / "one")
    crops = np.load(folder / "crops.npy").astype(np.float32)
    each = [score_video(model, crop[:, None], segments=8, length="segments")[0] for crop in crops]
    found = [float(row["score"]) for row in _rows(folder, "crops")]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)


def test_two_modalities_are_joined_and_a_spare_snippet_at_the_end_is_dropped(folder: Path) -> None:
    assert _run(folder, "--text", str(folder / "text.npy"), weights="two") == 0
    model, _ = checkpoint.load(folder / "two")
    features = np.hstack([np.load(folder / f"{VIDEO}.npy"), np.load(folder / "text.npy")[:20]])
    expected, _ = score_video(model, features[:, None], segments=8, length="segments")
    found = [float(row["score"]) for row in _rows(folder)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_annotation_of_the_video_is_found_by_its_file_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"{VIDEO}.npy").rename(folder / f"{VIDEO}__5.npy")
    flags = ("--annotations", str(folder / "ucf.txt"))
    assert _run(folder, *flags, features=f"{VIDEO}__5") == 0
    scores = np.array([float(row["score"]) for row in _rows(folder, f"{VIDEO}__5")])
    inside, outside = scores[4:8, None], np.delete(scores, range(4, 8))[None]
    auc = float((inside > outside).mean() + (inside == outside).mean() / 2)
    out = capsys.readouterr().out
    assert f"against its annotation: {auc:.3f}" in out
    assert "most likely categories: " in out


@pytest.mark.parametrize(
    ("weights", "features", "flags", "message"),
    [
        ("two", VIDEO, [], "give the text features too, with --text FILE"),
        ("one", VIDEO, ["--text", "{}/text.npy"], "the checkpoint reads visual 6 only"),
        ("one", "text", [], "features are 3 wide, but the checkpoint reads visual 6"),
        ("one", "absent", [], "absent.npy: no such file of features"),
        ("ucf.txt", VIDEO, [], "not a readable safetensors file"),
        ("two", "crops", ["--text", "{}/short.npy"], "they are not of the same video"),
        ("one", "crops", ["--annotations", "{}/ucf.txt"], "has no line for crops"),
        ("one", "nan", [], "nan.npy: files with NaN or Inf"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    folder: Path,
    weights: str,
    features: str,
    flags: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(folder / "short.npy", np.zeros((7, 3), dtype=np.float32))
    np.save(folder / "nan.npy", np.full((9, 6), np.nan, dtype=np.float32))
    flags = [flag.format(folder) for flag in flags]
    assert _run(folder, *flags, weights=weights, features=features) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize("fps", ["0", "-5", "nan", "fast"])
def test_frames_per_second_must_be_positive(folder: Path, fps: str) -> None:
    assert _run(folder, "--fps", fps) == 2


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_model_of_synthetic_data_leaves_its_mark(
    folder: Path, capsys: pytest.CaptureFixture[str], synthetic: bool
) -> None:
    _checkpoint(folder / "one", {"visual": 6}, synthetic=synthetic)
    assert _run(folder) == 0
    assert ("SYNTHETIC DATA" in capsys.readouterr().out) == synthetic
