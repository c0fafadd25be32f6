"""The adaptive channel shift, against the loop one would write first and against a mere copy.

``python benchmarks/bench_shift.py [--width 768] [--threads 2]``: 64 videos of 32 segments, sides in
turns. The copy (``clone``) is the least that any shift must do. Needs torch alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from common import alternate, publish, spread
from plain import loop_shift
from torch import Tensor

from refinevad.models.refinevad.shift import adaptive_shift

BATCH, SEGMENTS, GROUPS = 64, 32, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=200)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rate = torch.rand(BATCH, SEGMENTS, device=device)
    rows: list[dict[str, object]] = []
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        x = torch.randn(BATCH, SEGMENTS, args.width, device=device).to(dtype)
        leaf, slope = x.clone().requires_grad_(), rate.clone().requires_grad_()
        out = torch.empty_like(x)
        sides: dict[str, Callable[[], object]] = {
            "copy": x.clone,
            "copy into memory that is there": lambda x=x, out=out: out.copy_(x),
            "shift": lambda x=x: adaptive_shift(x, rate, groups=GROUPS),
            "shift and its gradients": lambda a=leaf, r=slope, g=out: gradients(a, r, g),
        }
        sides = {side: finished(call, device) for side, call in sides.items()}
        seconds = alternate(sides, repeats=args.repeats, warmup=20)
        loop = finished(lambda x=x: loop_shift(x, rate, GROUPS), device)
        seconds |= alternate({"loop": loop}, repeats=5, warmup=1)
        assert torch.equal(adaptive_shift(x, rate, groups=GROUPS), loop_shift(x, rate, GROUPS))
        copy = spread(seconds["copy"])["median"]
        megabytes = x.numel() * x.element_size() / 1e6
        for side, values in seconds.items():
            found = spread(values)
            rows.append(
                {
                    "side": f"{side}, {name}",
                    "ms": 1000 * found["median"],
                    "q1": 1000 * found["q1"],
                    "q3": 1000 * found["q3"],
                    "times the copy": found["median"] / copy,
                    "GB/s read and written": 2 * megabytes / 1000 / found["median"],
                }
            )
    publish(
        f"shift_{device.type}_d{args.width}"
        + (f"_t{args.threads}" if device.type == "cpu" else ""),
        rows,
        command=f"python benchmarks/bench_shift.py --width {args.width} --threads {args.threads}",
    )


def gradients(x: Tensor, rate: Tensor, grad: Tensor) -> None:
    torch.autograd.grad(adaptive_shift(x, rate, groups=GROUPS), (x, rate), grad)


def finished(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """The same, until the device has done it."""

    def run() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


if __name__ == "__main__":
    main()
