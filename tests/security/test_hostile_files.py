"""Files that lie about their size, nest without end or name places they should not: one clear
message, no giant allocation, nothing written elsewhere."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import save_file

from refinevad.models import checkpoint
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from tests.security.malice import call, refusal
from tests.support.datasets import Benchmark, benchmark
from tests.support.detectors import task
from tests.support.workspace import SMALL_STUDY

MODEL = RefineVADConfig(d_model=8, d_proj=4, d_emb=4, encoder_feedforward=8)


def config(bench: Benchmark) -> str:
    """A study file on a benchmark."""
    data = bench.config().model_dump(mode="json", exclude_none=True)
    path = bench.root.parent / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SMALL_STUDY) | {"data": data}))
    return str(path)


# -- YAML -----------------------------------------------------------------------------------------

CODE = '!!python/object/apply:os.system ["touch pwned"]'
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]\n" for n in range(1, 12)
)
"""Thirty thousand million values in eleven lines."""
YAML = {
    "code": (f"data: {CODE}\n", "could not determine a constructor for the tag"),
    "code as key": (f"{CODE}: 1\n", "a key must be a word"),
    "bomb": (BOMB, "too large or too deeply nested"),
    "merged bomb": (
        "a0: &a0 {k: v}\n"
        + "".join(f"a{n}: &a{n} {{<<: [{', '.join(9 * [f'*a{n - 1}'])}]}}\n" for n in range(1, 12)),
        "too large or too deeply nested",
    ),
    "itself": ("data: &data {more: *data}\n", "too large or too deeply nested"),
    "deep": ("data: " + 5000 * "[" + 5000 * "]", "too large or too deeply nested"),
    "long": ("data: " + 200_000 * "x", "larger than 100000 characters"),
    "number": ("study: {name: a, trials: " + 5000 * "9" + "}", "study.yaml:1: not valid YAML"),
    "month": ("study: {name: 2001-99-99}", "study.yaml:1: not valid YAML: month must be in 1..12"),
    "list as key": ("? [1, 2]\n: 3\n", "study.yaml:1: a key must be a word"),
    "terminal": ('"\\e]0;owned\\a": 1\n', "unknown key"),
}


@pytest.mark.parametrize("case", YAML)
@pytest.mark.parametrize(
    "command", [("study.run", "--space"), ("refinevad.prepare", "--config")], ids=["run", "prepare"]
)
def test_hostile_yaml_is_one_line(tmp_path: Path, case: str, command: tuple[str, str]) -> None:
    text, words = YAML[case]
    (tmp_path / "study.yaml").write_text(text)
    if command[0] == "refinevad.prepare" and case == "terminal":
        words = "no `data` section"
    message = refusal(call(tmp_path, *command, "study.yaml"))
    assert words in message
    assert len(message) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", CODE),
        ("study.name", CODE),
        ("pruning", "&a [*a]"),
        ("data.visual", 5000 * "["),
        ("space.lr", "{[1]: 2}"),
        ("study.trials", 5000 * "9"),
    ],
    ids=["code", "code as name", "itself", "deep", "list as key", "number"],
)
def test_hostile_values_of_set_are_one_line(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_STUDY)
    process = call(tmp_path, "study.run", "--space", "small.yaml", "--set", f"{key}={value}")
    assert "as a YAML value" in refusal(process)
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "/abs", "..", ".hidden", "a\\b", "-rf", "''", "a\0b"]
)
def test_a_study_cannot_be_named_out_of_its_folder(tmp_path: Path, name: str) -> None:
    quoted = name if name == "''" else json.dumps(name)
    (tmp_path / "small.yaml").write_text(SMALL_STUDY.replace("name: small", f"name: {quoted}"))
    message = refusal(call(tmp_path, "study.run", "--space", "small.yaml"))
    assert message.startswith("small.yaml:2: study.name: ")
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("name", ["../..", "/etc", "..", "a/../.."])
def test_publishing_what_is_no_study_writes_nothing(tmp_path: Path, name: str) -> None:
    assert "no study here" in refusal(call(tmp_path, "study.publish", "--study", name))
    assert list(tmp_path.iterdir()) == []


# -- feature files --------------------------------------------------------------------------------


def npy(path: Path, header: str, data: bytes = bytes(4096)) -> None:
    text = header.encode("latin1") + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data)


def described(shape: str, *, fortran: bool = False, kind: str = "<f4") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}"


HEADERS = {
    "too long for the file": described("(40, 10000000000)"),
    "product overflows": described("(4294967296, 4294967296)"),
    "product overflows, columns first": described("(4294967296, 4294967296)", fortran=True),
    "beyond 64 bits": described(f"(10, {10**30})"),
    "negative": described("(-40, 6)"),
    "negative, columns first": described("(-40, 6)", fortran=True),
    "both negative": described("(-40, -6)"),
    "booleans": described("(True, True)"),
    "open brackets": "(" * 4000,
    "many signs": "-" * 5000 + "1",
    "unhashable": "{[]: 1}",
    "code": "__import__('os').system('touch pwned')",
    "long": described("(40, 6)") + " " * 50_000,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))
def test_an_array_that_lies_is_named(tmp_path: Path, header: str) -> None:
    bench = benchmark(tmp_path / "features")
    spoiled = bench.file("Arson001_x264")
    npy(spoiled, header)
    message = refusal(call(tmp_path, "refinevad.prepare", "--config", config(bench)))
    assert str(spoiled) in message
    assert not (tmp_path / "pwned").exists()


def test_a_list_does_not_show_what_other_files_hold(tmp_path: Path) -> None:
    """Lists carry their authors' paths, so one may point anywhere: at arrays, not at secrets."""
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2\n" * 100)
    bench = benchmark(tmp_path / "features")
    train = bench.list_of("train")
    for entry, words in {
        "../secret.txt": "is no .npy file",
        str(secret): "is no .npy file",
        "link.npy": "not .npy files",
        "../../../../../../etc/passwd": "files that do not exist",
    }.items():
        (bench.root / "link.npy").unlink(missing_ok=True)
        (bench.root / "link.npy").symlink_to(secret)
        bench.write()
        train.write_text(train.read_text() + f"\n{entry},Arson")
        message = refusal(call(tmp_path, "refinevad.prepare", "--config", config(bench)))
        assert words in message
        assert "hunter2" not in message


