"""Studies of variants: the same machinery, the same seeds for all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from refinevad.errors import InputError
from refinevad.run_config import searched_fields
from study.config.load import load_study
from study.config.study_file import StudyFile
from study.ledger.records import StudyMeta, TrialRecord, TrialResult
from study.ledger.study import StudyView, read_study
from study.reporting.variants import variants_card
from study.search.proposal import ordered_search, propose
from study.search.variants import VariantSearch
from study.session.variants import comparison_study
from tests.support.small_data import study_text
from tests.support.workspace import SMALL_STUDY, Workspace, digest_of

VARIANTS = """
study: {name: small, seed: 7}
execution: {threads: 1, precision: fp32, keep_checkpoints: 6}
data: {synthetic: ucf-like}
model: {d_model: 16, encoder_feedforward: 32, encoder_heads: 2, injection_heads: 2, d_proj: 8}
train: {batch_size: 16, epochs: 2, lr: 1.0e-3}
variants:
  plain: {}
  linear: {injection: linear, lr: 2.0e-3}
  unshifted: {shift: 'off'}
seeds: 2
"""


@pytest.fixture
def variants_workspace(tmp_path: Path, stores: Path, data: Path) -> Workspace:
    (tmp_path / "small.yaml").write_text(study_text(data, VARIANTS))
    return Workspace(tmp_path, stores, here=True)


def changed(**sections: Any) -> StudyFile:
    return StudyFile.model_validate(yaml.safe_load(VARIANTS) | sections)


def test_all_variants_of_a_seed_stand_together_and_share_it() -> None:
    file = changed()
    assert file.study.trials == 6
    search = ordered_search(file)
    asked = [propose(file, search, None, []) for _ in range(6)]
    assert [(a.params["arm"], a.params["replicate"]) for a in asked] == [
        ("plain", 0), ("linear", 0), ("unshifted", 0),
        ("plain", 1), ("linear", 1), ("unshifted", 1),
    ]  # fmt: skip
    assert len({a.seed for a in asked[:3]}) == 1
    assert len({a.seed for a in asked[3:]}) == 1
    assert asked[0].seed != asked[3].seed
    config = file.trial_config(asked[1].params)
    assert (config.model.injection, config.train.lr) == ("linear", 2e-3)
    assert file.trial_config(asked[0].params).model.injection == "cross_attention"


def test_more_seeds_are_no_other_study_and_other_variants_are() -> None:
    assert changed(seeds=5).hash("x") == changed().hash("x")
    assert changed(variants={"plain": {}, "linear": {}}).hash("x") != changed().hash("x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": {"lr": {"uniform": [0.1, 0.2]}}}, "either a space to search or variants"),
        ({"variants": {}}, "either a space to search or variants"),
        ({"seeds": None}, "variants need seeds"),
        ({"seeds": 0}, "seeds"),
        ({"study": {"name": "small", "trials": 7}}, "are 6 trials, not 7"),
        ({"pruning": {}}, "remove pruning"),
        ({"train": {"seed": 3}}, "remove train.seed"),
        ({"variants": {"plain": {"injektion": "linear"}}}, "did you mean `injection`"),
        ({"variants": {"plain": {"injection": "magic"}}}, "'magic' is not possible"),
        ({"variants": {"plain": {"seed": 1}}}, "seeds are the variants' own"),
        ({"variants": {"plain": {"d_proj": 7}}}, "variants.plain: an impossible combination"),
        ({"variants": {"plain": {"start": "warm"}}}, "expected scratch, frozen_core, zero_shot"),
        ({"variants": {"plain": {"start": "zero_shot"}}}, "needs a source"),
        ({"variants": {"a/b": {}}}, "variants"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(VARIANTS) | change))
    with pytest.raises(InputError) as raised:
        load_study(path)
    assert words in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.slow
def test_the_digest_is_that_of_any_number_of_workers_and_sessions(
    variants_workspace: Workspace, tmp_path: Path
) -> None:
    digest = digest_of(variants_workspace.run("--workers", "2"))
    again = Workspace(tmp_path / "again", variants_workspace.stores, here=True)
    again.folder.mkdir()
    again.space.write_text(variants_workspace.space.read_text())
    digest_of(again.run("--workers", "1", "--set", "seeds=1"))
    assert digest_of(again.run("--workers", "1", "--set", "seeds=2")) == digest


def test_variants_are_run_proved_and_reported(variants_workspace: Workspace) -> None:
    done = variants_workspace.run("--workers", "1")
    digest_of(done)
    assert "mean over seeds" in done.stdout  # not one lucky seed
    assert "2 seeds each give no interval over seeds; at least 3 are needed" in done.stdout
    fewer = variants_workspace.run("--workers", "1", "--set", "seeds=1")
    assert fewer.returncode == 2
    assert "give --set seeds=2 or more, or give the study a new name" in fewer.stderr
    proof = command(
        variants_workspace,
        "study.verify",
        "--study",
        "small",
        "--stores",
        variants_workspace.stores,
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr
    report = command(
        variants_workspace, "study.report", "--study", "small", "--tracking-uri", "none"
    )
    assert report.returncode == 0, report.stderr
    page = (variants_workspace.study / "report.html").read_text()
    assert "Variants compared" in page
    assert "2 seeds each give no interval" in page
    assert "3 variants, 2 seeds each" in page
    refused = command(variants_workspace, "study.importance", "--study", "small")
    assert refused.returncode == 2
    assert "is a comparison study" in refused.stderr


def test_a_study_of_version_0_2_keeps_its_hash() -> None:
    """As it was before there were variants, other temporal modules and hard category weights."""
    file = StudyFile.model_validate(yaml.safe_load(SMALL_STUDY))
    kept = file.determinants()
    assert not {"variants", "seeds", "source"} & kept.keys()
    assert not {"temporal", "category_weights"} & kept["model"].keys()


def test_a_search_that_was_not_asked_so_is_refused() -> None:
    search = VariantSearch(["a", "b"])
    with pytest.raises(ValueError, match="no variant 'c'"):
        search.restore({"arm": "c", "replicate": 0})


def transfer(workspace: Workspace) -> list[object]:
    """The arguments of a small transfer between two synthetic data sets."""
    source, target = workspace.folder / "one.yaml", workspace.folder / "other.yaml"
    source.write_text(SMALL_STUDY)
    target.write_text(SMALL_STUDY.replace("ucf-like", "xd-like"))
    return [
        *("--source", source, "--target", target, "--seeds", "2", "--name", "carried"),
        *("--set", "train.epochs=2", "--set", "train.lr=1e-3", "--set", "model.d_proj=8"),
        *("--stores", workspace.stores, "--tracking-uri", "none", "--backend", "serial"),
        "--no-baselines",
    ]


@pytest.mark.slow
def test_a_transfer_goes_on_with_more_seeds_and_can_be_proved(tmp_path: Path, stores: Path) -> None:
    workspace = Workspace(tmp_path, stores, here=True)
    arguments = transfer(workspace)
    first = command(workspace, "study.transfer", *arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    records = read_study(tmp_path / "runs" / "carried").records
    more = command(workspace, "study.transfer", *arguments, "--seeds", "3")
    assert more.returncode == 0, more.stdout + more.stderr
    assert "over 3 seeds" in more.stdout
    assert read_study(tmp_path / "runs" / "carried").records[:6] == records
    proof = command(
        workspace, "study.verify", "--study", "carried", "--stores", stores, "--sample", "9"
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr


def test_a_transfer_of_categories_and_of_whole_models(tmp_path: Path, stores: Path) -> None:
    """The real command on two synthetic data sets."""
    workspace = Workspace(tmp_path, stores, here=True)
    arguments = transfer(workspace)
    first = command(workspace, "study.transfer", *arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "test AP: 2 seeds each give no interval" in first.stdout
    assert "Source categories of the target's classes" in first.stdout
    view = read_study(tmp_path / "runs" / "carried")
    by_variant = {(r.params["arm"], r.params["replicate"]): r for r in view.records}
    assert len(by_variant) == 6
    assert len(by_variant["zero_shot", 0].curve) == 1
    assert len(by_variant["full", 0].curve) == len(by_variant["frozen_core", 0].curve) == 2
    assert by_variant["full", 0].objective != by_variant["frozen_core", 0].objective
    assert "train/cat" not in by_variant["zero_shot", 0].curve[0]
    assert by_variant["frozen_core", 0].curve[0]["train/cat"] == 0
    checkpoint = tmp_path / "runs" / "carried_source" / "checkpoints" / "trial-0000.safetensors"
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    changed_source = command(workspace, "study.transfer", *arguments)
    assert changed_source.returncode == 2
    assert "begun with other settings" in changed_source.stderr


def test_what_cannot_carry_over_is_said_before_anything_runs(tmp_path: Path, stores: Path) -> None:
    source, target = tmp_path / "one.yaml", tmp_path / "other.yaml"
    source.write_text(SMALL_STUDY)
    target.write_text(SMALL_STUDY)
    found = command(
        Workspace(tmp_path, stores, here=True),
        "study.transfer",
        *("--source", source, "--target", target, "--stores", stores, "--tracking-uri", "none"),
        *("--set-source", "model.d_emb=8"),
    )
    assert found.returncode == 2
    assert "d_emb is 8" in found.stderr
    assert not (tmp_path / "runs").exists()


def command(
    workspace: Workspace, module: str, *arguments: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=workspace.folder,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


DETECTORS = """
study: {name: small, seed: 7}
execution: {threads: 1, precision: fp32, keep_checkpoints: 8}
data: {synthetic: ucf-like}
model: {d_model: 16, encoder_feedforward: 32, encoder_heads: 2, injection_heads: 2, d_proj: 8}
train: {batch_size: 16, epochs: 2, lr: 1.0e-3}
variants:
  refinevad: {}
  linear: {name: linear, lr: 3.0e-2}
  deepmil: {name: deepmil, hidden: 16, fine_grained: true}
  ocsvm: {name: ocsvm, components: 4, nu: 0.2}
