"""`python -m study.report`: a page for every study there can be."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mlflow import MlflowClient

from refinevad import cli
from study import publish
from study.config.variants import SourceSection
from study.ledger.records import TrialRecord
from study.ledger.study import read_study
from study.plots.trials import history
from study.report import main
from study.reporting.card import Card, read_cards, write_card
from study.reporting.overview import facts
from tests.support.studies import complete, diverged, failed, made_study

pytestmark = pytest.mark.usefixtures("quick_forests")

FEW = ["--bootstraps", "20", "--tracking-uri", "none"]


class Page(HTMLParser):
    """Titles of cards, elements, and everything that could be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.fetched: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self._title = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self._title = tag == "h2"
        for name, value in attrs:
            if name in ("src", "href", "data", "action", "srcset"):
                self.fetched.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._title:
            self.titles.append(data)
            self._title = False


def page_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> Page:
    """The page of a study, which needs no network and runs nothing."""
    assert main(["--study", str(folder), *FEW]) == 0
    capsys.readouterr()
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.fetched)
    assert not {"script", "link", "iframe", "object"} & set(page.elements)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    return page


def test_a_finished_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made_study(tmp_path / "whole", 60)
    page = page_of(folder, capsys)
    assert page.titles == [
        "How the study was run", "Best trials", "On the test set", "The search",
        "Which hyperparameters matter", "The best values", "Interactions",
        "Ranking stability", "All configurations", "Learning curves and pruning", "Failures",
    ]  # fmt: skip
    assert "SYNTHETIC DATA" in page.text
    assert "average precision (0 to 1)" in page.text
    assert "selected on val (videos held out of training)" in page.text
    assert read_study(folder).meta.hash in page.text
    first = (folder / "report.html").read_bytes()
    page_of(folder, capsys)
    assert (folder / "report.html").read_bytes() == first


def test_a_running_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(made_study(tmp_path / "running", 30, trials=90), capsys)
    assert "30 of 90 have ended" in page.text
    assert "60 remaining" in page.text


def test_a_study_with_too_few_trials_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(made_study(tmp_path / "few", 3), capsys)
    assert "3 trials have a result; importances need at least 20" in page.text
    assert "All configurations" in page.titles


@pytest.mark.parametrize("ended", [0, 25])
def test_a_study_without_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ended: int
) -> None:
    folder = made_study(tmp_path / "failed", ended, trials=30, outcome=failed)
    page = page_of(folder, capsys)
    assert f"{ended} of 30 trials have ended and none has a result" in page.text
    content = (folder / "report.html").read_text()
    assert ("<dt>digest</dt><dd>–</dd>" in content) == (ended == 0), "of nothing there is none"
    if ended:
        assert "25 trials failed" in page.text
        assert '<script>alert(1)</script> "it\'s" $x^2$ & more' in page.text


def test_a_study_of_which_all_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(made_study(tmp_path / "lost", 25, outcome=diverged), capsys)
    assert "All 25 trials have the objective 0: they diverged" in page.text
    assert "25 diverged" in page.text


