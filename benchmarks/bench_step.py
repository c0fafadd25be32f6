"""A training step of RefineVAD against a plain fp32 version with a loop shift.

``python benchmarks/bench_step.py [--width 768] [--threads 2]``: forward, losses, backward, clipping
and AdamW on a batch of 64 videos of 32 segments, both sides in turns, in one process; beside them
the machine's own peak in matrix products. Needs torch alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from common import alternate, publish, spread, task
from plain import PlainRefineVAD, plain_loss
from torch import Tensor, nn

from refinevad.config.training import Runtime
from refinevad.models.base import Batch
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from refinevad.training.runtime import resolve_runtime

BATCH, SEGMENTS, CATEGORIES = 64, 32, 13


def stepper(
    model: nn.Module, loss_of: Callable[[], Tensor], *, fused: bool, device: torch.device
) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=fused)

    def step() -> None:
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


GEMM_SIZE = {"cpu": 2048, "cuda": 8192}


def multiplier(dtype: torch.dtype, device: torch.device) -> Callable[[], None]:
    """A large square product: the machine's own speed in this precision."""
    n = GEMM_SIZE[device.type]
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))

    def multiply() -> None:
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()

    return multiply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(0)
    d = args.width
    runs = {
        name: resolve_runtime(Runtime(threads=args.threads, precision=name))
        for name in ("fp32", "bf16")
    }
    device = runs["fp32"].device
    x = torch.randn(BATCH, SEGMENTS, d, device=device) / d**0.5
    labels = torch.zeros(BATCH, CATEGORIES, dtype=torch.bool, device=device)
    labels[torch.arange(BATCH // 2, BATCH), torch.arange(BATCH // 2) % CATEGORIES] = True

    plain = PlainRefineVAD(d, d, CATEGORIES).to(device)
    sides = {
        "plain fp32": stepper(
            plain, lambda: plain_loss(plain(x), labels), fused=False, device=device
        )
    }
    for name, runtime in runs.items():
        runtime.apply()
        model = RefineVAD(RefineVADConfig(d_model=d), task({"text": d}, CATEGORIES)).to(device)

        def loss(model: RefineVAD = model, name: str = name) -> Tensor:
            with runs[name].autocast():
                return model.losses(Batch(x, labels))["loss"]

        sides[f"refinevad {name}"] = stepper(model, loss, fused=True, device=device)
    gemms = {
        "fp32": multiplier(torch.float32, device),
        "bf16": multiplier(torch.bfloat16, device),
    }
    seconds = alternate(sides | gemms, repeats=args.repeats)
    work = 2 * GEMM_SIZE[device.type] ** 3 / 1e9
    peaks = {name: work / min(seconds.pop(name)) for name in gemms}

    # 6 FLOPs per weight and token in encoder, fusion and scorer: what GEMMs must do at least.
    weights = 2 * (4 * d * d + 2 * d * 2048) + d * d + 2 * (d * 512 + 512 * 128)
    flops = 6 * weights * BATCH * SEGMENTS
    base = spread(seconds["plain fp32"])["median"]
    rows = []
    for name, values in seconds.items():
        found = spread(values)
        speed = flops / found["median"] / 1e9
        precision = name.split()[-1]
        rows.append(
            {
                "side": name,
                "ms per step": 1000 * found["median"],
                "q1": 1000 * found["q1"],
                "q3": 1000 * found["q3"],
                "times plain": base / found["median"],
                "GFLOP/s": speed,
                "GEMM peak": peaks[precision],
                "% of peak": 100 * speed / peaks[precision],
            }
        )
    command = f"python benchmarks/bench_step.py --width {d} --threads {args.threads}"
    publish(f"step_{device.type}_d{d}_t{args.threads}", rows, command=command)


if __name__ == "__main__":
    main()