seeds: 2
"""


def test_detectors_are_compared_in_one_study_and_each_can_be_used(
    tmp_path: Path, stores: Path, data: Path
) -> None:
    """One command trains, the others verify, evaluate and score, whatever the detector."""
    workspace = Workspace(tmp_path, stores, here=True)
    workspace.space.write_text(study_text(data, DETECTORS))
    digest_of(workspace.run())
    records = read_study(workspace.study).records
    assert {r.params["arm"]: len(r.curve) for r in records} == {
        "refinevad": 2, "linear": 2, "deepmil": 2, "ocsvm": 1,
    }  # fmt: skip
    pairs: dict[int, set[int]] = {r.params["replicate"]: set() for r in records}
    for record in records:
        pairs[record.params["replicate"]].add(record.seed)
    assert [len(seeds) for seeds in pairs.values()] == [1, 1], "paired seeds"
    proof = command(
        workspace,
        *("study.verify", "--study", "small", "--stores", stores, "--sample", "8"),
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr
    assert "8 trials" in proof.stdout
    report = command(workspace, "study.report", "--study", "small", "--tracking-uri", "none")
    assert report.returncode == 0, report.stderr
    for record in records[:4]:
        path = workspace.study / "checkpoints" / f"trial-{record.number:04d}.safetensors"
        config = workspace.study / "study.yaml"
        found = command(
            workspace,
            *("refinevad.evaluate", "--checkpoint", path, "--config", config),
            *("--stores", stores, "--json", "--no-baselines"),
        )
        assert found.returncode == 0, found.stderr
        metrics = json.loads(found.stdout)["metrics"]
        assert metrics["test/auc"] == pytest.approx(record.metrics["selected/test/auc"], abs=1e-6)
    video = next((data / "features").glob("Arsontest*.npy"))
    score = command(workspace, "refinevad.score", "--checkpoint", path, "--features", video)
    assert score.returncode == 0, score.stderr
    assert "most likely categories" not in score.stdout  # of the one-class SVM


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: linear,", "name: liner,", "there is no detector 'liner'; known: refinevad, linear"),
        ("lr: 3.0e-2", "hidden: 4", "no setting of a variant of linear"),
        ("nu: 0.2", "lr: 0.1", "ocsvm is fitted in one go"),
        ("hidden: 16", "hidden: many", "'many' is not possible"),
        ("name: linear, lr: 3.0e-2", "name: linear, start: frozen_core", "needs a source"),
    ],
)
def test_a_wrong_setting_of_another_detector_is_named(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in DETECTORS
    path = tmp_path / "s.yaml"
    path.write_text(DETECTORS.replace(old, new))
    with pytest.raises(InputError, match=re.escape(words)):
        load_study(path)


def test_a_detector_is_searched_like_refinevad(tmp_path: Path) -> None:
    text = DETECTORS[: DETECTORS.index("variants:")].replace("seed: 7", "seed: 7, trials: 2")
    text = text.replace("model: {d_model: 16, encoder_feedforward: 32, encoder_heads: 2, "
                        "injection_heads: 2, d_proj: 8}", "model: {name: deepmil}")  # fmt: skip
    path = tmp_path / "s.yaml"

    def load(space: str) -> StudyFile:
        path.write_text(text.replace(", lr: 1.0e-3", "") + f"space: {{{space}}}\n")
        return load_study(path)

    file = load("hidden: {choice: [8, 16]}, lr: {log_uniform: [1.0e-4, 1.0e-2]}")
    config = file.trial_config({"hidden": 8, "lr": 2e-3})
    assert (config.model.name, config.model.hidden, config.train.lr) == ("deepmil", 8, 2e-3)  # type: ignore[attr-defined]
    assert file.determinants()["model"]["name"] == "deepmil"
    with pytest.raises(InputError, match="unknown hyperparameter; did you mean `hidden`"):
        load("hiden: {choice: [8, 16]}")
    with pytest.raises(InputError, match="a detector cannot be searched"):
        load("name: {choice: [deepmil, linear]}")


def test_arms_of_version_0_3_are_variants_and_keep_their_hash() -> None:
    content = yaml.safe_load(VARIANTS)
    new = StudyFile.model_validate(content)
    content["arms"] = content.pop("variants")
    old = StudyFile.model_validate(content)
    assert old == new
    assert old.hash("f") == new.hash("f")
    assert list(old.determinants()["arms"]) == ["plain", "linear", "unshifted"]
    with pytest.raises(ValueError, match="variants and arms are the same"):
        StudyFile.model_validate(content | {"variants": {"one": {}}})


def test_another_order_of_variants_is_refused_when_a_study_resumes(
    variants_workspace: Workspace,
) -> None:
    """A trial's number says which variant it is."""
    digest_of(variants_workspace.run("--set", "seeds=1"))
    content = yaml.safe_load(variants_workspace.space.read_text())
    content["variants"] = dict(reversed(content["variants"].items()))
    variants_workspace.space.write_text(yaml.safe_dump(content, sort_keys=False))
    refused = variants_workspace.run("--set", "seeds=2")
    assert refused.returncode == 2
    assert "the order of variants: was plain, linear, unshifted, is unshifted" in refused.stderr


