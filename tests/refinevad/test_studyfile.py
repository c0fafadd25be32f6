"""Study files: what is read, and what a mistake is answered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from refinevad.config.document import parse_value, read_document
from refinevad.errors import InputError
from refinevad.run_config import load_config, searched_fields

GOOD = """\
study: {name: x}
data:
  taxonomy: ucf
  annotations: gt.txt
  text: {layout: csv, root: ${FEATURES}/a, train_list: train.csv, test_list: test.csv}
model:
  d_proj: 128
train: {lr: 1e-4}
"""


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("FEATURES", "/features of mine")

    def to_file(text: str) -> Path:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return path

    return to_file


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as error:
        load_config(path, overrides)
    return str(error.value)


def test_a_good_file_is_read_with_variables_and_plain_exponents(write: Write) -> None:
    config = load_config(write(GOOD))
    assert config.data.text is not None
    assert config.data.text.root == Path("/features of mine/a")
    assert config.train.lr == 1e-4
    assert config.model.d_proj == 128
    assert config.model.d_model == 768


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("lr=2e-5", "train", "lr", 2e-5),
        ("model.d_emb=32", "model", "d_emb", 32),
        ("mil_top_k=null", "model", "mil_top_k", None),
        ("data.segments=64", "data", "segments", 64),
        ("shift=off", "model", "shift", "off"),
        ("label_prototype=false", "model", "label_prototype", False),
    ],
)
def test_overrides_win(
    write: Write, override: str, section: str, field: str, value: object
) -> None:
    config = load_config(write(GOOD), [override])
    assert getattr(getattr(config, section), field) == value


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("d_proj: 128", "d_porj: 128", 7, "model.d_porj: unknown key; did you mean `d_proj`?"),
        ("d_proj: 128", "d_proj: 130", 6, "d_proj = 130 is not divisible by injection_heads = 4"),
        ("d_proj: 128", "fusion: both", 7, "found 'both', allowed: 'concat', 'visual' or 'text'"),
        ("d_proj: 128", "d_proj: wide", 7, "found 'wide', expected a whole number"),
        ("lr: 1e-4", "lr: 0", 8, "train.lr: found 0: input should be greater than 0"),
        ("layout: csv", "layout: cvs", 5, "data.text.layout: found 'cvs'"),
        ("lr: 1e-4", "seed: -1", 8, "train.seed: found -1: input should be greater than or equal"),
        ("lr: 1e-4", "seed: 1.5", 8, "train.seed: found 1.5"),
        ("taxonomy: ucf", "split_seed: -1", 3, "data.split_seed: found -1: input should be great"),
        ("taxonomy: ucf", f"split_seed: {2**63}", 3, "data.split_seed: found 9223372036854775808"),
        ("${FEATURES}", "${NOT_SET_HERE}", 5, "environment variable NOT_SET_HERE is not set"),
        ("  taxonomy: ucf\n", "  taxonomy: ucf\n  taxonomy: xd\n", 4, "given twice"),
        (", test_list: test.csv", "", 2, "one modality must have `train_list` and `test_list`"),
        ("  annotations: gt.txt\n", "", 2, "no ground truth"),
        ("d_proj: 128", "d_proj: [", 9, "not valid YAML"),
        ("train: {lr: 1e-4}", "train: 7", 8, "expected a section"),
    ],
)
def test_a_mistake_is_named_where_it_stands(
    write: Write, old: str, new: str, line: int, words: str
) -> None:
    assert old in GOOD
    message = refusal(write(GOOD.replace(old, new)))
    assert words in message
    assert f"x.yaml:{line}: " in message.splitlines()[0]


def test_every_mistake_is_in_one_message(write: Write) -> None:
    text = GOOD.replace("d_proj: 128", "d_porj: 128").replace("lr: 1e-4", "lr: -1")
    assert len(refusal(write(text)).splitlines()) == 2


def test_a_wrong_override_names_the_flag(write: Write) -> None:
    path = write(GOOD)
    assert refusal(path, "lr") == "--set lr: expected KEY=VALUE, such as epochs=10"
    assert "did you mean `epochs`?" in refusal(path, "epohcs=3")
    assert "--set lr=fast: train.lr: found 'fast'" in refusal(path, "lr=fast")
    assert "did you mean `model`?" in refusal(path, "modle.d_emb=3")


def test_a_missing_file_offers_its_neighbour(write: Write) -> None:
    path = write(GOOD)
    assert f"did you mean `{path}`?" in refusal(path.with_name("xx.yaml"))


def test_a_file_without_data_or_that_is_no_mapping_is_refused(write: Write) -> None:
    assert "no `data` section" in refusal(write("model: {}\n"))
    assert "expected sections" in refusal(write("- 1\n"))
    assert "no `data` section" in refusal(write(""))


def test_a_python_tag_is_data_not_code(write: Write) -> None:
    evil = 'data: !!python/object/apply:os.system ["touch pwned"]\n'
    assert "not valid YAML" in refusal(write(evil))
    with pytest.raises(InputError, match="cannot read"):
        parse_value('!!python/object/apply:os.system ["touch pwned"]')


def test_lines_are_known_for_every_key(write: Write) -> None:
    document = read_document(write(GOOD))
    assert document.where(("model", "d_proj")).endswith(":7")
    assert document.where(("model", "nothing")).endswith(":6")


def test_searched_fields_are_those_that_nothing_sets(write: Write) -> None:
    path = write(GOOD + "space: {d_emb: {choice: [4]}, epochs: {int: [1, 2]}}\n")
    assert searched_fields(path) == ["d_emb", "epochs"]
    assert searched_fields(path, ["train.epochs=3"]) == ["d_emb"]
    assert searched_fields(write(GOOD)) == []


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("demo", "; did you mean `search_spaces/demo.yaml`?"),
        ("own.yml", "; did you mean `search_spaces/own.yaml`?"),
        ("mien.yaml", "; did you mean `mine.yaml`?"),
        ("nothing.yaml", "; study files here: mine.yaml"),
        ("serach/mine.yaml", "; there is no folder serach"),
    ],
)
def test_a_missing_file_has_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    for name in ("search_spaces/demo.yaml", "search_spaces/own.yaml", "mine.yaml", ".hidden.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(InputError) as caught:
        read_document(Path(asked))
    assert str(caught.value) == f"{asked}: no such file{hint}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-007", -7),
        ("0x10", 16),
        ("0b11", 3),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("0o10", "0o10"),
        ("1e-5", 1e-5),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("1.5e+3", 1500.0),
        (".inf", float("inf")),
        ("off", "off"),
        ("3.0.1", "3.0.1"),
        ("_1", "_1"),
    ],
)
def test_numbers_are_read_as_they_are_written(text: str, value: object) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_paths_know_the_home_folder_and_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("MINE", "/mine")
    monkeypatch.delenv("NOT_SET", raising=False)
    path = tmp_path / "s.yaml"
    path.write_text(
        "a: ~/x\nb: $HOME/x\nc: ${HOME}/x\nd: ${NOT_SET:-/data/x}\ne: ${MINE:-/data}/x\n"
        "f: {g: ${NOT_SET:-y}, h: ${NOT_SET:-}}\ni: cam(\\d+)$\nj: a~/b\nk: $5\nl: ~\n"
    )
    assert read_document(path).data == {
        "a": "/home/me/x",
        "b": "/home/me/x",
        "c": "/home/me/x",
        "d": "/data/x",
        "e": "/mine/x",
        "f": {"g": "y", "h": ""},
        "i": "cam(\\d+)$",
        "j": "a~/b",
        "k": "$5",
        "l": None,
    }
    path.write_text("a: $NOT_SET/x\n")
    with pytest.raises(InputError, match=r"s\.yaml:1: a: environment variable NOT_SET is not set"):
        read_document(path)
