"""`python -m study.paper`: every table and figure from real runs on a small data set."""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from refinevad.data import prepare
from refinevad.evaluation.localisation import class_scores, map_clean, truth_of
from refinevad.evaluation.recognition import recognition_metrics
from refinevad.evaluation.scores import score_test
from refinevad.models.checkpoint import load
from study.ledger.study import read_study
from study.paper import TABLES
from study.reporting.card import read_cards
from study.tables.ablations import COMPARISONS
from study.tables.test_scores import score_variants
from study.tables.videos import shown_videos
from study.trials.checkpoints import checkpoint_path
from tests.support.workspace import SMALL_STUDY, Workspace

QUICK = ("ablation", "classifier", "detection", "tsne", "curves", "bars")
MODEL = ("--set", "train.epochs=2", "--set", "train.lr=1e-3", "--set", "model.d_proj=8")


def paper(workspace: Workspace, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "study.paper", *map(str, arguments)),
            *("--space", str(workspace.space), "--stores", str(workspace.stores)),
            *("--tracking-uri", "none", "--seeds", "2", "--name", "paper"),
            *("--no-baselines", *MODEL),
        ],
        cwd=workspace.folder,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, stores: Path) -> tuple[Workspace, str]:
    folder = tmp_path_factory.mktemp("paper")
    (folder / "small.yaml").write_text(SMALL_STUDY)
    workspace = Workspace(folder, stores, here=True)
    run = paper(workspace, *QUICK, "--backend", "serial")
    assert run.returncode == 0, run.stdout + run.stderr
    return workspace, run.stdout


def test_every_table_has_its_card(made: tuple[Workspace, str]) -> None:
    workspace, said = made
    folder = workspace.folder / "runs" / "paper"
    names = {path.name.partition("_")[2] for path in (folder / "cards").iterdir()}
    assert names == set(QUICK)
    fingerprint = read_study(workspace.folder / "runs" / "paper_ablation").meta.fingerprint
    cards = read_cards(folder, fingerprint)
    assert [card.title in said for card in cards] == [True] * 7  # the classifier has two
    assert all(card.picture for card in cards)
    page = html.unescape((folder / "paper.html").read_text())
    assert all(card.title in page for card in cards)


@pytest.mark.slow
def test_all_tables(made: tuple[Workspace, str]) -> None:
    workspace, _ = made
    run = paper(workspace, "all", "--backend", "serial")
    assert run.returncode == 0, run.stdout + run.stderr
    cards = workspace.folder / "runs" / "paper" / "cards"
    assert {path.name.partition("_")[2] for path in cards.iterdir()} == set(TABLES)
    for table, comparison in COMPARISONS.items():
        view = read_study(workspace.folder / "runs" / f"paper_{table}")
        assert list(view.file.variants) == list(comparison.variants)
        assert len(view.ended) == 2 * len(comparison.variants)
    _same_bits(workspace)


def _same_bits(workspace: Workspace) -> None:
    """Variants of one configuration, whatever they are called, in three studies."""
    whole = {"ablation": "refinevad", "injection": "cross_attention", "temporal": "motar"}
    found = []
    for table, variant in whole.items():
        records = read_study(workspace.folder / "runs" / f"paper_{table}").records
        found.append([r.objective for r in records if r.params["arm"] == variant])
    assert found[0] == found[1] == found[2]
    assert found[0][0] != found[0][1]


def test_models_are_scored_as_the_trial_was(made: tuple[Workspace, str]) -> None:
    workspace, _ = made
    view = read_study(workspace.folder / "runs" / "paper_ablation")
    store = prepare(view.file.data, workspace.stores)
    scored = score_variants(view, store, ["refinevad", "hard"])
    assert [(s.variant, s.replicate) for s in scored] == [
        ("refinevad", 0), ("refinevad", 1), ("hard", 0), ("hard", 1),
    ]  # fmt: skip
    number = next(
        r.number for r in view.records if r.params == {"arm": "refinevad", "replicate": 0}
    )
    model, _ = load(checkpoint_path(view.folder / "checkpoints", number))
    assert scored[0].snippets == pytest.approx(
        score_test(model, store, length="segments"), abs=1e-6
    )
    cards = workspace.folder / "runs" / "paper" / "cards"
    table = pd.read_csv(next(cards.glob("30_*")) / "table.csv").set_index("variant")
    top3 = [recognition_metrics(s.probs, store.test.labels)["top3"] for s in scored[:2]]
    assert table["top-3 accuracy"]["soft classes"] == pytest.approx(np.mean(top3))
    detected = pd.read_csv(next(cards.glob("40_*")) / "table.csv")
    matrix = [class_scores(s.snippets, s.probs, store.test.offsets, "soft") for s in scored[:2]]
    truth = truth_of(store.test, normal=False)
    expected = np.mean([map_clean(m, store.test.offsets, truth).by_iou[0.1] for m in matrix])
    assert detected.iloc[3]["@0.1"] == pytest.approx(expected, abs=0.006)
    videos = shown_videos(store)
    assert len(set(videos)) == 13
    assert not store.test.labels[videos[-1]].any()
    assert store.test.labels[videos[:-1]].any(axis=1).all()


def test_what_has_run_is_not_run_again(made: tuple[Workspace, str]) -> None:
    workspace, _ = made
    again = paper(workspace, "curves")
    assert again.returncode == 0, again.stderr
    assert "all 8 trials have run already" in again.stdout
    assert "Score curves" in again.stdout
    assert "Injection" not in again.stdout


def test_mistakes_are_named(made: tuple[Workspace, str]) -> None:
    workspace, _ = made
    unknown = paper(workspace, "table9")
    assert unknown.returncode == 2
    assert "table9" in unknown.stderr
    missing = paper(workspace, "ablation", "--from-study", "nowhere")
    assert missing.returncode == 2
    assert "no study here" in missing.stderr


def test_tables_score_a_checkpoint_as_the_detector_predicts(tmp_path: Path) -> None:
    """Features normalised before, scores smoothed after."""
    from types import SimpleNamespace
    from typing import Any, cast

    import torch

    from refinevad.data.device import as_tensor
    from refinevad.evaluation.scores import score_segments
    from refinevad.models import checkpoint
    from refinevad.models.refinevad.config import RefineVADConfig
    from refinevad.models.refinevad.model import RefineVAD
    from refinevad.testing.tiny_store import tiny_store
    from study.tables.test_scores import score_model
    from tests.support.detectors import task

    store: Any = tiny_store()
    config = RefineVADConfig(
        d_model=16, d_proj=8, d_emb=8, encoder_feedforward=16, shift_groups=4,
        normalise="l2", smooth_segments=3, video_share=0.25,
    )  # fmt: skip
    model = RefineVAD(config, task(store.widths, 3)).eval()
    path = tmp_path / "c.safetensors"
    checkpoint.save(
        path, model.state_dict(), model=config, categories=store.categories, widths=store.widths
    )
    found = score_model(path, cast(Any, SimpleNamespace(**vars(store))), variant="a", replicate=0)
    expected = score_segments(model, as_tensor(store.test.segments)).scores
    torch.testing.assert_close(torch.from_numpy(found.segments), torch.from_numpy(expected))
