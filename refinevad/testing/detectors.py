"""The contract that every detector must pass, as a class of tests.

A test module of a new detector subclasses it and says which configuration is tested::

    class TestMine(DetectorContract):
        @pytest.fixture
        def config(self) -> MyConfig:
            return MyConfig(hidden=8)

The tests of this package run it over ``refinevad.models.registry.CONFIGS``, so that a detector
with a line there is tested without a test being edited.
"""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from refinevad.config.detector import DetectorConfig
from refinevad.config.training import ObjectiveConfig, Runtime
from refinevad.errors import InputError
from refinevad.evaluation.metrics import video_metrics
from refinevad.evaluation.scores import Length, score_snippets, score_video, scoring_mode
from refinevad.layers.smoothing import Smoothing
from refinevad.models import checkpoint
from refinevad.models.base import Batch, Detector, FittedDetector, Prediction, Split, Task
from refinevad.models.registry import detector_class
from refinevad.run_config import Config
from refinevad.testing.tiny_store import tiny_store
from refinevad.training.run import start_run

TASKS = (
    Task({"visual": 12}, ("arson", "fighting", "abuse")),
    Task({"visual": 7, "text": 5}, ("arson", "fighting", "abuse")),
)
"""One modality and two, of the same width together."""
LENGTHS = (1, 5, 32, 200)
LENGTHS_OF_TESTS: tuple[Length, ...] = ("segments", "full")
CPU = Runtime(device="cpu", precision="fp32")
README_HEADS = ("## Source", "## Licence", "## Deviations", "## Published numbers")


