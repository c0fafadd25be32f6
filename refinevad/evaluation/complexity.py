"""The cost of a temporal module: parameters, operations, time and memory of a forward pass.

It needs only torch.
"""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """The cost of one module in evaluation, float32.

    Attributes:
        name: Name of the module, as in ``model.temporal``.
        parameters: Number of parameters.
        flops: Operations of one video, as torch counts them: two for each multiplication and
            addition of matrix products, convolutions and attention; other operations count zero.
        milliseconds: Batch size -> median time of a forward pass.
        megabytes: Batch size -> peak memory of live tensors, without weights and input.
    """

    name: str
    parameters: int
    flops: int
    milliseconds: dict[int, float]
    megabytes: dict[int, float]


def costs(
    modules: Mapping[str, nn.Module],
    *,
    width: int,
    length: int = 32,
    batches: Sequence[int] = (1, 64),
    repeats: int = 15,
    device: str = "cpu",
) -> list[Cost]:
    """Measures several modules. Their passes are timed in turns, so that noise affects all alike.

    Args:
        modules: Name -> module of ``(B, T, D)`` and a mask; they are put on the device.
        width: D.
        length: Segments a video, T.
        batches: Batch sizes.
        repeats: Timed passes of each.
        device: Device of the measurement; the threads are torch's own setting.
    """
    modules = {name: module.to(device).eval() for name, module in modules.items()}
    inputs = {batch: torch.randn(batch, length, width, device=device) for batch in batches}
    seconds: dict[tuple[str, int], list[float]] = {}
    with torch.inference_mode():
        for turn in range(repeats + 2):  # the first two warm up
            for batch, x in inputs.items():
                for name, module in modules.items():
                    found = _seconds(module, x)
                    if turn >= 2:
                        seconds.setdefault((name, batch), []).append(found)
        return [
            Cost(
                name,
                sum(p.numel() for p in module.parameters()),
                flops(module, torch.randn(1, length, width, device=device)),
                {b: 1000 * statistics.median(seconds[name, b]) for b in inputs},
                {b: peak_bytes(module, x) / 1e6 for b, x in inputs.items()},
            )
            for name, module in modules.items()
        ]


def flops(forward: Callable[[Tensor, None], object], x: Tensor) -> int:
    """Operations of a forward pass, by torch's counter. ``forward``: a module, or what calls it."""
    with _unfused(), FlopCounterMode(display=False) as counter:
        forward(x, None)
    return int(counter.get_total_flops())


@contextmanager
def _unfused() -> Iterator[None]:
    """Computes matrix products one by one; the fused kernels of evaluation would hide theirs."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def peak_bytes(module: nn.Module, x: Tensor) -> int:
    """Peak memory of live tensors during a pass, in bytes, without weights and input.

    On a GPU it is the memory that the allocator gave out. Elsewhere it is the sum of the live
    tensors that torch's operations returned, without fused kernels and without the operations' own
    temporary memory.
    """
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats(x.device)
        before = torch.cuda.memory_allocated(x.device)
        module(x, None)
        return int(torch.cuda.max_memory_allocated(x.device)) - before
    with _unfused(), _LiveTensors() as live:
        module(x, None)
    return int(live.peak)


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operations made, until they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        known = {t.untyped_storage()._cdata for t in tree_leaves(args) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in known and storage._cdata not in self._seen:
                    self._take(storage)
        return result

    def _take(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def _seconds(module: nn.Module, x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    started = time.perf_counter()
    module(x, None)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - started
