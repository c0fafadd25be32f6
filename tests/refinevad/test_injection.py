"""The contract of every injection strategy, and what sets each apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.injection import (
    INJECTIONS,
    AddNorm,
    CrossAttention,
    LinearInjection,
    SegmentQuery,
)

torch.set_num_threads(1)

CONFIG = RefineVADConfig(d_model=24, d_proj=16, d_emb=10, encoder_feedforward=32)


@pytest.fixture(params=sorted(INJECTIONS.keys() - {"none"}))
def strategy(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    return INJECTIONS[request.param](CONFIG).eval()


def video(batch: int = 3, segments: int = 7) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, segments, 24), torch.randn(batch, 10)


def constant_over_time(change: Tensor) -> bool:
    return torch.allclose(change, change[:, :1].expand_as(change), atol=1e-5)


def test_every_name_of_the_configuration_is_a_strategy() -> None:
    allowed = RefineVADConfig.model_json_schema()["properties"]["injection"]["enum"]
    assert sorted(allowed) == sorted(INJECTIONS)


def test_shape_is_kept(strategy: torch.nn.Module) -> None:
    for batch, segments in ((1, 1), (3, 7)):
        x, v = video(batch, segments)
        assert strategy(x, v, None).shape == x.shape


def test_padding_changes_nothing_for_valid_segments(strategy: torch.nn.Module) -> None:
    x, v = video()
    lengths = torch.tensor([7, 4, 1])
    mask = torch.arange(7) < lengths.unsqueeze(1)
    out = strategy(x, v, mask)
    garbage = torch.where(mask.unsqueeze(-1), x, 1e3)
    for b, length in enumerate(lengths.tolist()):
        alone = strategy(x[b : b + 1, :length], v[b : b + 1], None)[0]
        torch.testing.assert_close(out[b, :length], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(strategy(garbage, v, mask)[mask], out[mask], rtol=1e-4, atol=1e-5)


def test_a_mask_of_ones_is_no_mask(strategy: torch.nn.Module) -> None:
    x, v = video()
    ones = torch.ones(3, 7, dtype=torch.bool)
    torch.testing.assert_close(strategy(x, v, ones), strategy(x, v, None))


def test_videos_of_a_batch_do_not_meet(strategy: torch.nn.Module) -> None:
    x, v = video()
    together = strategy(x, v, None)
    for b in range(3):
        torch.testing.assert_close(strategy(x[b : b + 1], v[b : b + 1], None)[0], together[b])


def test_the_prototype_matters_and_learns(strategy: torch.nn.Module) -> None:
    x, v = video()
    v.requires_grad_()
    out = strategy(x, v, None)
    assert not torch.allclose(out, strategy(x, v + 1, None))
    (out * torch.randn_like(out)).sum().backward()
    assert v.grad is not None
    assert (v.grad.abs().sum(dim=1) > 0).all()
    assert all(p.grad is not None and p.grad.any() for p in strategy.parameters())


def test_bfloat16_autocast_gives_finite_numbers_and_gradients(strategy: torch.nn.Module) -> None:
    x, v = video()
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    with torch.autocast("cpu", torch.bfloat16):
        out = strategy(x, v, mask)
    out.float().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in strategy.parameters())
    torch.testing.assert_close(out.float(), strategy(x, v, mask), atol=0.1, rtol=0.1)


def test_order_of_time_does_not_matter(strategy: torch.nn.Module) -> None:
    x, v = video()
    backwards = strategy(x.flip(1), v, None).flip(1)
    torch.testing.assert_close(backwards, strategy(x, v, None), rtol=1e-4, atol=1e-5)


def test_cross_attention_adds_the_same_vector_to_every_segment() -> None:
    x, v = video()
    change = CrossAttention(CONFIG)(x, v) - x
    assert constant_over_time(change)
    assert change.abs().max() > 1e-3


def test_linear_adds_a_vector_that_does_not_look_at_the_video() -> None:
    x, v = video()
    linear = LinearInjection(CONFIG)
    change = linear(x, v) - x
    assert constant_over_time(change)
    other = torch.randn_like(x)
    torch.testing.assert_close(linear(other, v) - other, change, atol=1e-5, rtol=0)


def test_the_answer_of_cross_attention_depends_on_the_video() -> None:
    x, v = video()
    attention = CrossAttention(CONFIG)
    assert not torch.allclose(attention(x, v) - x, attention(-x, v) + x, atol=1e-3)


def test_segments_take_different_amounts_when_they_ask() -> None:
    x, v = video()
    assert not constant_over_time(SegmentQuery(CONFIG)(x, v) - x)


def test_add_norm_ends_normalised() -> None:
    x, v = video()
    out = AddNorm(CONFIG).eval()(x * 50, v)
    torch.testing.assert_close(out.mean(dim=-1), torch.zeros(3, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(dim=-1, correction=0), torch.ones(3, 7), atol=1e-3, rtol=0)


@pytest.mark.parametrize("masked", [False, True])
def test_cross_attention_is_torch_multi_head_attention_with_one_query(masked: bool) -> None:
    """The folded projections against q, k, v computed one by one."""
    x, v = video()
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]]) if masked else None
    injection = CrossAttention(CONFIG)
    parts = injection.attention
    heads = CONFIG.injection_heads
    query = parts.query(v).view(3, heads, 1, -1)
    key = parts.key(x).view(3, 7, heads, -1).transpose(1, 2)
    value = parts.value(x).view(3, 7, heads, -1).transpose(1, 2)
    allowed = None if mask is None else mask.view(3, 1, 1, 7)
    answer = torch.nn.functional.scaled_dot_product_attention(query, key, value, allowed)
    expected = x + parts.out(answer.transpose(1, 2).reshape(3, 1, -1))
    torch.testing.assert_close(injection(x, v, mask), expected, rtol=1e-4, atol=1e-5)


def test_segment_query_is_attention_over_the_prototype_and_nothing() -> None:
    """sigmoid(q . k) against a softmax over two keys, the second of them zero."""
    x, v = video()
    injection = SegmentQuery(CONFIG)
    heads, width = 4, 4
    query = injection.query(x).view(3, 7, heads, width).transpose(1, 2)
    key, value = injection.key_value(v).chunk(2, dim=-1)
    keys = torch.stack([key, torch.zeros_like(key)], dim=1).view(3, 2, heads, width)
    values = torch.stack([value, torch.zeros_like(value)], dim=1).view(3, 2, heads, width)
    logits = query @ keys.permute(0, 2, 3, 1) / math.sqrt(width)
    answer = logits.softmax(dim=-1) @ values.transpose(1, 2)
    expected = x + injection.out(answer.transpose(1, 2).reshape(3, 7, -1))
    torch.testing.assert_close(injection(x, v), expected, rtol=1e-4, atol=1e-5)
