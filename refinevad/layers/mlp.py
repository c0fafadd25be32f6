"""A small network with dropout, as the heads of several detectors have it."""

from __future__ import annotations

from torch import nn

from refinevad.layers.dropout import Dropout


def mlp(width: int, hidden: tuple[int, ...], dropout: float, *, outputs: int = 1) -> nn.Sequential:
    """``width-hidden-outputs``: ReLU and dropout after every hidden layer, nothing at the end."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(), Dropout(dropout)]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def xavier(module: nn.Module, *, biases: bool = True) -> None:
    """Xavier-uniform weights of every linear map and convolution; zero biases unless ``biases`` is
    false."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d):
            nn.init.xavier_uniform_(part.weight)
            if biases and part.bias is not None:
                nn.init.zeros_(part.bias)