def test_names_in_lists_write_nothing_outside_the_stores(tmp_path: Path) -> None:
    bench = benchmark(tmp_path / "features")
    up = "../" * 12
    for split in ("train", "test"):
        file = bench.list_of(split)
        file.write_text(file.read_text().replace("/home/somebody/Desktop/", up))
    before = {path for path in tmp_path.rglob("*") if "stores" not in path.parts}
    process = call(tmp_path, "refinevad.prepare", "--config", config(bench))
    assert process.returncode == 0, process.stderr
    after = {path for path in tmp_path.rglob("*") if "stores" not in path.parts}
    assert {path.name for path in after - before} == {"study.yaml"}


def test_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    bench = benchmark(tmp_path / "features")
    with bench.annotations.open("a") as file:
        file.write("\n\x1b]0;owned\x07\x1b[2J  Arson  100  200  -1  -1\n")
    assert "\\x1b]0;owned" in refusal(
        call(tmp_path, "refinevad.prepare", "--config", config(bench))
    )


# -- packed stores --------------------------------------------------------------------------------

Lie = Callable[[dict[str, Any], dict[str, Any]], object]


def nested(depth: int) -> Any:
    """A list in a list in a list …"""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


LIES: dict[str, Lie] = {
    "wide": lambda header, _: header["arrays"]["train_features"].update(shape=[3, 1, 32, 10**12]),
    "agreeing": lambda header, _: (
        header["widths"].update(visual=10**12),
        header["arrays"]["train_features"].update(shape=[3, 1, 32, 10**12]),
        header["arrays"]["test_features"].update(shape=[57, 1, 10**12]),
        header["arrays"]["test_segments"].update(shape=[2, 1, 32, 10**12]),
    ),
    "negative": lambda header, _: header.update(segments=-32),
    "names": lambda _, videos: videos.update(train=["a"]),
    "no events": lambda _, videos: videos.update(events=[]),
    "events of words": lambda _, videos: videos.update(events=["a", "b"]),
    "no names": lambda _, videos: videos.clear(),
    "deep": lambda _, videos: videos.update(train=nested(500)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_a_store_that_lies_is_refused(tmp_path: Path, lie: Lie) -> None:
    bench = benchmark(tmp_path / "features")
    file = config(bench)
    assert call(tmp_path, "refinevad.prepare", "--config", file).returncode == 0
    (store,) = (path.parent for path in tmp_path.glob("stores/*/header.json"))
    header = json.loads((store / "header.json").read_text())
    videos = json.loads((store / "videos.json").read_text())
    lie(header, videos)
    (store / "header.json").write_text(json.dumps(header))
    (store / "videos.json").write_text(json.dumps(videos))
    bench.root.rename(tmp_path / "gone")  # so that it is not packed again
    refusal(call(tmp_path, "refinevad.prepare", "--config", file, "--verify"))


# -- checkpoints ----------------------------------------------------------------------------------


def hostile_checkpoint(path: Path, header: str) -> None:
    """Good weights under a header that claims something else."""
    state = RefineVAD(MODEL, task({"visual": 6}, 2)).state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, path, metadata={"refinevad": header})


def claims(**changes: Any) -> str:
    model = {key: changes.pop(key) for key in list(changes) if key in RefineVADConfig.model_fields}
    content = {
        "version": checkpoint.FORMAT_VERSION,
        "model": MODEL.model_dump(mode="json") | model,
        "categories": ["A", "B"],
        "widths": {"visual": 6},
        "extra": {},
    }
    return json.dumps(content | changes)


CLAIMS = {
    "wide": claims(d_model=10**6, encoder_heads=1),
    "beyond 64 bits": claims(d_model=10**30, encoder_heads=1),
    "endless": claims(encoder_layers=10**9),
    "widths": claims(widths={"visual": 10**12}),
    "infinite": claims(widths={"visual": float("inf")}),
    "negative": claims(widths={"visual": -6}),
    "categories": claims(categories=[f"c{n}" for n in range(100_000)]),
    "terminal": claims(categories=["\x1b[2J", "B"]),
    "numbers": claims(categories=[1, 2]),
    "deep": "[" * 100_000 + "]" * 100_000,
    "long number": claims()[:-1] + ', "more": ' + "9" * 5000 + "}",
    "list": "[1]",
    "segments": claims(extra={"segments": 10**9}),
    "segments in words": claims(extra={"segments": "many"}),
}


@pytest.mark.parametrize("header", CLAIMS.values(), ids=list(CLAIMS))
def test_a_checkpoint_that_lies_is_refused(tmp_path: Path, header: str) -> None:
    hostile_checkpoint(tmp_path / "model.safetensors", header)
    np.save(tmp_path / "video.npy", np.ones((3, 6), np.float32))
    process = call(
        tmp_path,
        "refinevad.score",
        *("--checkpoint", "model.safetensors", "--features", "video.npy"),
    )
    assert "model.safetensors: " in refusal(process)
    assert not (tmp_path / "runs").exists()


def test_a_video_named_in_formulas_is_scored(tmp_path: Path) -> None:
    """The picture's title is the file's name, not something to be typeset."""
    hostile_checkpoint(tmp_path / "model.safetensors", claims())
    name = r"$\frac{1}$ ${x"
    np.save(tmp_path / f"{name}.npy", np.ones((3, 6), np.float32))
    process = call(
        tmp_path,
        "refinevad.score",
        *("--checkpoint", "model.safetensors", "--features", f"{name}.npy"),
    )
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "runs" / "score" / f"{name}.png").is_file()