def test_one_of_a_kind_is_in_the_singular(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_study(
        tmp_path / "one", 5, outcome=lambda n, v: (failed if n == 3 else complete)(n, v)
    )
    page = page_of(folder, capsys)
    assert "1 trial failed, none diverged, no attempt was lost while a session ran" in page.text
    assert not re.search(r"\b1 (trials|attempts|epochs)\b", page.text)


def test_a_picture_fits_a_phone_and_is_enlarged_by_a_tap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_study(tmp_path / "phone", 25)
    page_of(folder, capsys)
    content = (folder / "report.html").read_text()
    assert "min-width" not in re.sub(r"max-width|@media", "", content)
    pictures = re.findall(r'<label for="(picture-\d+)"><img ', content)
    boxes = re.findall(r'<input type="checkbox" id="(picture-\d+)"', content)
    assert pictures == boxes != []
    assert len(set(boxes)) == len(boxes)


def test_the_grey_band_ends_with_the_trials_there_are() -> None:
    records = [
        TrialRecord(n, f"s/u/{n}", {}, seed=1, state="RUNNING").with_result(complete(n, 0.5))
        for n in range(6)
    ]
    for space_filling, right in ((range(300), 5.5), (range(4), 3.5), (range(2, 4), 3.5)):
        picture = history(records, space_filling, "ap on val")
        (axes,) = picture.axes
        band = next(p for p in axes.patches if p.get_label() == "space-filling")
        assert band.get_extents().transformed(axes.transData.inverted()).x1 == pytest.approx(right)


def test_groups_of_the_validation_split_are_said(tmp_path: Path) -> None:
    view = read_study(made_study(tmp_path / "grouped", 3))
    assert "groups" not in facts(view)["data"]
    data = view.file.data.model_copy(update={"synthetic": None, "groups": Path("cams.csv")})
    grouped = dataclasses.replace(view, file=view.file.model_copy(update={"data": data}))
    assert facts(grouped)["data"].endswith("; held out by groups (cams.csv), each whole")


def test_a_source_on_synthetic_data_leaves_its_mark(tmp_path: Path) -> None:
    view = read_study(made_study(tmp_path / "target", 3))
    source = tmp_path / "source"
    source.mkdir()
    real = view.file.model_copy(
        update={
            "data": view.file.data.model_copy(update={"synthetic": None}),
            "source": SourceSection(checkpoints=str(source / "checkpoints"), sha256=("",)),
        }
    )
    view = dataclasses.replace(view, file=real)
    assert view.synthetic == ""  # the source's study is not there
    (source / "study.yaml").write_text("data: {taxonomy: ucf}\n")
    assert view.synthetic == ""
    (source / "study.yaml").write_text("data: {synthetic: xd-like}\n")
    assert view.synthetic.startswith("SOURCE: SYNTHETIC DATA")
    assert view.caption().endswith("; SOURCE: SYNTHETIC DATA")


def test_some_fail_and_some_diverge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [complete, complete, diverged, complete, failed]
    folder = made_study(
        tmp_path / "mixed", 40, outcome=lambda number, value: outcomes[number % 5](number, value)
    )
    page = page_of(folder, capsys)
    assert "8 trials failed, 8 diverged" in page.text


def test_one_searched_hyperparameter_and_one_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"lr": {"log_uniform": [1e-5, 1e-2]}, "d_proj": {"choice": [64]}}
    page = page_of(made_study(tmp_path / "one", 30, space=space), capsys)
    assert "one value only" in page.text
    only = {"d_proj": {"choice": [64]}}
    page = page_of(made_study(tmp_path / "none", 25, space=only), capsys)
    assert "nothing was searched" in page.text


def test_cards_of_the_same_data_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_study(tmp_path / "runs" / "searched", 5)
    for name, fingerprint in (("mine", "c0ffee"), ("other", "bad")):
        card = Card(f"Title of {name}", "A <b>finding</b>.", note="n")
        write_card(card, tmp_path / "runs" / name / "cards" / "1", fingerprint=fingerprint)
    page = page_of(folder, capsys)
    assert page.titles[-1] == "Title of mine"
    assert "A <b>finding</b>." in page.text
    assert [c.title for c in read_cards(tmp_path / "runs" / "other", "bad")] == ["Title of other"]
    (tmp_path / "runs" / "mine" / "cards" / "1" / "card.json").write_text("{")
    with pytest.raises(SystemExit) as exited:
        cli.run(main, ["--study", str(folder), *FEW])
    assert exited.value.code == 2
    assert "not a card" in capsys.readouterr().err


def test_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made_study(tmp_path / "runs" / "here", 5)
    assert main(["--study", str(folder), *FEW, "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").exists()
    assert not (folder / "report.html").exists()
    (tmp_path / "file").write_text("")
    for arguments, code in (
        (["--study", str(tmp_path / "nowhere")], 2),
        (["--study", str(folder), "--out", str(tmp_path / "file" / "page.html")], 1),
    ):
        with pytest.raises(SystemExit) as exited:
            cli.run(main, [*arguments, *FEW])
        assert exited.value.code == code
        assert "Traceback" not in capsys.readouterr().err


def test_mlflow_keeps_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made_study(tmp_path / "runs" / "shown", 5)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert publish.main(["--study", str(folder), "--tracking-uri", uri]) == 0
    assert main(["--study", str(folder), "--bootstraps", "20", "--tracking-uri", uri]) == 0
    assert "added to the study's run" in capsys.readouterr().out
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("shown")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "attributes.run_name = 'shown'")
    assert "report.html" in {file.path for file in client.list_artifacts(runs[0].info.run_id)}
