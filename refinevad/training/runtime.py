"""Device, precision and threads of a run: resolves ``auto`` to the facts that are recorded."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from refinevad.config.training import Runtime
from refinevad.errors import InputError


@dataclass(frozen=True)
class Resolved:
    """A runtime without ``auto``."""

    device: torch.device
    precision: str
    """``fp32`` or ``bf16``."""
    threads: int
    deterministic: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Matrix products in bfloat16 where ``precision`` says so."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def apply(self) -> None:
        """Sets torch's threads and deterministic algorithms for this process."""
        torch.set_num_threads(self.threads)
        if self.device.type == "cuda":
            # Without it cuBLAS refuses deterministic mode; read when CUDA starts.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(self.deterministic)

    def hardware(self) -> dict[str, str]:
        """Facts that, together with the seed, decide the bits of a result."""
        facts = {
            "device": self.device.type,
            "precision": self.precision,
            "threads": str(self.threads),
            "torch": torch.__version__,
        }
        if self.device.type == "cuda":
            facts["gpu"] = torch.cuda.get_device_name(self.device)
            facts["deterministic"] = str(self.deterministic)
        else:
            facts["processor"] = _processor()
        return facts


@contextmanager
def process_settings_kept() -> Iterator[None]:
    """A block after which torch's threads and determinism are what the caller had."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def resolve_runtime(runtime: Runtime) -> Resolved:
    """Resolves ``auto`` on this machine.

    Raises:
        InputError: ``cuda`` is asked for and there is none.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device = cuda, but torch sees no GPU here; use device = auto or cpu")
    use_gpu = runtime.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if use_gpu else "cpu")
    precision = runtime.precision
    if precision == "auto":
        precision = "bf16" if _computes_in_bf16(device) else "fp32"
    return Resolved(device, precision, runtime.threads, runtime.deterministic)


def _computes_in_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 in hardware; emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _processor() -> str:
    """The model's name and instruction set: two processors of one name can round differently."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
