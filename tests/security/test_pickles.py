"""No file that a user is given can run code: nothing is ever unpickled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from refinevad.models import checkpoint
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from tests.security.malice import (
    ARRAYS,
    CHECKPOINTS,
    object_array,
    refusal,
    run,
    torch_pickle,
)
from tests.support.datasets import LAYOUTS, Layout, benchmark, write_text_features
from tests.support.detectors import task
from tests.support.workspace import REPOSITORY, SMALL_STUDY

Writer = Callable[[Path, Path], None]


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a payload makes when it runs."""
    return tmp_path / "pwned"


def study_file(folder: Path, data: object) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SMALL_STUDY) | {"data": data}))
    return path


def weights(path: Path) -> None:
    config = RefineVADConfig(d_model=8, d_proj=4, d_emb=4, encoder_feedforward=8)
    model = RefineVAD(config, task({"visual": 6}, 2))
    checkpoint.save(
        path, model.state_dict(), model=config, categories=("A", "B"), widths={"visual": 6}
    )


@pytest.mark.parametrize("write", [*ARRAYS, torch_pickle])
def test_the_payload_is_live(tmp_path: Path, mark: Path, write: Writer) -> None:
    """Else the tests below would show nothing."""
    write(tmp_path / "file", mark)
    code = (
        "import sys, numpy, torch\n"
        f"try: x = numpy.load({str(tmp_path / 'file')!r}, allow_pickle=True); x['a']\n"
        "except Exception: pass\n"
        f"try: torch.load({str(tmp_path / 'file')!r}, weights_only=False)\n"
        "except Exception: pass\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert mark.exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prepare_refuses_pickles_in_every_layout(
    tmp_path: Path, mark: Path, layout: Layout
) -> None:
    bench = benchmark(tmp_path / "features", layout)
    spoiled = bench.file("Arson009_x264")
    object_array(spoiled, mark)
    file = study_file(tmp_path, bench.config().model_dump(mode="json", exclude_none=True))
    message = refusal(run(tmp_path, "refinevad.prepare", "--config", str(file)))
    assert "pickled files: not read" in message
    assert spoiled.name in message
    assert not mark.exists()


@pytest.mark.parametrize("write", ARRAYS)
def test_prepare_refuses_every_kind_of_pickle(tmp_path: Path, mark: Path, write: Writer) -> None:
    bench = benchmark(tmp_path / "features")
    write(bench.file("Fighting002_x264"), mark)
    file = study_file(tmp_path, bench.config().model_dump(mode="json", exclude_none=True))
    message = refusal(run(tmp_path, "refinevad.prepare", "--config", str(file)))
    assert "Fighting002_x264.npy" in message
    assert not mark.exists()


def test_prepare_refuses_pickles_among_the_captions(tmp_path: Path, mark: Path) -> None:
    bench = benchmark(tmp_path / "features")
    text = write_text_features(bench, tmp_path / "captions")
    object_array(tmp_path / "captions" / "Arson001_x264_emb.npy", mark)
    data = bench.config(text=text).model_dump(mode="json", exclude_none=True)
    message = refusal(
        run(tmp_path, "refinevad.prepare", "--config", str(study_file(tmp_path, data)))
    )
    assert "Arson001_x264_emb.npy" in message
    assert not mark.exists()


@pytest.mark.parametrize("write", ARRAYS)
def test_a_packed_store_is_never_unpickled(tmp_path: Path, mark: Path, write: Writer) -> None:
    """A store from elsewhere, whose header knows the size of what was put into it."""
    bench = benchmark(tmp_path / "features")
    file = study_file(tmp_path, bench.config().model_dump(mode="json", exclude_none=True))
    assert run(tmp_path, "refinevad.prepare", "--config", str(file)).returncode == 0
    (store,) = (path.parent for path in tmp_path.glob("stores/*/header.json"))
    bench.root.rename(tmp_path / "gone")  # so that it is not packed again
    array = store / "test_truth.npy"
    write(array, mark)
    header = json.loads((store / "header.json").read_text())
    header["arrays"]["test_truth"]["size"] = array.stat().st_size
    (store / "header.json").write_text(json.dumps(header))
    message = refusal(run(tmp_path, "refinevad.prepare", "--config", str(file), "--verify"))
    assert "test_truth.npy: " in message
    assert not mark.exists()


@pytest.mark.parametrize("write", ARRAYS)
def test_score_refuses_pickled_features(tmp_path: Path, mark: Path, write: Writer) -> None:
    weights(tmp_path / "model.safetensors")
    write(tmp_path / "video.npy", mark)
    message = refusal(
        run(
            tmp_path,
            "refinevad.score",
            *("--checkpoint", "model.safetensors", "--features", "video.npy"),
        )
    )
    assert message.startswith("video.npy: ")
    assert not mark.exists()


@pytest.mark.parametrize("write", CHECKPOINTS)
@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_a_pickle_is_no_checkpoint(tmp_path: Path, mark: Path, command: str, write: Writer) -> None:
    write(tmp_path / "model.safetensors", mark)
    if command == "score":
        np.save(tmp_path / "video.npy", np.ones((3, 6), np.float32))
        other = ["--features", "video.npy"]
    else:
        other = ["--config", str(study_file(tmp_path, {"synthetic": "ucf-like"}))]
    process = run(tmp_path, f"refinevad.{command}", "--checkpoint", "model.safetensors", *other)
    assert "model.safetensors: not a readable safetensors file" in refusal(process)
    assert not mark.exists()


def test_only_our_own_cluster_is_unpickled() -> None:
    """Ray pickles what its processes tell each other. No other line of ours may unpickle."""
    words = (
        "pickle.load",
        "torch.load(",
        "allow_pickle=True",
        "joblib.load",
        "read_pickle",
        "dill",
    )
    found = [
        f"{path.relative_to(REPOSITORY)}: {line.strip()}"
        for package in ("refinevad", "study")
        for path in (REPOSITORY / package).rglob("*.py")
        for line in path.read_text().splitlines()
        if any(word in line for word in words) and "weights_only=True" not in line
    ]
    allowed = "study/backend/tune.py: error = cloudpickle.loads(pickled.read_bytes())"
    assert [line for line in found if not line.startswith(allowed)] == []
