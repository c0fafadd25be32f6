"""MoTAR against slow oracles: loops over (b, t), the plain formula, numbers by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.motar import MoTAR, ShiftRate, motion_variance, standardise
from refinevad.models.refinevad.shift import adaptive_shift, shift_size

torch.set_num_threads(1)


def lengths_to_mask(lengths: list[int], segments: int) -> Tensor:
    return torch.arange(segments) < torch.tensor(lengths).unsqueeze(1)


def shift_by_loop(
    x: Tensor, rate: Tensor, groups: int, edges: str, mask: Tensor | None = None
) -> Tensor:
    """Eq. 3, one channel at a time. Only valid segments are filled in."""
    batch, segments, channels = x.shape
    out = torch.full_like(x, torch.nan)
    for b in range(batch):
        length = segments if mask is None else int(mask[b].sum())
        for t in range(length):
            s = int(rate[b, t] * (channels / groups))
            for c in range(channels):
                source = t - 1 if c < s else t + 1 if c < 2 * s else t
                if 0 <= source < length:
                    out[b, t, c] = x[b, source, c]
                else:
                    out[b, t, c] = x[b, t, c] if edges == "keep" else 0.0
    return out


def shift_by_formula(
    x: Tensor,
    rate: Tensor,
    groups: int,
    temperature: float,
    edges: str,
    mask: Tensor | None = None,
) -> Tensor:
    """weights = hard + soft - stopgrad(soft), all channels, plain autograd."""
    channels = x.shape[-1]
    valid = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    absent = x if edges == "keep" else torch.zeros_like(x)
    previous = torch.cat([absent[:, :1], x[:, :-1]], dim=1)
    following = torch.cat([x[:, 1:], x[:, -1:]], dim=1)
    has_next = torch.cat([valid[:, 1:], torch.zeros_like(valid[:, :1])], dim=1).unsqueeze(-1)
    following = torch.where(has_next, following, absent)
    u = (rate * (channels / groups)).unsqueeze(-1)
    s = u.detach().floor()
    c = torch.arange(channels)
    hard_past = (c < s).to(x.dtype)
    hard_future = ((c >= s) & (c < 2 * s)).to(x.dtype)
    soft_past = torch.sigmoid((u - c - 0.5) / temperature)
    soft_future = torch.sigmoid((2 * u - c - 0.5) / temperature) - soft_past
    past = hard_past + soft_past - soft_past.detach()
    future = hard_future + soft_future - soft_future.detach()
    return past * previous + future * following + (1 - past - future) * x


@settings(max_examples=60, deadline=None)
@given(
    segments=st.integers(1, 7),
    channels=st.integers(4, 23),
    groups=st.integers(2, 9),
    edges=st.sampled_from(["keep", "zero"]),
    padded=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_vectorised_shift_is_the_loop_over_every_channel(
    segments: int, channels: int, groups: int, edges: str, padded: bool, seed: int
) -> None:
    groups = min(groups, channels)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(3, segments, channels, generator=g)
    rate = torch.rand(3, segments, generator=g).round(decimals=2)
    mask = None
    if padded:
        lengths = torch.randint(1, segments + 1, (3,), generator=g).tolist()
        mask = lengths_to_mask(lengths, segments)
    valid = torch.ones(3, segments, dtype=torch.bool) if mask is None else mask
    shifted = adaptive_shift(x, rate, groups=groups, edges=edges, mask=mask)
    expected = shift_by_loop(x, rate, groups, edges, mask)
    assert torch.equal(shifted[valid], expected[valid])


def test_shift_on_numbers_worked_out_by_hand() -> None:
    x = torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]])
    rate = torch.tensor([[0.5, 0.5, 0.5]])  # u = 0.5 * 4 / 2 = 1
    kept = [[1.0, 6, 3, 4], [1, 10, 7, 8], [5, 10, 11, 12]]
    zeroed = [[0.0, 6, 3, 4], [1, 10, 7, 8], [5, 0, 11, 12]]
    assert adaptive_shift(x, rate, groups=2).tolist() == [kept]
    assert adaptive_shift(x, rate, groups=2, edges="zero").tolist() == [zeroed]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_shift_only_moves_numbers_whatever_their_type(dtype: torch.dtype) -> None:
    x = (torch.randn(2, 5, 16) * 1e3).to(dtype)
    rate = torch.rand(2, 5)
    shifted = adaptive_shift(x, rate, groups=2)
    assert shifted.dtype == dtype
    assert torch.equal(shifted, shift_by_loop(x, rate, 2, "keep"))


def test_hard_and_straight_through_forward_are_the_same_bits() -> None:
    x, rate = torch.randn(4, 8, 64), torch.rand(4, 8, requires_grad=True)
    assert torch.equal(adaptive_shift(x, rate), adaptive_shift(x, rate.detach()))
    torch.manual_seed(0)
    ste = MoTAR(RefineVADConfig(d_model=32, shift="ste")).eval()
    hard = MoTAR(RefineVADConfig(d_model=32, shift="hard")).eval()
    hard.load_state_dict(ste.state_dict())
    x = torch.randn(2, 6, 32)
    assert torch.equal(ste(x, None)[0], hard(x, None)[0])


@pytest.mark.parametrize("edges", ["keep", "zero"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("channels", "groups", "temperature"), [(24, 4, 1.0), (64, 8, 0.3)])
def test_gradients_are_those_of_the_plain_straight_through_formula(
    edges: str, padded: bool, channels: int, groups: int, temperature: float
) -> None:
    torch.manual_seed(channels)
    mask = lengths_to_mask([6, 4, 1], 6) if padded else None
    valid = torch.ones(3, 6, dtype=torch.bool) if mask is None else mask
    x = torch.randn(3, 6, channels, dtype=torch.float64)
    rate = torch.rand(3, 6)
    # A padded segment's output is nobody's business, so no gradient arrives there.
    upstream = torch.randn_like(x) * valid.unsqueeze(-1)
    grads = []
    for shift in (
        lambda x, r: adaptive_shift(
            x, r, groups=groups, temperature=temperature, edges=edges, mask=mask
        ),
        lambda x, r: shift_by_formula(x, r, groups, temperature, edges, mask),
    ):
        leaf_x, leaf_rate = x.clone().requires_grad_(), rate.clone().requires_grad_()
        shift(leaf_x, leaf_rate).backward(upstream)
        grads.append((leaf_x.grad, leaf_rate.grad))
    torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(grads[0][1], grads[1][1], rtol=1e-4, atol=1e-5)
    assert grads[0][1].abs().max() > 0.1


def test_channels_left_out_of_the_gradient_are_negligible() -> None:
    x = torch.randn(2, 4, 512, dtype=torch.float64)
    upstream = torch.randn_like(x)
    grads = []
    for shift in (
        lambda x, r: adaptive_shift(x, r, groups=64, temperature=2.0),
        lambda x, r: shift_by_formula(x, r, 64, 2.0, "keep"),
    ):
        rate = torch.full((2, 4), 0.99, requires_grad=True)
        shift(x, rate).backward(upstream)
        grads.append(rate.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-6)


@given(rate=st.floats(0, 1), channels=st.integers(2, 2048), groups=st.integers(2, 64))
def test_both_neighbours_together_never_take_more_than_all_channels(
    rate: float, channels: int, groups: int
) -> None:
    s = int(shift_size(torch.tensor([[rate]]), channels, groups))
    assert 0 <= 2 * s <= channels


def test_nan_reaches_the_output_instead_of_an_index() -> None:
    rate = torch.tensor([[torch.nan, 0.5]])
    x = torch.full((1, 2, 8), torch.nan)
    assert adaptive_shift(x, rate, groups=2).isnan().all()


def gradients_of_shift_mlp(config: RefineVADConfig) -> list[Tensor | None]:
    torch.manual_seed(0)
    motar = MoTAR(config)
    out, _ = motar(torch.randn(2, 8, config.d_model), None)
    out.square().mul(torch.randn_like(out)).sum().backward()
    assert motar.rate is not None
    return [p.grad for p in motar.rate.mlp.parameters()]


@pytest.mark.parametrize("motion", ["per_channel", "scalar", "per_video"])
def test_every_weight_of_the_shift_mlp_learns_through_the_soft_masks(motion: str) -> None:
    config = RefineVADConfig.model_validate({"d_model": 64, "motion": motion})
    for grad in gradients_of_shift_mlp(config):
        assert grad is not None
        assert grad.isfinite().all()
        assert (grad.abs() > 0).all()


def test_the_shift_mlp_learns_nothing_through_a_hard_floor() -> None:
    assert gradients_of_shift_mlp(RefineVADConfig(d_model=64, shift="hard")) == [None] * 6


def test_motion_on_numbers_worked_out_by_hand() -> None:
    x = torch.tensor([[[0.0, 0.0], [1.0, 3.0], [1.0, 7.0]]])
    # Delta = (borrowed) [1, 3], [1, 3], [0, 4]; means 2, 2, 2
    assert motion_variance(x, None, "per_channel").tolist() == [[[1, 1], [1, 1], [4, 4]]]
    assert motion_variance(x, None, "scalar").tolist() == [[[1], [1], [4]]]
    # over time: variance of (1, 1, 0) and of (3, 3, 4)
    per_video = motion_variance(x, None, "per_video")
    torch.testing.assert_close(per_video, torch.tensor([[[2 / 9, 2 / 9]]]))


def test_a_single_segment_has_no_motion() -> None:
    x = torch.randn(2, 1, 4)
    for kind in ("per_channel", "scalar", "per_video"):
        assert not motion_variance(x, None, kind).any()


@pytest.mark.parametrize("kind", ["per_channel", "scalar", "per_video"])
def test_motion_of_valid_segments_ignores_padding(kind: str) -> None:
    x = torch.randn(3, 6, 4)
    mask = lengths_to_mask([6, 3, 1], 6)
    padded = motion_variance(x, mask, kind)
    for b, length in enumerate([6, 3, 1]):
        alone = motion_variance(x[b : b + 1, :length], None, kind)[0]
        torch.testing.assert_close(padded[b, :length], alone)


def test_standardised_motion_has_mean_zero_and_variance_one_over_valid_time() -> None:
    mask = lengths_to_mask([7, 4], 7)
    v = standardise(torch.rand(2, 7, 1) * 1e-4, mask)
    for row, valid in zip(v, mask, strict=True):
        seen = row[valid]
        torch.testing.assert_close(seen.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(seen.var(correction=0), torch.tensor(1.0), atol=1e-2, rtol=0)


def span_of_shift(motion: str, eps: float | None = None) -> float:
    """How far apart, in channels, u_t lies inside a video of unit-norm features; mean of seeds."""
    spans = []
    for seed in range(4):
        torch.manual_seed(seed)
        scene, change = torch.randn(4, 1, 384), torch.randn(4, 32, 384)
        features = torch.nn.functional.normalize(scene + 0.7 * change, dim=-1)
        x = torch.nn.Linear(384, 768)(features)
        rate = ShiftRate(RefineVADConfig.model_validate({"motion": motion}))
        if eps is not None and rate.norm is not None:
            rate.norm.eps = eps
        u = rate(x, None).detach() * 96
        spans.append(float((u.amax(dim=1) - u.amin(dim=1)).mean()))
    return sum(spans) / len(spans)


def test_the_shift_follows_motion_at_the_scale_of_unit_norm_features() -> None:
    assert span_of_shift("per_channel") > 3
    assert span_of_shift("scalar") > 3
    # The trap: with LayerNorm's usual eps s_t is one number for a whole video.
    assert span_of_shift("per_channel", eps=1e-5) < 1.5


@pytest.mark.parametrize("motion", ["per_channel", "scalar", "per_video"])
@pytest.mark.parametrize("edges", ["keep", "zero"])
def test_padding_changes_nothing_for_valid_segments(motion: str, edges: str) -> None:
    torch.manual_seed(0)
    config = RefineVADConfig.model_validate(
        {"d_model": 32, "motion": motion, "shift_edges": edges, "shift_groups": 2}
    )
    motar = MoTAR(config).eval()
    x = torch.randn(3, 9, 32)
    lengths = [9, 5, 1]
    mask = lengths_to_mask(lengths, 9)
    padded, shift = motar(x, mask)
    for b, length in enumerate(lengths):
        alone, alone_shift = motar(x[b : b + 1, :length], None)
        torch.testing.assert_close(padded[b, :length], alone[0], rtol=1e-4, atol=1e-5)
        assert torch.equal(shift[b, :length], alone_shift[0])


def test_constant_shift_takes_the_same_channels_everywhere_and_off_takes_none() -> None:
    x = torch.randn(2, 5, 64)
    config = RefineVADConfig(d_model=64, shift="constant", shift_constant=0.5)
    constant = MoTAR(config)
    assert constant.rate is None
    assert (constant(x, None)[1] == 4).all()  # 0.5 * 64 / 8
    off = MoTAR(RefineVADConfig(d_model=64, shift="off")).eval()
    out, size = off(x, None)
    assert not size.any()
    for layer in off.encoder:
        x = layer(x)
    torch.testing.assert_close(out, x)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_are_those_of_the_paper_and_of_its_equations() -> None:
    per_channel = MoTAR(RefineVADConfig())
    assert parameters(per_channel.encoder) == 11_027_968  # the paper's 11.03M
    assert parameters(per_channel) == 11_053_121 + 2 * 768  # + LayerNorm
    assert parameters(MoTAR(RefineVADConfig(motion="scalar"))) == 11_028_577


def test_encoder_layers_start_from_different_weights() -> None:
    first, second = MoTAR(RefineVADConfig(d_model=16)).encoder
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_the_shift_does_not_depend_on_the_autocast_precision_of_the_rate() -> None:
    torch.manual_seed(0)
    rate = ShiftRate(RefineVADConfig(d_model=64))
    x = torch.randn(2, 8, 64).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside = rate(x, None)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, rate(x.float(), None))
