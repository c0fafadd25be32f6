"""The console commands: what they list, what init writes, the schema, completion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import refinevad
from refinevad import cli
from refinevad.__main__ import COMMANDS as OF_REFINEVAD
from refinevad.config.document import read_document
from refinevad.errors import InputError
from refinevad.models.registry import CONFIGS
from study.__main__ import COMMANDS as OF_STUDY
from study.config.load import load_study
from study.config.schema import study_schema
from study.init import main as init
from study.init import study_files
from study.list import main as list_studies
from study.space.membership import contains
from tests.support.ledgers import made
from tests.support.workspace import REPOSITORY

PACKAGES = {"refinevad": OF_REFINEVAD, "study": OF_STUDY}
SHIPPED = sorted((REPOSITORY / "search_spaces").glob("*.yaml"))


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_without_a_command_it_lists_what_there_is(package: str, tmp_path: Path) -> None:
    shown = run(package, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for command, text in PACKAGES[package].items():
        assert f"  {command:11}"[: len(command) + 2] in shown.stdout
        assert text in shown.stdout
    version = run(package, "--version", folder=tmp_path)
    assert version.stdout.split()[-1] == refinevad.__version__


def test_a_command_is_run_by_its_name_and_a_wrong_name_is_one_line(tmp_path: Path) -> None:
    told = run("study", "verify", "--study", "nothing", folder=tmp_path)
    assert told.returncode == 2
    assert "no study here" in told.stderr
    wrong = run("study", "rum", folder=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: no command 'rum'; did you mean `run`?")


def test_help_speaks_of_the_command_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.program("study.run") == "python -m study.run"
    monkeypatch.setattr(cli, "_umbrella", "refinevad-study")
    assert cli.program("study.run") == "refinevad-study run"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_and_flags(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.umbrella("refinevad-study", "study", OF_STUDY, ["--completion", shell])
    script = capsys.readouterr().out
    for word in ("importance", "--backend", "serial", "--bootstraps"):
        assert word in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_init_writes_the_shipped_file(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.yaml"
    init([path.stem, "--out", str(target)])
    assert target.read_text() == path.read_text()
    assert f"python -m study.run --space {target} --dry-run" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"exists; give another name with --out, or --force"):
        init([path.stem, "--out", str(target)])
    init([path.stem, "--out", str(target), "--force"])


def test_init_names_the_variable_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UCF_ROOT", raising=False)
    init(["ucf", "--out", str(tmp_path / "a.yaml")])
    assert "next: set UCF_ROOT (the head of the file" in capsys.readouterr().out
    monkeypatch.setenv("UCF_ROOT", str(tmp_path))
    init(["ucf", "--out", str(tmp_path / "b.yaml")])
    assert "set UCF_ROOT" not in capsys.readouterr().out


def test_init_knows_the_files_of_the_repository() -> None:
    assert list(study_files()) == [path.stem for path in SHIPPED]
    assert {"demo", "xd", "ucf", "own"} <= set(study_files())


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UCF_ROOT", "XD_ROOT", "REFINEVAD_DATA"):
        monkeypatch.setenv(name, "/data")


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("detector", CONFIGS)
def test_init_writes_a_file_that_searches_any_detector(
    detector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    init(["ucf_captions", "--model", detector])
    path = Path(f"ucf_captions_{detector}.yaml")
    jsonschema.validate(read_document(path).data, study_schema())
    file = load_study(path)
    assert file.study.name == f"ucf_captions_{detector}"
    assert file.model.name == detector
    config = CONFIGS[detector]
    assert set(config.space) <= set(file.space) <= {*config.space, "lr", "epochs"}
    assert ("lr" in file.space) == (not config.fitted)
    assert path.read_text().startswith("# UCF-Crime, official split")
    defaults = file.model.model_dump()
    if detector not in ("refinevad", "linear"):  # the published value is in its range
        for knob in config.space:
            assert contains(file.space[knob].distribution(), defaults[knob]), knob


def test_init_knows_its_detectors_and_files_without_a_space(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "a.yaml")]
    with pytest.raises(InputError, match="--model rtfn: there is no such detector; known: refine"):
        init(["own", "--model", "rtfn", *out])
    with pytest.raises(InputError, match=r"paper_ucf\.yaml searches nothing; take another file"):
        init(["paper_ucf", "--model", "rtfm", *out])
    assert not (tmp_path / "a.yaml").exists()


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_takes_every_shipped_file(path: Path) -> None:
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(read_document(path).data, schema)
    load_study(path)  # and so does the product
    resolved = yaml.safe_load(load_study(path).to_yaml())
    jsonschema.validate(resolved, schema)


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({"model": {"name": "deepmil", "hidden": 64}}, True),
        ({"model": {"name": "deepmil", "d_model": 64}}, False),
        ({"model": {"name": "no such"}}, False),
        ({"model": {"d_modl": 64}}, False),
        ({"objective": [{"metric": "ap"}, {"cost": "flops"}]}, True),
        ({"objective": [{"metric": "ap"}, {"cost": "flop"}]}, False),
        ({"objective": [{"metric": "ap"}, {"price": 1}]}, False),
        ({"train": {"lambda_cat": 0.5}}, True),  # as version 0.3 had it
        ({"execution": {"trial_timeout": "30m"}}, True),
        ({"execution": {"trial_timeout": "soon"}}, False),
        ({"pruning": "none"}, True),
        ({"spaces": {}}, False),
    ],
)
def test_the_schema_knows_every_detector_and_finds_mistakes(
    change: dict[str, Any], valid: bool
) -> None:
    content: dict[str, Any] = {
        "study": {"name": "a", "trials": 3},
        "data": {"synthetic": "ucf-like"},
        "space": {"lr": {"log_uniform": [1e-4, 1e-2]}},
    }
    validator = jsonschema.Draft202012Validator(study_schema())
    assert validator.is_valid(content | change) == valid


def test_the_schema_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from study.schema import main

    main([])
    printed = json.loads(capsys.readouterr().out)
    main(["--out", str(tmp_path / "s.json")])
    assert json.loads((tmp_path / "s.json").read_text()) == printed
    assert "yaml-language-server: $schema=" in capsys.readouterr().out


def test_studies_are_listed_the_last_one_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="no study here"):
        list_studies(["--runs", str(tmp_path)])
    made(tmp_path / "older", 3, trials=10)
    made(tmp_path / "newer", 0)
    (tmp_path / "newer" / "journal.log").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "journal.log").write_text("no journal\nat all\n")
    strange = made(tmp_path / "strange", 1) / "journal.log"
    strange.write_text(strange.read_text().replace('"seed":1000', '"sed":1000'))
    list_studies(["--runs", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[2:]}
    assert rows.keys() == {"older", "newer", "broken", "strange"}
    assert "restore the file" in rows["strange"]
    assert "3 of 10" in rows["older"]
    assert "0.0200" in rows["older"]
    assert "ap on val" in rows["older"]
    assert "run it first" in rows["broken"]