class DetectorContract:
    """Tests that a detector passes; pytest calls them with the fixture ``config``."""

    # ---- configuration

    def test_its_defaults_are_valid_and_an_unknown_key_is_refused(
        self, config: DetectorConfig
    ) -> None:
        kind = type(config)
        assert kind.model_validate({}).name == config.name
        assert kind.model_validate(config.model_dump(mode="json")) == config
        try:
            kind.model_validate({"no_such_knob": 1})
        except ValueError:
            return
        raise AssertionError("an unknown key is accepted")

    def test_every_knob_is_documented_and_has_a_default_that_can_be_written_down(
        self, config: DetectorConfig
    ) -> None:
        for name, info in type(config).model_fields.items():
            assert (info.description or "").strip(), f"{name} has no docstring"
            assert not info.is_required(), f"{name} has no default"
            default = info.get_default()
            assert default is None or isinstance(default, bool | int | float | str), name

    def test_it_has_a_readme_that_names_its_source(self, config: DetectorConfig) -> None:
        spec = importlib.util.find_spec(f"refinevad.models.{config.name}")
        if spec is None:
            return  # a detector of another package
        assert spec.origin is not None
        readme = (Path(spec.origin).parent / "README.md").read_text(encoding="utf-8")
        for head in README_HEADS:
            assert head in readme, f"README.md of {config.name} lacks {head!r}"

    # ---- scores

    def test_scores_are_shares_of_every_length_modality_and_crop(
        self, config: DetectorConfig
    ) -> None:
        for task in TASKS:
            model = ready(config, task)
            for length in LENGTHS:
                found = predict(model, videos(3, length))
                assert found.scores.shape == (3, length)
                assert found.scores.dtype == torch.float32
                require_shares(found)
                if found.category_probs is not None:
                    assert found.category_probs.shape == (3, len(task.categories))
                if found.class_probs is not None:
                    assert found.class_probs.shape == (3, length, len(task.categories) + 1)
                    total = found.class_probs.sum(-1)
                    torch.testing.assert_close(total, torch.ones_like(total))
                for value in found.diagnostics.values():
                    assert value.shape == (3,)
            for crops in (1, 10):
                features = videos(1, 21 * crops).view(21, crops, 12).numpy()
                for how in LENGTHS_OF_TESTS:
                    scores, probs = score_video(model, features, segments=8, length=how)
                    assert scores.shape == (21,)
                    assert np.isfinite(scores).all()
                    assert probs is None or probs.shape == (len(task.categories),)

    def test_an_all_zero_segment_has_a_finite_score(self, config: DetectorConfig) -> None:
        x = videos(2, 9)
        x[:, 3] = 0
        require_shares(predict(ready(config), x))
        require_shares(predict(ready(config), torch.zeros(2, 9, 12)))

    def test_padding_counts_for_nothing(self, config: DetectorConfig) -> None:
        model, x = ready(config), videos(6, 9)
        alone = predict(model, x)
        padded = torch.cat([x, torch.full((6, 4, 12), 7.0)], dim=1)
        found = predict(model, padded, (torch.arange(13) < 9).expand(6, 13))
        close(found.scores[:, :9], alone.scores)
        assert not found.scores[:, 9:].any()
        if alone.category_probs is not None:
            assert found.category_probs is not None
            close(found.category_probs, alone.category_probs)

    def test_a_videos_score_depends_on_no_other_video(self, config: DetectorConfig) -> None:
        model, x = ready(config), videos(6, 9)
        together = predict(model, x).scores
        order = torch.tensor([5, 3, 1, 0, 2, 4])
        close(predict(model, x[order]).scores, together[order])
        for video in range(6):
            close(predict(model, x[video : video + 1]).scores, together[video : video + 1])

    def test_scoring_changes_nothing(self, config: DetectorConfig) -> None:
        model = ready(config)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        first = predict(model, videos(4, 9)).scores
        again = predict(model, videos(4, 9)).scores
        assert torch.equal(first, again), "the same video has two scores"
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_no_label_reaches_forward(self, config: DetectorConfig) -> None:
        parameters = inspect.signature(detector_class(config.name).forward).parameters
        assert list(parameters) == ["self", "x", "mask"]

    def test_a_gpu_scores_as_the_processor_does(self, config: DetectorConfig) -> None:
        """Passes by itself where there is no GPU."""
        if not torch.cuda.is_available():
            return
        model, x = ready(config), videos(3, 9)
        mask = torch.arange(9) < torch.tensor([[9], [5], [1]])
        expected = predict(model, x, mask).scores
        found = predict(model.cuda(), x.cuda(), mask.cuda()).scores.cpu()
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)

    def test_features_of_another_width_are_refused(self, config: DetectorConfig) -> None:
        try:
            predict(ready(config), torch.zeros(2, 5, 11))
        except InputError as error:
            message = str(error)
        else:
            raise AssertionError("11 features are taken for 12")
        assert "11 wide" in message

    # ---- training

    def test_losses_are_named_finite_and_reach_every_weight(self, config: DetectorConfig) -> None:
        model = built(config).train()
        if isinstance(model, FittedDetector):
            assert not list(model.parameters()), "a fitted detector learns nothing by gradient"
            return
        x, labels = videos(8, 20), labels_of(8)
        model.prepare(Split(x.unsqueeze(1), torch.arange(8), labels))
        losses = model.losses(Batch(x, labels))
        assert tuple(losses) == model.loss_names
        assert "loss" in losses
        for name, value in losses.items():
            assert value.ndim == 0, name
            assert value.isfinite(), name
        torch.autograd.backward(losses["loss"])
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f"no gradient reaches {name}"
                assert parameter.grad.isfinite().all(), name

    def test_the_order_of_a_batch_carries_no_meaning(self, config: DetectorConfig) -> None:
        """Abnormal and normal videos interleaved, each kind in its order, give the same losses."""
        model = built(config).eval()  # without dropout: the order would meet other draws
        if isinstance(model, FittedDetector):
            return
        x, labels = videos(8, 20), labels_of(8)
        sorted_first = torch.argsort(labels.any(1).long(), stable=True)
        with torch.no_grad():
            one = model.losses(Batch(x, labels))
            other = model.losses(Batch(x[sorted_first], labels[sorted_first]))
        for name in model.loss_names:
            close(other[name], one[name])

    def test_losses_are_finite_in_bfloat16(self, config: DetectorConfig) -> None:
        model = built(config).train()
        if isinstance(model, FittedDetector):
            return
        with torch.autocast("cpu", torch.bfloat16):
            losses = model.losses(Batch(videos(8, 20), labels_of(8)))
        for name, value in losses.items():
            assert value.isfinite(), name

    def test_it_tells_eight_videos_apart(self, config: DetectorConfig) -> None:
        """Noise is memorised, at one of two learning rates; what is fitted on normal videos is
        shown abnormal ones far away."""
        model, labels = built(config, width=24), labels_of(8)
        x = videos(8, 16, width=24)
        if isinstance(model, FittedDetector):
            x[labels.any(1), 4:8] += 5.0
            fit(model, x, labels)
        elif not overfit(model, x, labels, lr=1e-2, steps=160):
            model = built(config, width=24)
            overfit(model, x, labels, lr=1e-3)
        model.smoothing = Smoothing()  # noise does not last longer than a segment
        scores = predict(model, x).scores
        judged = model.video_scores(scores, config).numpy()
        assert video_metrics(judged, labels.any(1).numpy())["auc"] == 1.0

    def test_the_same_seed_gives_the_same_bits_whatever_else_is_drawn(
        self, config: DetectorConfig
    ) -> None:
        first = trained(config, seed=3)
        torch.rand(7)
        assert trained(config, seed=3, between=lambda: torch.rand(3)) == first
        if not isinstance(built(config), FittedDetector):
            assert trained(config, seed=4) != first

    def test_a_checkpoint_keeps_the_bytes_and_the_scores(self, config: DetectorConfig) -> None:
        task = TASKS[1]
        model = ready(config, task)
        content = checkpoint.dumps(
            model.state_dict(), model=config, categories=task.categories, widths=task.widths
        )
        again, meta = checkpoint.loads(content)
        assert meta.model == config
        assert meta.categories == task.categories
        assert content == checkpoint.dumps(
            again.state_dict(), model=meta.model, categories=meta.categories, widths=meta.widths
        )
        assert torch.equal(predict(again, videos(3, 9)).scores, predict(model, videos(3, 9)).scores)
        try:
            checkpoint.require_widths(meta, {"visual": 12})
        except InputError:
            pass
        else:
            raise AssertionError("features of another extraction are accepted")
        ragged = videos(1, 21).view(21, 1, 12).numpy()
        offsets = np.array([0, 4, 21])
        assert np.array_equal(
            score_snippets(again, ragged, offsets)[0], score_snippets(model, ragged, offsets)[0]
        )


