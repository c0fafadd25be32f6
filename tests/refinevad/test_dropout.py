"""Our dropout does what torch's does: the right share, no bias, no pattern, a seed, no eval."""

from __future__ import annotations

import pytest
import torch

from refinevad.layers.dropout import Dropout

torch.set_num_threads(1)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.6, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_of_zeros_is_p_and_the_mean_is_kept(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(1000, 1001, dtype=dtype)).float()
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=2e-3)
    assert y.mean().item() == pytest.approx(1.0, rel=0.1 if p == 0.999 else 1e-2)
    kept = y[y != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=2e-2)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(1 << 20)) == 0).float() - 0.5
    for lag in (1, 2, 3, 4, 5, 8, 64):
        assert abs((dropped[lag:] * dropped[:-lag]).mean().item()) < 2e-3  # 8 deviations


def test_evaluation_and_a_probability_of_zero_change_nothing() -> None:
    x = torch.randn(3, 7)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_the_seed_decides() -> None:
    x, dropout = torch.ones(101), Dropout(0.5)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(dropout(x), dropout(x))


def test_the_gradient_passes_where_the_value_did() -> None:
    x = torch.randn(5, 7, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.where(y != 0, 2.0, 0.0))