def test_a_file_with_arms_takes_overrides_and_names_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(VARIANTS.replace("variants:", "arms:"))
    for prefix in ("arms", "variants"):
        file = load_study(path, [f"{prefix}.linear.lr=0.5"])
        assert file.trial_config({"arm": "linear"}).train.lr == 0.5
    path.write_text(VARIANTS.replace("variants:", "arms:").replace("injection:", "injecton:"))
    with pytest.raises(InputError, match=r"old\.yaml:9: variants\.linear\.injecton: no setting"):
        load_study(path)
    path.write_text(VARIANTS.replace("variants:", "arms:"))
    made = comparison_study(path, [], name="new", variants={"one": {}}, seeds=1)
    assert list(made.variants) == ["one"]


@pytest.mark.parametrize("section", ["space: 5", "space: [[a]]", "execution: 5"])
def test_a_section_that_is_none_is_named_by_every_reader(tmp_path: Path, section: str) -> None:
    path = tmp_path / "s.yaml"
    name = section.split(":")[0]
    text = "\n".join(line for line in SMALL_STUDY.splitlines() if not line.startswith((name, "  ")))
    path.write_text(f"{text}\n{section}\n")
    assert searched_fields(path) == []
    if name == "execution":
        with pytest.raises(InputError, match="execution: found 5"):
            comparison_study(path, [], name="new", variants={"one": {}}, seeds=1)


