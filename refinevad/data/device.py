"""Packed features as tensors on the device that computes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from refinevad.data.store import Store

_on_gpu: dict[tuple[str, str], Tensor] = {}


def train_features(store: Store, device: torch.device) -> Tensor:
    """(N, crops, T, D) float16.

    On the CPU this is the memory map itself, shared by all processes that open the store. On a
    GPU it is a copy that stays for the next run of this process on the same data.
    """
    if device.type == "cpu":
        return as_tensor(store.train.features)
    key = (store.fingerprint, str(device))
    if key not in _on_gpu:
        _on_gpu.clear()
        _on_gpu[key] = as_tensor(store.train.features).to(device)
    return _on_gpu[key]


def as_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor on an array's memory; it must only be read, for that memory may be a file."""
    with warnings.catch_warnings():
        # A memory map opened for reading is not writable, and torch warns of tensors on such.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
