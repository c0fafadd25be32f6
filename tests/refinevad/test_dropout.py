"""Fast dropout is dropout: rate, scale, gradient, seed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from refinevad.dropout import FastDropout, use_fast_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.6])
def test_a_share_p_is_zero_and_the_rest_is_scaled_by_one_over_one_minus_p(
    dtype: torch.dtype, p: float
) -> None:
    torch.manual_seed(0)
    y = FastDropout(p)(torch.full((999, 1001), -2.0, dtype=dtype))
    dropped = y == 0
    assert dropped.float().mean().item() == pytest.approx(p, abs=2e-3)  # 4 standard errors
    assert torch.equal(y[~dropped].unique(), torch.tensor([-2 / (1 - p)], dtype=dtype))
    both = (dropped[:, 1:] & dropped[:, :-1]).float().mean().item()
    assert both == pytest.approx(p * p, abs=3e-3), "neighbours are dropped independently"


def test_the_gradient_is_dropped_and_scaled_where_the_value_is() -> None:
    x = torch.ones(7, 5, requires_grad=True)
    y = FastDropout(0.5)(x)
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_the_seed_decides_the_mask_and_the_next_mask_differs() -> None:
    x = torch.ones(64)
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append([FastDropout(0.5)(x) for _ in range(2)])
    assert torch.equal(masks[0][0], masks[1][0])
    assert torch.equal(masks[0][1], masks[1][1])
    assert not torch.equal(masks[0][0], masks[0][1])


def test_evaluation_and_rate_zero_leave_values_alone() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(FastDropout(0.5).eval()(x), x)
    assert torch.equal(FastDropout(0.0)(x), x)


def test_every_dropout_of_a_model_is_replaced_with_its_own_rate() -> None:
    model = nn.Sequential(nn.Dropout(0.3), nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2))
    use_fast_dropout(model)
    rates = [m.p for m in model.modules() if isinstance(m, FastDropout)]
    assert rates == [0.3, 0.2, 0.2, 0.2]
    assert not [m for m in model.modules() if type(m) is nn.Dropout]