def test_the_card_names_other_metrics_that_differ_and_the_baseline() -> None:
    """Equal in AP, the headline; apart in AnoAUC; below a baseline that knows the video's label."""
    file = StudyFile.model_validate(
        {
            "study": {"name": "x"}, "data": {"synthetic": "xd-like"}, "model": {"d_model": 64},
            "variants": {"a": {}, "b": {"d_proj": 8}}, "seeds": 3,
        }
    )  # fmt: skip
    records = []
    for number in range(6):
        variant, replicate = "ab"[number % 2], number // 2
        metrics = {
            "selected/test/ap": 0.30 + 0.01 * replicate,
            "selected/test/ano_auc": 0.60 + 0.001 * number + (0.1 if variant == "b" else 0.0),
            "selected/test/auc": 0.90,
            "selected/floor/ap": 0.50,
            "selected/floor/auc": 0.80,
        }
        params = {"arm": variant, "replicate": replicate}
        record = TrialRecord(number, f"x/{number}", params, 0, "RUNNING")
        records.append(record.with_result(TrialResult("COMPLETE", 0.9, metrics=metrics)))
    meta = StudyMeta(
        name="x", uid="u", hash="h", config=file.model_dump(mode="json"),
        determinants=file.determinants(), fingerprint="f", metric="ap", split="val", created=0.0,
        git_commit=None, versions={}, trials=6,
    )  # fmt: skip
    card = variants_card(StudyView(Path("runs/x"), meta, file, records))
    assert card.finding.startswith("Test AP over 3 seeds: b (+0.0000 [")
    beside = "Test AP beside the video-label baseline (0.5000): a, b lie below it."
    assert card.finding.endswith(beside)
    assert "Test AnoAUC over 3 seeds: b (+0.1010 [" in card.note
    assert "Test AUC over" not in card.note, "no difference there"
