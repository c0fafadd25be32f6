"""MoTAR beside MTN (RTFM) and the LGT-Adapter (VadCLIP): the paper's Table 8, measured in turns.

``python benchmarks/bench_temporal.py --threads 2``; on a machine with a GPU, there. Torch alone.
"""

from __future__ import annotations

import argparse

import torch
from common import publish

from refinevad.evaluation.complexity import costs
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.temporal import temporal_modules

PAPER_MILLIONS = {"motar": 11.03, "mtn": 14.17, "lgt": 18.63}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--repeats", type=int, default=15, metavar="N")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows: list[dict[str, object]] = []
    config = RefineVADConfig()
    modules = temporal_modules(config)
    for cost in costs(modules, width=config.d_model, repeats=args.repeats, device=device):
        rows.append(
            {
                "module": cost.name,
                "parameters": cost.parameters,
                "paper, millions": PAPER_MILLIONS[cost.name],
                "MFLOPs, one video": cost.flops / 1e6,
            }
            | {f"ms, {batch} videos": ms for batch, ms in cost.milliseconds.items()}
            | {f"MB, {batch} videos": mb for batch, mb in cost.megabytes.items()}
        )
    publish(
        f"temporal_{device}" + (f"_t{args.threads}" if device == "cpu" else ""),
        rows,
        command=f"python benchmarks/bench_temporal.py --threads {args.threads}",
    )


if __name__ == "__main__":
    main()
