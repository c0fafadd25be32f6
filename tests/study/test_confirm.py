"""Confirmation of a search: numbers by hand, and the command on a real study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from refinevad.errors import InputError
from study.analysis.confirmation import confirmation, name_of, sentences
from study.analysis.ensemble import ensemble_of
from study.config.variants import REPLICATE, VARIANT
from study.ledger.records import TrialRecord, TrialResult, ranked
from study.ledger.study import read_study
from tests.support.workspace import Workspace


def trial(number: int, variant: str, seed: int, objective: float) -> TrialRecord:
    asked = TrialRecord(
        number, f"s/u/{number}", {VARIANT: variant, REPLICATE: seed}, seed=0, state="RUNNING"
    )
    metrics = {"selected/test/auc": objective - 0.1}
    return asked.with_result(TrialResult("COMPLETE", objective, metrics=metrics))


VALUES = {7: [0.80, 0.82, 0.84], 3: [0.85, 0.86, 0.87]}


def records() -> list[TrialRecord]:
    pairs = [(n, seed) for seed in range(3) for n in VALUES]
    return [trial(i, name_of(n), seed, VALUES[n][seed]) for i, (n, seed) in enumerate(pairs)]


def test_luck_is_the_searchs_number_less_the_mean_with_its_interval() -> None:
    found = confirmation("s", {7: 0.9, 3: 0.88}, records(), seeds=3, splits=2)
    assert found.trusted.trial == 3
    first = found.rows[0]
    half = t.ppf(0.975, 2) * np.std(VALUES[7], ddof=1) / np.sqrt(3)
    assert first.luck.value == pytest.approx(0.9 - 0.82)
    assert (first.luck.low, first.luck.high) == pytest.approx((0.08 - half, 0.08 + half))
    assert found.rows[1].difference is not None
    assert found.rows[1].difference.value == pytest.approx(0.04)
    assert found.rows[1].test["test AUC"].value == pytest.approx(0.76)
    trust, luck, above = sentences(found, "ap on val")
    assert trust.startswith("Trial 3 is the configuration to trust: ap on val 0.8600 [")
    assert luck.startswith("The search gave its best trial, 7, 0.9000; trained again it has 0.8200")
    assert above.startswith("Trial 3 is 0.0400 [")


def test_a_configuration_whose_trials_failed_is_not_trusted() -> None:
    known = [r for r in records() if r.params[VARIANT] == name_of(3)]
    found = confirmation("s", {7: 0.9, 3: 0.88}, known, seeds=3, splits=1)
    assert found.trusted.trial == 3
    assert len(sentences(found, "ap on val")) == 1


def test_the_command_trains_the_best_again_on_other_splits(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from study import confirm, report
    from study import run as study_run

    monkeypatch.chdir(workspace.folder)
    monkeypatch.setenv("COLUMNS", "200")
    session = ["--stores", str(workspace.stores), "--tracking-uri", "none", "--backend", "serial"]

    def said(main: Callable[[list[str]], int], *words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out

    text = workspace.space.read_text()
    workspace.space.write_text(text.replace("train: {", "train: {seed: 5, "))  # fixed, as the paper
    search_again = ("--space", str(workspace.space), "--no-baselines", *session)
    said(study_run.main, *search_again)
    folder = workspace.folder / "runs" / "small"
    flags = ("--study", "small", "--top", "2", "--seeds", "3", "--splits", "2", "--ensemble")
    first = said(confirm.main, *flags, *session)
    assert "is the configuration to trust" in first
    assert "The mean score of the trusted configuration's 3 models" in first
    assert "Metrics of a trial are means over its 2 folds" in first

    search, again = read_study(folder), read_study(folder.with_name("small_confirm"))
    best = ranked(search.records)[:2]
    assert list(again.file.variants) == [name_of(r.number) for r in best]
    for record in best:
        own = again.file.trial_config({VARIANT: name_of(record.number)})
        theirs = search.file.trial_config(record.params)
        assert own.model == theirs.model
        assert own.train == theirs.train.model_copy(update={"seed": None})
    assert again.file.objective.folds == 2
    seeds = {again.file.split_seed + fold for fold in range(2)}
    assert search.file.split_seed not in seeds
    content = json.loads((folder / "confirmed.json").read_text())
    assert content["trusted"] in [r.number for r in best]
    assert (folder.with_name("small_confirm") / "cards" / "1_confirmed" / "table.csv").is_file()

    second = said(confirm.main, *flags, *session)
    assert "all 6 trials have run already" in second
    said(report.main, "--study", "small", "--tracking-uri", "none", "--bootstraps", "20")
    page = (folder / "report.html").read_text()
    assert "Confirmed on new seeds and splits" in page
    assert "is the configuration to trust" in page.partition("How the study was run")[0]
    once_more = said(study_run.main, *search_again)
    assert f"confirmed: Trial {content['trusted']} is the configuration" in once_more

    with pytest.raises(InputError, match="compares variants with several seeds already"):
        confirm.main(["--study", "small_confirm", *session])


def test_an_ensemble_is_the_mean_of_its_members_scores(tmp_path: Path) -> None:
    from refinevad.evaluation.scores import score_test
    from refinevad.evaluation.splits import test_metrics
    from refinevad.models import checkpoint
    from refinevad.models.linear.config import LinearConfig
    from refinevad.models.linear.model import Linear
    from refinevad.testing.tiny_store import tiny_store
    from tests.support.detectors import task

    store = tiny_store()
    paths, scores = [], []
    for number in range(3):
        model = Linear(LinearConfig(), task(store.widths, 3))
        path = tmp_path / f"{number}.safetensors"
        checkpoint.save(
            path, model.state_dict(), model=model.config, categories=store.categories,
            widths=store.widths,
        )  # fmt: skip
        paths.append(path)
        scores.append(score_test(model, store, length="full"))
    found = ensemble_of(paths, store, length="full")
    expected = test_metrics(np.mean(scores, axis=0), store)
    assert found.together["test/auc"] == pytest.approx(expected["test/auc"], abs=1e-6)
    alone = [test_metrics(row, store)["test/auc"] for row in scores]
    assert found.alone["test/auc"] == pytest.approx(np.mean(alone))