def videos(count: int, length: int, *, width: int = 12) -> Tensor:
    """``(count, length, width)`` of noise, the same at every call."""
    return torch.randn(count, length, width, generator=torch.Generator().manual_seed(7))


def labels_of(count: int, categories: int = 3) -> Tensor:
    """``(count, categories)``: every second video is abnormal, the categories in turns."""
    labels = torch.zeros(count, categories, dtype=torch.bool)
    rows = torch.arange(1, count, 2)
    labels[rows, torch.arange(len(rows)) % categories] = True
    return labels


def built(config: DetectorConfig, task: Task = TASKS[0], *, width: int | None = None) -> Detector:
    """A new detector of a fixed seed."""
    if width is not None:
        task = Task({"visual": width}, task.categories)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return detector_class(config.name)(config, task)


def ready(config: DetectorConfig, task: Task = TASKS[0]) -> Detector:
    """A detector that can score: a fitted one is fitted on noise."""
    model = built(config, task)
    if isinstance(model, FittedDetector):
        fit(model, videos(8, 20), labels_of(8))
    return model.eval()


def fit(model: FittedDetector, x: Tensor, labels: Tensor) -> None:
    """Fits a detector on videos ``(B, T, D)``."""
    rows = torch.arange(len(x))
    if model.trained_on == "normal":
        rows = rows[~labels.any(1)]
    split = Split(x.unsqueeze(1), rows, labels[rows])
    model.fit(split, np.random.default_rng(0))


def overfit(model: Detector, x: Tensor, labels: Tensor, *, lr: float, steps: int = 400) -> bool:
    """Trains a detector on one batch until it tells the videos apart, or ``steps`` are over.

    Returns:
        Whether it does.
    """
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=lr)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.prepare(Split(x.unsqueeze(1), torch.arange(len(x)), labels))
        for step in range(steps):
            model.train()
            optimizer.zero_grad()
            torch.autograd.backward(model.losses(Batch(x, labels))["loss"])
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step % 20 == 19:
                judged = model.video_scores(predict(model, x).scores, model.config)
                abnormal = labels.any(1)
                if judged[abnormal].min() > judged[~abnormal].max():
                    return True
    return False


def trained(config: DetectorConfig, *, seed: int, between: Any = lambda: None) -> list[Any]:
    """Every bit that two epochs on a tiny data set give; ``between`` is called between them."""
    run = start_run(
        tiny_store(),
        Config.model_validate(
            {
                "data": {"synthetic": "ucf-like", "segments": 8, "val_fraction": 0.3},
                "model": config,
                "train": {"epochs": 2, "batch_size": 8},
            }
        ),
        seed=seed,
        split_seed=1,
        objective=ObjectiveConfig(),
        runtime=CPU,
    )
    while not run.done:
        run.run_epoch()
        between()
    result = run.result()
    state = result.model_state or {}
    weights = [(name, state[name].numpy().tobytes()) for name in sorted(state)]
    return [[record.metrics for record in result.curve], result.selected, weights]


def predict(model: Detector, x: Tensor, mask: Tensor | None = None) -> Prediction:
    """A detector's prediction in evaluation mode."""
    with scoring_mode(model):
        found: Prediction = model.predict(x, mask)
    return found


def require_shares(found: Prediction) -> None:
    """Fails where a score or a probability is not in [0, 1]."""
    for value in (found.scores, found.category_probs, found.class_probs):
        if value is not None:
            assert value.isfinite().all()
            assert value.min() >= 0
            assert value.max() <= 1


def close(found: Tensor, expected: Tensor) -> None:
    """Fails where values differ by more than sums in another order do."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
