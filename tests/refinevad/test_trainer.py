"""Training: the same bits from the same seed, the right epoch kept, honest ends."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch

from refinevad.config.training import ObjectiveConfig, Runtime, TrainConfig
from refinevad.data import BalancedBatches, validation_split
from refinevad.errors import InputError
from refinevad.evaluation.metrics import frame_metrics, video_label_floor, video_metrics
from refinevad.evaluation.scores import score_segments, score_test
from refinevad.models.base import Batch
from refinevad.models.refinevad.model import RefineVAD
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.results import RunResult
from refinevad.training.run import TrainingRun, train
from refinevad.training.schedule import learning_rate
from tests.support.detectors import task

TEST = ObjectiveConfig(metric="auc", split="test")
CPU = Runtime(device="cpu", precision="fp32")


def _config(**train_section: Any) -> Config:
    return Config.model_validate(
        {
            "data": {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3},
            "model": {
                "d_model": 16,
                "d_proj": 8,
                "d_emb": 8,
                "encoder_feedforward": 16,
                "shift_groups": 4,
            },
            "train": TrainConfig.former
            | {"epochs": 4, "batch_size": 8, "lr": 3e-3}
            | train_section,
        }
    )


def _train(config: Config | None = None, **options: Any) -> RunResult:
    options = {"seed": 1, "split_seed": 1, "runtime": CPU, **options}
    return train(tiny_store(), config or _config(), **options)


def _comparable(result: RunResult) -> Any:
    assert result.model_state is not None
    weights = {name: tensor.numpy().tobytes() for name, tensor in result.model_state.items()}
    curve = [(r.epoch, r.objective.hex(), r.metrics) for r in result.curve]
    return curve, result.selected, result.last, weights


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bits_whatever_the_process_did_before(precision: Any) -> None:
    runtime = Runtime(device="cpu", precision=precision)
    first = _comparable(_train(runtime=runtime))
    torch.manual_seed(123)
    torch.set_num_threads(2)
    _train(_config(lr=0.05, epochs=2), seed=9, runtime=runtime)
    torch.rand(7)
    assert _comparable(_train(runtime=runtime)) == first
    assert _comparable(_train(seed=2, runtime=runtime)) != first


def test_a_pause_between_epochs_changes_nothing_even_if_random_numbers_are_drawn() -> None:
    expected = _comparable(_train())
    runs = [
        TrainingRun(tiny_store(), _config(), seed=seed, split_seed=1, runtime=CPU)
        for seed in (1, 2)
    ]
    while not runs[0].done:
        for run in runs:  # interleaved
            run.run_epoch()
            torch.rand(3)
    assert _comparable(runs[0].result()) == expected


def test_a_run_leaves_the_global_generator_where_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    _train()
    assert torch.equal(torch.rand(1), expected)


def test_the_returned_weights_are_those_of_the_selected_epoch() -> None:
    result = _train(_config(epochs=8, lr=0.02), seed=4)
    assert result.selected_epoch < 8, "choose a seed whose best epoch is not the last"
    store, config = tiny_store(), _config()
    model = RefineVAD(config.model, task(store.widths, len(store.categories)))
    assert result.model_state is not None
    model.load_state_dict(result.model_state)

    _, held_out = validation_split(store.train.labels, 0.3, 1)
    scores = score_segments(model, torch.from_numpy(store.train.features)).scores[held_out]
    # T = 8 segments: k = 8 // 16 + 1 = 1, the largest.
    found = video_metrics(scores.max(axis=1), store.train.labels[held_out].any(1))
    assert result.objective == pytest.approx(found["ap"], abs=1e-9)

    test = store.test
    frame = score_test(model, store, length="segments")
    found = frame_metrics(frame, test.truth, test.offsets, test.labels.any(1))
    assert result.selected["test/auc"] == pytest.approx(found["auc"], abs=1e-6)
    assert result.last["test/auc"] != result.selected["test/auc"]


def test_the_objective_is_the_best_epoch_and_of_equal_ones_the_earliest() -> None:
    result = _train(_config(epochs=8))
    values = [record.objective for record in result.curve]
    assert result.objective == max(values)
    assert result.selected_epoch == values.index(max(values)) + 1
    assert values.count(max(values)) > 1, "this run reaches its best more than once"
    assert result.last_objective == values[-1]
    assert [record.epoch for record in result.curve] == list(range(1, 9))


def test_training_learns_to_tell_abnormal_videos_from_normal_ones() -> None:
    result = _train(_config(epochs=30))
    losses = [record.metrics["train/loss"] for record in result.curve]
    assert losses[-1] < 0.6 * losses[0]
    assert result.objective > 0.9
    assert result.selected["test/auc"] > 0.75


def test_total_loss_is_the_weighted_sum_of_its_parts() -> None:
    for record in _train(_config(lambda_cat=0.3, lambda_gmm=0.2, lambda_reg=0.01)).curve:
        m = record.metrics
        parts = m["train/mil"] + 0.3 * m["train/cat"] + 0.2 * m["train/gmm"]
        assert m["train/loss"] == pytest.approx(parts + 0.01 * m["train/reg"], rel=1e-5)


def test_on_test_no_training_video_is_held_out_and_the_result_says_so() -> None:
    result = _train(objective=TEST)
    assert result.selection == "selected on test"
    assert (
        result.objective
        == result.selected["test/auc"]
        == max(record.metrics["test/auc"] for record in result.curve)
    )
    assert not any(name.startswith("val/") for name in result.selected)
    run = TrainingRun(tiny_store(), _config(), seed=1, split_seed=1, objective=TEST, runtime=CPU)
    assert run._folds[0]._batches.steps_per_epoch == 16 // 4, "all 16 abnormal videos, 4 a step"


def test_on_validation_the_split_seed_alone_decides_who_is_held_out() -> None:
    result = _train()
    assert result.selection == "validation"
    # 16 abnormal videos, 30% held out: 5.
    run = TrainingRun(tiny_store(), _config(), seed=1, split_seed=1, runtime=CPU)
    assert run._folds[0]._batches.steps_per_epoch == (16 - 5) // 4
    held = [
        TrainingRun(tiny_store(), _config(), seed=s, split_seed=7, runtime=CPU).judge.held_out
        for s in (1, 2)
    ]
    assert held[0].tolist() == held[1].tolist() != run.judge.held_out.tolist()


def test_both_ends_carry_the_floor() -> None:
    test = tiny_store().test
    floor = video_label_floor(test.truth, test.offsets, test.labels.any(1))
    result = _train()
    for metrics in (result.selected, result.last):
        assert metrics["floor/auc"] == floor["auc"]
        assert metrics["floor/ap"] == floor["ap"]


@pytest.mark.parametrize("lr", [1e18, 1e38])
def test_a_run_that_diverges_counts_as_zero_and_complete(lr: float) -> None:
    result = _train(_config(lr=lr, clip_norm=0.0, epochs=5))
    assert result.diverged
    assert result.state == "complete"
    assert result.objective == result.last_objective == 0.0
    assert result.selected_epoch == 0
    assert result.model_state is None
    assert len(result.curve) < 5
    assert result.curve[-1].objective == 0.0
    assert all(math.isfinite(v) for record in result.curve for v in record.metrics.values())


@pytest.mark.parametrize("warmup", [0, 3])
def test_a_run_below_the_stopping_curve_is_pruned_in_the_first_epoch_after_the_warm_up(
    warmup: int,
) -> None:
    curve = [2.0] * 10  # no objective reaches it
    result = _train(_config(epochs=6), stopping_curve=curve, warmup_epochs=warmup)
    assert result.state == "pruned"
    assert len(result.curve) == warmup + 1
    assert result.objective == max(record.objective for record in result.curve)
    assert "test/auc" in result.selected


def test_pruning_looks_at_the_best_so_far_not_at_the_current_epoch() -> None:
    free = _train(_config(epochs=6, lr=0.02), seed=4)
    best = np.maximum.accumulate([record.objective for record in free.curve])
    assert any(record.objective < b for record, b in zip(free.curve, best, strict=True))
    kept = _train(_config(epochs=6, lr=0.02), seed=4, stopping_curve=best.tolist())
    assert kept.state == "complete"
    assert _comparable(kept) == _comparable(free)


def test_a_curve_that_ends_early_or_has_gaps_prunes_nothing() -> None:
    assert _train(stopping_curve=[float("nan")]).state == "complete"


def test_a_finished_run_cannot_go_on_and_an_unfinished_one_has_no_result() -> None:
    run = TrainingRun(tiny_store(), _config(epochs=1), seed=1, split_seed=1, runtime=CPU)
    with pytest.raises(RuntimeError, match="not done"):
        run.result()
    run.run_epoch()
    assert run.done
    with pytest.raises(RuntimeError, match="is done"):
        run.run_epoch()
    assert run.result() is run.result()


def test_balanced_class_weights_are_negatives_over_positives_of_training_videos() -> None:
    config = _config(class_weights="balanced")
    run = TrainingRun(tiny_store(), config, seed=1, split_seed=1, objective=TEST, runtime=CPU)
    assert isinstance(run.model, RefineVAD)
    assert run.model._class_weights is not None
    # 32 videos: 6 Abuse, 5 Arson, 5 Fighting.
    np.testing.assert_allclose(run.model._class_weights, [26 / 6, 27 / 5, 27 / 5], rtol=1e-6)


def test_the_learning_rate_warms_up_linearly_and_falls_as_half_a_cosine() -> None:
    section = _config(lr=0.1, epochs=3, warmup_epochs=1, schedule="cosine").train
    rates = [learning_rate(step, 4, section) for step in range(12)]
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4] == pytest.approx(0.1)
    assert rates[8] == pytest.approx(0.05), "half way down"
    assert rates[11] == pytest.approx(0.05 * (1 + math.cos(math.pi * 7 / 8)))
    constant = _config(lr=0.1, schedule="constant", warmup_epochs=0).train
    assert {learning_rate(step, 4, constant) for step in range(12)} == {0.1}


def test_the_record_has_the_rate_of_the_epochs_last_step() -> None:
    result = _train(_config(epochs=4, lr=0.01, schedule="cosine"))
    steps = 2
    expected = [
        learning_rate(steps * e - 1, steps, _config(lr=0.01, schedule="cosine").train)
        for e in range(1, 5)
    ]
    assert [record.metrics["lr"] for record in result.curve] == pytest.approx(expected)


def test_asking_for_a_gpu_where_there_is_none_is_bad_input() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match="no GPU"):
        _train(runtime=Runtime(device="cuda"))


def test_the_hardware_says_what_decides_the_bits() -> None:
    facts = _train().hardware
    assert facts["device"] == "cpu"
    assert facts["precision"] == "fp32"
    assert facts["threads"] == "1"
    assert facts["torch"] == torch.__version__
    assert facts["processor"]


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_an_optimizer_steps_as_torchs_own_does(optimizer: str) -> None:
    """One step of a linear scorer, with a weight decay that differs where it is coupled."""
    settings = {"optimizer": optimizer, "weight_decay": 0.5, "lr": 0.1, "epochs": 1}
    data = {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3}
    train = {"batch_size": 16, "clip_norm": 0.0, "schedule": "constant", "warmup_epochs": 0}
    config = Config.model_validate(
        {"data": data, "model": {"name": "linear"}, "train": train | settings}
    )
    runtime = Runtime(device="cpu", precision="fp32")
    run = TrainingRun(tiny_store(), config, seed=1, split_seed=1, runtime=runtime)
    fold = run._folds[0]
    model = copy.deepcopy(fold._model)
    kind = {"adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}[optimizer]
    own = kind(model.parameters(), lr=0.1, weight_decay=0.5)
    generator = torch.Generator().manual_seed(1)
    labels = fold._labels.cpu()
    for video, crop in BalancedBatches(labels, 16, generator, 2).epoch():
        x = fold._features[fold._videos[video], crop].float()
        own.zero_grad()
        torch.autograd.backward(model.losses(Batch(x, labels[video]))["loss"])
        own.step()
    run.run_epoch()
    for mine, theirs in zip(fold._model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["refinevad", "deepmil", "rtfm", "urdmu", "bnwvad", "mgfn"])
def test_mixed_batches_train_any_detector(model: str) -> None:
    """A batch may be of one kind alone."""
    knobs = {"d_model": 16, "d_proj": 8} if model == "refinevad" else {}
    knobs = {"depth": "1-1-1", "last": 64} if model == "mgfn" else knobs
    config = Config.model_validate(
        {
            "data": {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3},
            "model": {"name": model} | knobs,
            "train": {"batch_size": 2, "epochs": 1, "batches": "mixed"},
        }
    )
    runtime = Runtime(device="cpu", precision="fp32")
    result = train(tiny_store(), config, seed=1, split_seed=1, runtime=runtime)
    assert not result.diverged
