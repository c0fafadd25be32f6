"""The assembled model: shapes, masks, precision, what it can learn, and that it repeats itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from refinevad.errors import InputError
from refinevad.layers.mil import mil_loss, top_k_mean
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.losses import training_loss
from refinevad.models.refinevad.model import RefineVAD
from refinevad.models.refinevad.output import Output
from tests.support.detectors import task

torch.set_num_threads(1)

WIDTHS = {"visual": 10, "text": 6}

ARMS: list[dict[str, object]] = [
    {},
    {"fusion": "visual"},
    {"fusion": "text"},
    {"motion": "scalar"},
    {"motion": "per_video"},
    {"shift": "hard"},
    {"shift": "constant"},
    {"shift": "off"},
    {"shift_edges": "zero"},
    {"scorer_norm": "layer"},
    {"pooling": "sigmoid"},
    {"label_prototype": False},
    {"injection": "linear"},
    {"injection": "add_norm"},
    {"injection": "segment_query"},
]


def small(seed: int = 0, categories: int = 3, **fields: object) -> RefineVAD:
    torch.manual_seed(seed)
    base: dict[str, object] = {
        "d_model": 32,
        "d_proj": 16,
        "d_emb": 8,
        "encoder_feedforward": 64,
        "shift_groups": 2,
    }
    return RefineVAD(RefineVADConfig.model_validate(base | fields), task(WIDTHS, categories))


@pytest.fixture(params=ARMS, ids=lambda arm: "-".join(map(str, arm.values())) or "default")
def model(request: pytest.FixtureRequest) -> RefineVAD:
    return small(**request.param)


LABELS = torch.tensor([[True, False, True], [False] * 3, [False, True, False], [False] * 3])


def test_every_output_has_its_shape_and_range(model: RefineVAD) -> None:
    mask = torch.arange(9) < torch.tensor([[9], [5], [1], [7]])
    for training in (True, False):
        out = model.train(training).outputs(torch.randn(4, 9, 16), mask, LABELS)
        assert out.logits.shape == out.scores.shape == out.rough_logits.shape == (4, 9)
        assert out.category_logits.shape == (4, 3, 2)
        assert out.category_probs.shape == out.category_weights.shape == (4, 3)
        assert out.mu.shape == out.sigma.shape == (4, 3)
        assert out.x_tc.shape == out.x_ca.shape == (4, 9, 32)
        assert out.shift.shape == (4, 9)
        assert not out.shift[~mask].any()
        assert not out.scores[~mask].any()
        assert ((out.scores[mask] > 0) & (out.scores[mask] < 1)).all()
        torch.testing.assert_close(out.category_weights.sum(dim=1), torch.ones(4))


def test_padding_changes_nothing_for_valid_segments(model: RefineVAD) -> None:
    model.eval()
    x = torch.randn(3, 9, 16)
    lengths = [9, 5, 1]
    mask = torch.arange(9) < torch.tensor(lengths).unsqueeze(1)
    padded = model.outputs(x, mask)
    for b, length in enumerate(lengths):
        alone = model.outputs(x[b : b + 1, :length])
        torch.testing.assert_close(padded.scores[b, :length], alone.scores[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(padded.category_logits[b], alone.category_logits[0])
        assert torch.equal(padded.shift[b, :length], alone.shift[0])


def test_every_arm_trains_under_bfloat16_autocast(model: RefineVAD) -> None:
    mask = torch.arange(9) < torch.tensor([[9], [5], [1], [7]])
    with torch.autocast("cpu", torch.bfloat16):
        out = model.outputs(torch.randn(4, 9, 16), mask, LABELS)
        total = training_loss(out, LABELS, RefineVADConfig()).total
    total.backward()
    assert out.scores.dtype == out.category_probs.dtype == torch.float32
    for name, p in model.named_parameters():
        if p.grad is None:
            assert model.config.shift == "hard", name
            assert name.startswith("motar.rate."), name
        else:
            assert p.grad.isfinite().all(), name


def test_labels_are_never_seen_in_evaluation(model: RefineVAD) -> None:
    model.eval()
    x = torch.randn(4, 9, 16)
    with_labels, without = model.outputs(x, labels=LABELS), model.outputs(x)
    assert torch.equal(with_labels.logits, without.logits)
    assert torch.equal(with_labels.mu, without.mu)


def test_core_calibrates_a_whole_video() -> None:
    out = small().outputs(torch.randn(4, 9, 16))
    change = out.x_ca - out.x_tc
    torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-5, rtol=0)


def test_scoring_a_video_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    model = small().eval()
    x = torch.randn(4, 9, 16)
    torch.testing.assert_close(
        model.outputs(x).scores[2], model.outputs(x[2:3]).scores[0], rtol=1e-4, atol=1e-5
    )


def test_rough_scores_are_of_motar_and_final_scores_of_core_each_with_its_statistics() -> None:
    model = small()
    x = torch.randn(4, 9, 16)
    for _ in range(3):
        model.outputs(x, labels=LABELS)
    norm = model.scorer.norms[0]
    assert not torch.allclose(norm.rough_mean, norm.final_mean)
    assert norm.final_mean.any()
    out = model.eval().outputs(x)
    assert torch.equal(out.rough_logits, model.scorer(out.x_tc, "rough"))
    assert torch.equal(out.logits, model.scorer(out.x_ca, "final"))
    assert torch.equal(out.scores, out.logits.sigmoid())


def test_a_modality_alone_ignores_the_others() -> None:
    x = torch.randn(2, 5, 16)
    for fusion, others in (("visual", slice(10, 16)), ("text", slice(0, 10))):
        model = small(fusion=fusion).eval()
        other = x.clone()
        other[..., others] = torch.randn_like(other[..., others])
        assert torch.equal(model.outputs(x).scores, model.outputs(other).scores)
        assert not torch.equal(model.outputs(x).scores, model.outputs(-x).scores)


def test_a_missing_modality_is_the_users_mistake() -> None:
    with pytest.raises(InputError, match=r"fusion is 'text'.*only has visual"):
        RefineVAD(RefineVADConfig(d_model=32, fusion="text"), task({"visual": 10}, 3))


def test_features_of_another_width_are_the_users_mistake() -> None:
    with pytest.raises(InputError, match=r"12 wide.*built for 16"):
        small().outputs(torch.randn(2, 5, 12))


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, refinevad, refinevad.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def eight_videos() -> tuple[Tensor, Tensor]:
    """Four normal and four abnormal videos of 16 segments: pure noise, to be memorised."""
    g = torch.Generator().manual_seed(7)
    labels = torch.zeros(8, 3, dtype=torch.bool)
    labels[torch.arange(4), torch.tensor([0, 1, 2, 0])] = True
    return torch.randn(8, 16, 16, generator=g), labels


def fit(model: RefineVAD, steps: int, lr: float = 1e-2) -> Output:
    x, labels = eight_videos()
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
    config = RefineVADConfig()
    for _ in range(steps):
        optimiser.zero_grad()
        training_loss(model.outputs(x, labels=labels), labels, config).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval()
    with torch.no_grad():
        out: Output = model.outputs(x)
    return out


def test_the_model_can_overfit_eight_videos_to_auc_one() -> None:
    labels = eight_videos()[1]
    out = fit(small(), steps=40)
    video = top_k_mean(out.scores, out.mask)
    assert roc_auc_score(labels.any(dim=1), video) == 1.0
    assert mil_loss(video, labels.any(dim=1), 1.0) < 0.2
    # The category head too: every label ahead of every other category of its video.
    abnormal = labels.any(dim=1)
    best = out.category_probs[abnormal].argmax(dim=1)
    assert labels[abnormal].gather(1, best.unsqueeze(1)).all()


def test_the_same_seed_trains_to_the_same_bits() -> None:
    states = []
    for seed in (3, 3, 4):
        model = small(seed)
        fit(model, steps=5)
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert any(not torch.equal(value, states[2][name]) for name, value in states[0].items())
