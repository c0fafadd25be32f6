"""Table 8: the cost of the temporal modules."""

from __future__ import annotations

import pandas as pd
import torch
from matplotlib.figure import Figure

from refinevad.evaluation.complexity import Cost, costs
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.temporal import temporal_modules
from study.plots.style import GRID, INK, PALE, figure, styled
from study.reporting.card import Card

NAMES = {"motar": "MoTAR", "mtn": "MTN (RTFM)", "lgt": "LGT-Adapter (VadCLIP)"}
PAPER_PARAMETERS = {"motar": 11.03, "mtn": 14.17, "lgt": 18.63}
"""Parameters of the paper's Table 8, in millions."""
PAPER_COSTS = {
    "motar": "242M FLOPs, 0.856 ms",
    "mtn": "1.2G FLOPs, 1.500 ms",
    "lgt": "13.18G FLOPs, 2.143 ms",
}
"""The rest of that table, of an NVIDIA A5000."""
_BATCH = 64


def complexity_card(config: RefineVADConfig = RefineVADConfig()) -> Card:
    """Measures the three modules side by side on this machine."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    modules = temporal_modules(config)
    found = costs(modules, width=config.d_model, batches=(1, _BATCH), device=device)
    table = pd.DataFrame(
        {
            "module": [NAMES[c.name] for c in found],
            "parameters": [f"{c.parameters:,}" for c in found],
            "paper, Table 8": [
                f"{PAPER_PARAMETERS[c.name]:.2f}M, {PAPER_COSTS[c.name]}" for c in found
            ],
            "MFLOPs": [f"{c.flops / 1e6:,.0f}" for c in found],
            "ms, 1 video": [f"{c.milliseconds[1]:.1f}" for c in found],
            f"ms, {_BATCH} videos": [f"{c.milliseconds[_BATCH]:.0f}" for c in found],
            f"MB, {_BATCH} videos": [f"{c.megabytes[_BATCH]:.0f}" for c in found],
        }
    )
    fastest = min(found, key=lambda c: c.milliseconds[_BATCH])
    ours = next(c for c in found if c.name == "motar")
    text = f"{NAMES[fastest.name]} is the fastest on {_BATCH} videos"
    if fastest.name != "motar":
        ratio = ours.milliseconds[_BATCH] / fastest.milliseconds[_BATCH]
        text += f"; MoTAR takes {ratio:.1f} times as long"
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    threads = torch.get_num_threads()
    if device == "cpu":
        where += f", {threads} thread{'' if threads == 1 else 's'}"
    return Card(
        "Complexity (the paper's Table 8)",
        text + ".",
        table,
        _picture(found),
        f"Parameters and time of a forward pass of {_BATCH} videos, D = {config.d_model}, T = 32, "
        f"float32, {where}.",
        "FLOPs of one video by torch's counter (two for each multiplication and addition; the "
        "paper's 121M and 242M are half of that, for parts of MoTAR). MB: peak memory of live "
        "tensors, without weights and input. The paper's 14.17M for MTN matches no variant of MTN "
        "that we found.",
    )


def _picture(found: list[Cost]) -> Figure:
    rows = range(len(found))
    with styled():
        picture = figure(9, 2.2)
        left, right = picture.subplots(1, 2, sharey=True)
        left.barh(rows, [c.parameters / 1e6 for c in found], color=INK, height=0.55)
        left.plot(
            [PAPER_PARAMETERS[c.name] for c in found], rows, "D", color="white",
            markeredgecolor="black", markersize=6, label="the paper",
        )  # fmt: skip
        left.set(xlabel="parameters (millions)")
        left.legend(loc="lower right")
        right.barh(rows, [c.milliseconds[_BATCH] for c in found], color=PALE, height=0.55)
        right.set(xlabel=f"forward pass of {_BATCH} videos (ms)")
        left.set_yticks(rows, [NAMES[c.name] for c in found])
        left.set_ylim(len(found) - 0.5, -0.5)
        for axes in (left, right):
            axes.grid(axis="x", color=GRID, linewidth=0.6)
            axes.tick_params(axis="y", length=0)
    return picture
