"""A private state of torch's global random generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class RandomState:
    """The random state of one run, independent of other draws in the process.

    Dropout and initial weights draw from torch's global generators. Inside ``with state.active():``
    these continue where this state left off; afterwards they are what they were before.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._gpus = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=self._gpus):
            torch.manual_seed(seed)
            self._save()

    @contextmanager
    def active(self) -> Iterator[None]:
        """The global generators continue this state; use it from one thread at a time."""
        with torch.random.fork_rng(devices=self._gpus):
            torch.set_rng_state(self._cpu_state)
            for gpu, state in zip(self._gpus, self._gpu_states, strict=True):
                torch.cuda.set_rng_state(state, gpu)
            yield
            self._save()

    def _save(self) -> None:
        self._cpu_state = torch.get_rng_state()
        self._gpu_states = [torch.cuda.get_rng_state(gpu) for gpu in self._gpus]
