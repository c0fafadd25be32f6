"""What each means of a fast step gives: with it and without it, in turns.

``python benchmarks/bench_means.py [--width 768] [--threads 2]``: the optimiser fused, in a list of
tensors and in a loop; a batch by ``index_select`` and from a ``DataLoader``; weights cast once a
step by autocast; the whole step compiled by ``torch.compile`` where there is a compiler, with the
seconds that compiling takes. Needs torch alone.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable

import torch
from bench_step import BATCH, CATEGORIES, SEGMENTS, stepper
from common import alternate, publish, spread, task
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from refinevad.config.training import Runtime
from refinevad.models.base import Batch
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD
from refinevad.training.runtime import resolve_runtime

VIDEOS = 1600


def optimizers(model: torch.nn.Module) -> dict[str, Callable[[], object]]:
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) / 1000
    kinds = {"fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}
    return {
        f"AdamW, {name}": torch.optim.AdamW(model.parameters(), lr=1e-5, **kind).step
        for name, kind in kinds.items()
    }


def batches(width: int, device: torch.device) -> dict[str, Callable[[], object]]:
    features = torch.randn(VIDEOS, SEGMENTS, width).half()
    here = features.to(device)
    loader = DataLoader(TensorDataset(features), batch_size=BATCH, shuffle=True)
    stream = iter(loader)

    def by_index() -> Tensor:
        return here.index_select(0, torch.randint(VIDEOS, (BATCH,)).to(device)).float()

    def by_loader() -> Tensor:
        nonlocal stream
        batch = next(stream, None)
        if batch is None:
            stream = iter(loader)
            batch = next(stream)
        return batch[0].to(device).float()

    return {"a batch, index_select": by_index, "a batch, DataLoader": by_loader}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(0)
    runtime = resolve_runtime(Runtime(threads=args.threads))
    runtime.apply()
    device = runtime.device
    x = torch.randn(BATCH, SEGMENTS, args.width, device=device) / args.width**0.5
    labels = torch.zeros(BATCH, CATEGORIES, dtype=torch.bool, device=device)
    labels[torch.arange(BATCH // 2, BATCH), torch.arange(BATCH // 2) % CATEGORIES] = True

    def make() -> RefineVAD:
        return RefineVAD(
            RefineVADConfig(d_model=args.width), task({"text": args.width}, CATEGORIES)
        ).to(device)

    def step(model: RefineVAD, *, cache: bool = True) -> Callable[[], None]:
        def loss() -> Tensor:
            with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=cache):
                return model.losses(Batch(x, labels))["loss"]

        return stepper(model, loss, fused=True, device=device)

    groups = [optimizers(make()), batches(args.width, device)]
    steps = {"step, eager": step(make()), "step, casts not kept": step(make(), cache=False)}
    compiling = None
    if device.type == "cuda" or shutil.which("g++"):
        model = make()
        model.outputs = torch.compile(model.outputs)  # type: ignore[method-assign]
        compiled = step(model)
        started = time.perf_counter()
        compiled()
        compiling = time.perf_counter() - started
        steps["step, compiled"] = compiled
    rows: list[dict[str, object]] = []
    for sides in (*groups, steps):
        for side, values in alternate(sides, repeats=args.repeats).items():
            found = spread(values)
            row = {"side": side, "ms": 1000 * found["median"]}
            row |= {"q1": 1000 * found["q1"], "q3": 1000 * found["q3"]}
            rows.append(row | ({"s of the first": compiling} if "compiled" in side else {}))
    command = f"python benchmarks/bench_means.py --width {args.width} --threads {args.threads}"
    publish(f"means_{device.type}_d{args.width}", rows, command=command)


if __name__ == "__main__":
    main()
