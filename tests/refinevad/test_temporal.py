"""Temporal modules beside MoTAR: their size, their neighbours, and what padding must not do."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from refinevad.evaluation.complexity import costs, flops
from refinevad.evaluation.scores import score_snippets
from refinevad.layers.lgt import LGTAdapter, WindowBlock, likeness, nearness, quick_gelu
from refinevad.layers.mtn import MTN, NonLocal
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.core import category_weights
from refinevad.models.refinevad.model import RefineVAD
from refinevad.models.refinevad.temporal import along_time, temporal_module, temporal_modules
from tests.support.detectors import task

SMALL: dict[str, Any] = {
    "d_model": 16, "d_proj": 8, "d_emb": 8, "encoder_feedforward": 16, "shift_groups": 4,
}  # fmt: skip
KINDS = ["motar", "mtn", "lgt", "none"]


def module_of(kind: str, **more: Any) -> Any:
    torch.manual_seed(0)
    return temporal_module(RefineVADConfig.model_validate(SMALL | {"temporal": kind} | more))


def small_model(**more: Any) -> RefineVAD:
    return RefineVAD(RefineVADConfig.model_validate(SMALL | more), task({"text": 6}, 3))


def test_they_have_the_published_number_of_parameters() -> None:
    modules = temporal_modules(RefineVADConfig(), "mtn", "lgt", "none")
    sizes = {kind: sum(p.numel() for p in module.parameters()) for kind, module in modules.items()}
    assert sizes["mtn"] == 3_321_888
    assert sizes["lgt"] == 18_625_537
    assert sizes["none"] == 0


@pytest.mark.parametrize("kind", ["mtn", "lgt", "none"])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing_for_valid_segments(kind: str, training: bool) -> None:
    module = module_of(kind).train(training)
    x = torch.randn(3, 21, 16)
    padded = torch.cat([x, 100 * torch.randn(3, 11, 16)], dim=1)
    mask = torch.arange(32).expand(3, -1) < 21
    alone, _ = along_time(copy.deepcopy(module), x, None)
    beside, shift = along_time(copy.deepcopy(module), padded, mask)
    assert torch.allclose(beside[:, :21], alone, atol=1e-5)
    assert shift.shape == (3, 32)
    assert not shift.any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_that_is_used_has_a_gradient(kind: str) -> None:
    torch.manual_seed(0)
    model = RefineVAD(
        RefineVADConfig.model_validate(SMALL | {"temporal": kind}), task({"text": 6}, 3)
    )
    if isinstance(model.motar, MTN):  # at its start the block passes nothing on
        torch.nn.init.normal_(model.motar.whole.norm.weight)
    output = model.outputs(torch.randn(4, 9, 6), labels=torch.eye(4)[:, :3].bool())
    (output.logits.square().sum() + output.mu.sum()).backward()
    without = [n for n, p in model.motar.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == (["scale"] if kind == "lgt" else [])  # counted by the paper, used nowhere


def test_the_non_local_block_against_a_loop() -> None:
    torch.manual_seed(1)
    block = NonLocal(8).eval()
    x = torch.randn(2, 5, 8)
    assert torch.equal(block(x, None), x)  # zero at its start
    torch.nn.init.normal_(block.norm.weight)
    expected = x.clone()
    for b in range(2):
        for t in range(5):
            seen = torch.zeros(4)
            for s in range(5):
                weight = block.theta(x[b, t]) @ block.phi(x[b, s]) / 5
                seen = seen + weight * block.g(x[b, s])
            y = block.out(seen) / math.sqrt(1 + 1e-5)
            expected[b, t] = x[b, t] + block.norm.weight * y
    assert torch.allclose(block(x, None), expected, atol=1e-5)


def test_mtn_sees_four_steps_in_one_convolution() -> None:
    """Without the block that sees all, a segment depends on those up to 4 + 1 away."""
    module = module_of("mtn").eval()
    x = torch.randn(1, 31, 16)
    other = x.clone()
    other[0, 15] += 1
    changed = (module(x, None) != module(other, None)).any(-1)[0].nonzero().flatten()
    assert changed.tolist() == [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]


def test_windows_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    block = WindowBlock(16).eval()
    x = torch.randn(1, 20, 16)
    other = x.clone()
    other[0, 9] += 1
    changed = (block(x, None) != block(other, None)).any(-1)[0].nonzero().flatten()
    assert changed.tolist() == list(range(8, 16))


def test_a_window_against_attention_by_hand() -> None:
    torch.manual_seed(0)
    block = WindowBlock(8).eval()
    x = torch.randn(1, 8, 8)
    query, key, value = block.query_key_value(block.norm_attention(x))[0].chunk(3, dim=-1)
    weights = (query @ key.T / math.sqrt(8)).softmax(dim=-1)
    y = x[0] + block.out(weights @ value)
    expected = y + block.down(quick_gelu(block.up(block.norm_feedforward(y))))
    assert torch.allclose(block(x, None)[0], expected, atol=1e-6)


def test_graphs_against_loops() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 6, 4)
    x[0, 3] = 2 * x[0, 1] + 0.01 * torch.randn(4)  # alike
    expected = torch.zeros(6, 6)
    for t in range(6):
        for s in range(6):
            cosine = F.cosine_similarity(x[0, t], x[0, s], dim=0)
            expected[t, s] = cosine if cosine > 0.7 else 0.0
    assert expected[1, 3] > 0.9
    assert torch.allclose(likeness(x, None)[0], expected.softmax(dim=-1), atol=1e-6)
    near = nearness(x, None)[0]
    assert near[2, 5].item() == pytest.approx(math.exp(-3 / math.e))
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert likeness(x, mask)[0, :, 4:].sum() == 0
    assert nearness(x, mask)[0, :, 4:].sum() == 0


def test_positions_are_the_table_at_32_and_stretched_elsewhere() -> None:
    module = module_of("lgt")
    assert isinstance(module, LGTAdapter)
    table = module.positions
    assert torch.equal(module._positions(torch.zeros(2, 32, 16), None)[0], table)
    double = module._positions(torch.zeros(1, 63, 16), None)[0]
    assert torch.allclose(double[::2], table, atol=1e-6)
    assert torch.allclose(double[1], (table[0] + table[1]) / 2, atol=1e-6)
    assert torch.equal(module._positions(torch.zeros(1, 1, 16), None)[0, 0], table[0])


@pytest.mark.parametrize("kind", KINDS)
def test_whole_videos_can_be_scored(kind: str) -> None:
    torch.manual_seed(0)
    model = RefineVAD(
        RefineVADConfig.model_validate(SMALL | {"temporal": kind}), task({"text": 6}, 3)
    )
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 1, 6)).astype(np.float16)
    scores, probs = score_snippets(model, features, np.array([0, 1, 13, 50]))
    alone, _ = score_snippets(model, features[13:], np.array([0, 37]))
    assert scores[13:] == pytest.approx(alone, abs=1e-5)
    assert np.isfinite(probs).all()


def test_impossible_widths_are_named() -> None:
    with pytest.raises(ValidationError, match="d_model = 20 is not divisible by 8"):
        RefineVADConfig(d_model=20, temporal="mtn")
    RefineVADConfig(d_model=20, d_proj=7, injection="none")


def test_no_injection_leaves_the_segments_alone() -> None:
    torch.manual_seed(0)
    model = RefineVAD(
        RefineVADConfig.model_validate(SMALL | {"injection": "none"}), task({"text": 6}, 3)
    )
    output = model.outputs(torch.randn(2, 5, 6))
    assert torch.equal(output.x_ca, output.x_tc)
    assert output.category_logits.shape == (2, 3, 2)


def test_hard_weights_are_the_most_probable_category_with_a_gradient() -> None:
    logits = torch.tensor(
        [[[0.0, 1.0], [-3.0, 0.5], [0.0, -2.0]], [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]],
        requires_grad=True,
    )
    probs, weights = category_weights(logits, 0.5, "hard")
    assert probs[0].argmax() == 1
    assert torch.allclose(weights[0], torch.tensor([0.0, 1.0, 0.0]))
    assert torch.allclose(weights[1], torch.full((3,), 1 / 3))
    soft = category_weights(logits, 0.5)[1]
    for given in (weights, soft):
        logits.grad = None
        (given[0] * torch.tensor([1.0, 2.0, 3.0])).sum().backward(retain_graph=True)
        assert logits.grad is not None
        found = logits.grad[0, :, 1].clone()
        if given is weights:
            first = found
    assert torch.allclose(first, found)


def test_costs_are_counted() -> None:
    linear = torch.nn.Linear(10, 20)
    wrapped = lambda x, mask: linear(x)  # noqa: E731
    module = torch.nn.Module()
    module.forward = wrapped  # type: ignore[method-assign]
    assert flops(module, torch.zeros(1, 4, 10)) == 2 * 4 * 10 * 20
    small = RefineVADConfig.model_validate(SMALL)
    found = costs(temporal_modules(small), width=small.d_model, batches=(2,), repeats=1)
    assert [c.name for c in found] == ["motar", "mtn", "lgt"]
    for cost in found:
        assert cost.flops > 2 * 32 * 100
        assert cost.megabytes[2] >= 2 * 32 * 16 * 4 / 1e6
