"""What a run's epochs and folds make its objective, and the weights that it keeps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, roc_auc_score

from refinevad.config.epochs import NEWEST, chosen, so_far
from refinevad.config.training import ObjectiveConfig, Runtime, TrainConfig
from refinevad.data.batches import validation_split
from refinevad.data.folds import k_folds
from refinevad.errors import InputError
from refinevad.evaluation.metrics import brier, segment_auc
from refinevad.models import checkpoint
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.results import RunResult
from refinevad.training.run import TrainingRun, train

CPU = Runtime(device="cpu", precision="fp32")
CURVE = [0.5, 0.9, 0.4, 0.9, 0.6]


def _config(model: dict[str, Any] | None = None, **section: Any) -> Config:
    small = {"d_model": 16, "d_proj": 8, "d_emb": 8, "encoder_feedforward": 16, "shift_groups": 4}
    return Config.model_validate(
        {
            "data": {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3},
            "model": model or small,
            "train": TrainConfig.former | {"epochs": 5, "batch_size": 8, "lr": 3e-3} | section,
        }
    )


def _train(config: Config | None = None, **objective: Any) -> RunResult:
    return train(
        tiny_store(),
        config or _config(),
        seed=1,
        split_seed=1,
        objective=ObjectiveConfig.model_validate(objective),
        runtime=CPU,
    )


def _weights(result: RunResult) -> dict[str, bytes]:
    assert result.model_state is not None
    return {name: tensor.numpy().tobytes() for name, tensor in result.model_state.items()}


# ---- epochs


@pytest.mark.parametrize(
    ("rule", "objective", "epoch"),
    [
        ("best", 0.9, 2),  # the earliest of equals
        ("last", 0.6, 5),
        ("mean_second_half", (0.4 + 0.9 + 0.6) / 3, 5),
    ],
)
def test_a_curve_by_hand(rule: str, objective: float, epoch: int) -> None:
    assert chosen(CURVE, rule) == (pytest.approx(objective, abs=0), epoch)


def test_the_moving_average_is_a_weighted_mean_of_the_epochs_so_far() -> None:
    averages = []
    for end in range(1, len(CURVE) + 1):
        weights = [(1 - NEWEST) ** (end - 1 - i) for i in range(end)]
        averages.append(float(np.average(CURVE[:end], weights=weights)))
    found, epoch = chosen(CURVE, "ema")
    assert found == pytest.approx(max(averages))
    assert epoch == averages.index(max(averages)) + 1


@pytest.mark.parametrize("rule", ["best", "last", "mean_second_half", "ema"])
def test_so_far_is_the_objective_of_a_run_that_ends_there(rule: str) -> None:
    ends = range(1, len(CURVE) + 1)
    assert so_far(CURVE, rule) == [chosen(CURVE[:end], rule)[0] for end in ends]
    assert chosen([0.3], rule) == (pytest.approx(0.3), 1)


@pytest.mark.parametrize("rule", ["best", "last", "mean_second_half", "ema"])
def test_a_runs_objective_and_weights_are_those_of_its_rule(rule: str) -> None:
    result = _train(epoch=rule)
    values = [record.objective for record in result.curve]
    assert (result.objective, result.selected_epoch) == chosen(values, rule)
    for name in ("val/ap", "train/loss"):
        record = result.curve[result.selected_epoch - 1]
        assert result.selected[name] == record.metrics[name]
    # the same epochs, whatever selects among them
    assert [r.metrics for r in result.curve] == [r.metrics for r in _train().curve]
    if rule in ("last", "mean_second_half"):
        whole = TrainingRun(tiny_store(), _config(), seed=1, split_seed=1, runtime=CPU)
        while not whole.done:
            whole.run_epoch()
        state = {name: t.numpy().tobytes() for name, t in whole.model.state_dict().items()}
        assert _weights(result) == state
        assert result.selected == result.last


def test_a_run_is_stopped_by_its_own_rule() -> None:
    values = [record.objective for record in _train(epoch="last").curve]
    below = next(i for i, (a, b) in enumerate(pairwise(values), 2) if b < a)
    curve = [0.0] * (below - 1) + [np.nextafter(values[below - 1], 2)] + [0.0] * 9
    stopped = train(
        tiny_store(), _config(), seed=1, split_seed=1, runtime=CPU, stopping_curve=curve,
        objective=ObjectiveConfig(epoch="last"),
    )  # fmt: skip
    assert (stopped.state, len(stopped.curve)) == ("pruned", below)
    assert stopped.objective == values[below - 1]


# ---- metrics


def test_segment_auc_and_brier_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((30, 20)).astype(np.float32)
    scores[:4] = 0.5  # ties
    abnormal = np.arange(30) % 3 == 0
    positives = [s for row in scores[abnormal] for s in sorted(row, reverse=True)[:3]]
    negatives = scores[~abnormal].ravel().tolist()
    expected = roc_auc_score([1] * len(positives) + [0] * len(negatives), positives + negatives)
    assert segment_auc(scores, abnormal, 3) == pytest.approx(expected)
    assert segment_auc(scores, abnormal, 99) == pytest.approx(
        roc_auc_score(np.repeat(abnormal, 20), scores.ravel())
    )
    video = scores.max(axis=1)
    assert brier(video, abnormal) == pytest.approx(1 - brier_score_loss(abnormal, video))


@pytest.mark.parametrize("metric", ["auc", "seg_auc", "brier"])
def test_the_metric_of_the_objective_is_in_every_epoch(metric: str) -> None:
    result = _train(metric=metric)
    for record in result.curve:
        assert record.objective == record.metrics[f"val/{metric}"]
    assert "val/seg_auc" not in _train().curve[0].metrics, "an old study's metrics are the same"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metric": "seg_auc", "split": "test"}, "held-out videos"),
        ({"folds": 3, "split": "test", "metric": "auc"}, "give folds = 1"),
        ({"fold_kind": "k_fold"}, "2 or more"),
        ({"metric": "ano_auc"}, "frame labels"),
    ],
)
def test_objectives_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ObjectiveConfig.model_validate(settings)


# ---- folds


def test_folds_are_runs_of_their_own_and_their_means() -> None:
    alone = [
        train(
            tiny_store(), _config(epochs=3), seed=1 + fold, split_seed=1 + fold, runtime=CPU,
            objective=ObjectiveConfig(epoch="last"),
        )
        for fold in range(3)
    ]  # fmt: skip
    folded = _train(_config(epochs=3), epoch="last", folds=3)
    for epoch, record in enumerate(folded.curve):
        own = [run.curve[epoch] for run in alone]
        assert record.objective == pytest.approx(np.mean([r.objective for r in own]), abs=1e-15)
        for name, value in record.metrics.items():
            expected = np.mean([r.metrics[name] for r in own])
            assert value == pytest.approx(expected, abs=1e-12), name
    for name in ("test/auc", "test/ap", "floor/auc"):
        expected = np.mean([run.selected[name] for run in alone])
        assert folded.selected[name] == pytest.approx(expected, abs=1e-12)
    assert _weights(folded) == _weights(alone[0]), "the checkpoint is of fold 0"


def test_one_fold_is_a_run_without_folds() -> None:
    assert _train(folds=1) == _train() or _weights(_train(folds=1)) == _weights(_train())


def _labels(videos: int = 40) -> Any:
    labels = np.zeros((videos, 3), dtype=bool)
    half = videos // 2
    labels[np.arange(half), np.arange(half) % 2] = True
    labels[0] = [False, False, True]  # the only video of its category
    return labels


def test_k_folds_hold_every_video_out_once_and_keep_a_categorys_only_one() -> None:
    labels = _labels()
    parts = k_folds(labels, 4, seed=3)
    held = np.concatenate([held for _, held in parts])
    assert sorted(held.tolist()) == list(range(1, 40)), "video 0 is trained on in all of them"
    for training, own in parts:
        assert sorted([*training.tolist(), *own.tolist()]) == list(range(40))
        assert labels[training].any(axis=0).all()
        assert 0 < labels[own].any(axis=1).sum() < len(own)
    again = k_folds(labels, 4, seed=3)
    assert [own.tolist() for _, own in parts] == [own.tolist() for _, own in again]
    assert [own.tolist() for _, own in parts] != [own.tolist() for _, own in k_folds(labels, 4, 4)]


def test_k_folds_keep_groups_whole() -> None:
    groups = [f"camera {i % 8}" for i in range(40)]
    for training, held in k_folds(_labels(), 4, 1, groups):
        shared = {groups[i] for i in training} & {groups[i] for i in held}
        lone = {groups[0]}  # video 0 stays in training
        assert shared <= lone


def test_k_folds_that_cannot_be_say_what_to_do() -> None:
    with pytest.raises(InputError, match=r"only 20 .*normal training videos; give 20 folds"):
        k_folds(_labels(), 21, 1)
    with pytest.raises(InputError, match="only 2 groups of training videos"):
        k_folds(_labels(), 3, 1, ["a", "b"] * 20)
    with pytest.raises(InputError, match="would hold out no"):
        k_folds(_labels(), 2, 1, ["a"] * 20 + ["b"] * 20)


def test_a_run_with_k_folds_trains_on_the_complements() -> None:
    store = tiny_store()
    objective = ObjectiveConfig(folds=4, fold_kind="k_fold")
    run = TrainingRun(store, _config(), seed=1, split_seed=5, objective=objective, runtime=CPU)
    expected = k_folds(store.train.labels, 4, 5)
    for fold, (training, held) in zip(run._folds, expected, strict=True):
        assert fold.judge.training.tolist() == training.tolist()
        assert fold.judge.held_out.tolist() == held.tolist()


def test_repeated_folds_are_the_splits_of_the_next_seeds() -> None:
    store = tiny_store()
    objective = ObjectiveConfig(folds=3)
    run = TrainingRun(store, _config(), seed=1, split_seed=5, objective=objective, runtime=CPU)
    for number, fold in enumerate(run._folds):
        _, held = validation_split(store.train.labels, 0.3, 5 + number)
        assert fold.judge.held_out.tolist() == held.tolist()


def test_a_fitted_detector_is_fitted_on_every_fold() -> None:
    config = _config(model={"name": "ocsvm"})
    alone = [
        train(tiny_store(), config, seed=1 + fold, split_seed=1 + fold, runtime=CPU)
        for fold in range(2)
    ]
    folded = _train(config, folds=2)
    mean = np.mean([run.objective for run in alone])
    assert folded.objective == pytest.approx(mean)
    assert _weights(folded) == _weights(alone[0])


# ---- the average of the weights


def test_the_average_of_the_weights_is_that_of_a_slow_loop() -> None:
    config = _config(epochs=2, ema=0.6)
    run = TrainingRun(tiny_store(), config, seed=1, split_seed=1, runtime=CPU)
    fold = run._folds[0]
    kept: list[dict[str, torch.Tensor]] = []
    step = fold._optimizer.step

    def counted(*args: Any, **kwargs: Any) -> Any:
        found = step(*args, **kwargs)
        kept.append({n: p.detach().clone() for n, p in fold._model.named_parameters()})
        return found

    first = {n: p.detach().clone() for n, p in fold._model.named_parameters()}
    fold._optimizer.step = counted  # type: ignore[method-assign]
    while not run.done:
        run.run_epoch()
    averaged = {n: p.double() for n, p in first.items()}
    for number, weights in enumerate(kept):
        decay = min(0.6, (1 + number) / (10 + number))
        averaged = {n: decay * a + (1 - decay) * weights[n].double() for n, a in averaged.items()}
    for name, parameter in run.model.named_parameters():
        torch.testing.assert_close(parameter.double(), averaged[name], atol=1e-6, rtol=1e-5)
    assert run.model is not fold._model
    result = run.result()
    assert result.model_state is not None
    assert result.model_state.keys() == fold._model.state_dict().keys()


def test_the_average_changes_no_training_step() -> None:
    one, other = _train(), _train(_config(ema=0.9))
    assert [r.metrics["train/loss"] for r in one.curve] == [
        r.metrics["train/loss"] for r in other.curve
    ]
    assert _weights(one) != _weights(other)


# ---- checkpoints


def test_a_smoothing_chosen_on_held_out_videos_is_the_best_and_travels() -> None:
    from refinevad.layers.smoothing import SEGMENTS, SHARES, Smoothing

    model = {"name": "deepmil", "hidden": 8, "smooth_segments": "auto", "video_share": "auto"}
    run = TrainingRun(
        tiny_store(), _config(model=model, lr=0.01), seed=3, split_seed=1, runtime=CPU,
        objective=ObjectiveConfig(metric="seg_auc"),
    )  # fmt: skip
    while not run.done:
        run.run_epoch()
    result = run.result()
    found = (result.model.smooth_segments, result.model.video_share)
    assert found != (1, 0.0), "this run would tell nothing"
    assert found == (
        result.selected["smoothing/smooth_segments"],
        result.selected["smoothing/video_share"],
    )
    values = {}
    assert result.model_state is not None
    run.model.load_state_dict(result.model_state)
    for segments in SEGMENTS:
        for share in SHARES:
            run.model.smoothing = Smoothing(segments, share)
            values[segments, share] = run.judge.epoch_metrics(run.model)["val/seg_auc"]
    assert values[found] == pytest.approx(max(values.values()))
    assert result.selected["val/smoothed_seg_auc"] == pytest.approx(values[found])
    assert values[1, 0.0] == result.objective, "the objective is that without smoothing"
    content = checkpoint.dumps(
        result.model_state,
        model=result.model,
        categories=tiny_store().categories,
        widths=tiny_store().widths,
    )
    loaded, _ = checkpoint.loads(content)
    assert loaded.smoothing == Smoothing(*found)  # type: ignore[arg-type]
    assert run.judge.test_metrics(loaded)["test/auc"] == result.selected["test/auc"]


def test_smoothing_cannot_be_chosen_on_the_test_set() -> None:
    config = _config(model={"name": "linear", "smooth_segments": "auto"})
    with pytest.raises(InputError, match="cannot be auto with"):
        _train(config, metric="auc", split="test")
