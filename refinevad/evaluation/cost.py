"""The cost of a detector: what a search may weigh against its metric."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

import torch

from refinevad.evaluation.complexity import flops
from refinevad.models.base import Detector, FittedDetector

PASSES = 21
"""Timed passes of a latency, after `WARM` that are not."""
WARM = 3


def cost_of(
    name: str, model: Detector, *, segments: int, epoch_seconds: Sequence[float]
) -> Mapping[str, float]:
    """One cost of a trained detector.

    Args:
        name: A key of ``COSTS``.
        model: The detector, on the device that it ran on; its mode is put back.
        segments: T, segments of the video that is scored.
        epoch_seconds: Wall time of each epoch that it was trained.

    Returns:
        ``cost/<name>`` -> the value, in the unit that ``COSTS`` says.
    """
    if name == "epoch_seconds":
        return {f"cost/{name}": statistics.fmean(epoch_seconds)}
    if name == "parameters":
        return {f"cost/{name}": float(_learnt(model))}
    device = next((t.device for t in model.state_dict().values()), torch.device("cpu"))
    x = torch.zeros(1, segments, model.task.width, device=device)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            if name == "flops":
                return {f"cost/{name}": float(flops(model.predict, x))}
            return {f"cost/{name}": _milliseconds(model, x)}
    finally:
        model.train(training)


def _learnt(model: Detector) -> int:
    """Numbers that training decides: weights, and what a fitted detector keeps in buffers."""
    fitted = model.buffers() if isinstance(model, FittedDetector) else ()
    return sum(tensor.numel() for tensor in (*model.parameters(), *fitted))


def _milliseconds(model: Detector, x: torch.Tensor) -> float:
    """Median time to score one video, in ms."""
    found = []
    for _ in range(WARM + PASSES):
        started = time.perf_counter()
        model.predict(x)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        found.append(1000 * (time.perf_counter() - started))
    return statistics.median(found[WARM:])
