"""Whether CORE acts, what its parts give, and how far the shift adapts, on real data.

``python benchmarks/bench_core.py --groups ucf --seeds 5 --splits 3`` trains the variants of
RefineVAD of a group of ``benchmarks/core_plan.json`` over seeds and validation splits, without Ray,
and measures on held-out and on test videos: how often the set S of eq. 6 is non-empty, how many
normal and abnormal videos are recognised (the paper's Table 5), how far a swap of the prototypes
moves the logits, and the metrics of the test set. The epoch is selected on validation AP. The data
are those of ``REFINEVAD_DATA``. Every run is kept in ``core_<group>.jsonl`` beside the packed data:
a command that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common import publish


def run_one(job: dict[str, Any]) -> dict[str, Any]:
    """One training run and its measurements."""
    import numpy as np
    import torch

    from refinevad.config.training import ObjectiveConfig, Runtime
    from refinevad.data.device import as_tensor, train_features
    from refinevad.data.store import open_store
    from refinevad.models.base import Task
    from refinevad.models.registry import detector_class
    from refinevad.run_config import Config
    from refinevad.training.run import TrainingRun

    store = open_store(Path(job["store"]))
    config = Config.model_validate(
        {
            "data": store.header.data | {"val_fraction": job["val_fraction"]},
            "model": job["model"],
            "train": job["train"],
        }
    )
    runtime = Runtime(device=job["device"], threads=1, precision="fp32", deterministic=False)
    run = TrainingRun(
        store, config, seed=job["seed"], split_seed=job["split"],
        objective=ObjectiveConfig(), runtime=runtime,
    )  # fmt: skip
    while not run.done:
        run.run_epoch()
    result = run.result()
    if result.model_state is None:
        return job | {"diverged": True}
    model = detector_class(config.model.name)(config.model, Task(store.widths, store.categories))
    model.load_state_dict(result.model_state)
    model.to(run.judge.features.device).eval()
    device = run.judge.features.device
    held = run.judge.held_out
    found: dict[str, float] = {}
    parts = {
        "held": (train_features(store, device)[torch.from_numpy(held).to(device)],
                 store.train.labels[held]),
        "test": (as_tensor(store.test.segments).to(device), store.test.labels),
    }  # fmt: skip
    for part, (features, labels) in parts.items():
        x = features.mean(1).float()
        with torch.inference_mode():
            out = model.outputs(x)
            probs = out.category_probs.cpu().numpy()
            logits = out.logits.cpu()
            vectors = model.core.prototypes.vectors
            vectors.data = vectors.data.roll(1, 0)
            swapped = model.outputs(x).logits.cpu()
            vectors.data = vectors.data.roll(-1, 0)
        abnormal = labels.any(1)
        some = (probs >= config.model.threshold).any(1)
        own = labels[np.arange(len(labels)), probs.argmax(1)]
        effect = (swapped - logits).abs().mean(1).numpy()
        video = torch.topk(out.scores, x.shape[1] // 16 + 1, dim=1).values.mean(1).cpu().numpy()
        pairs = np.clip(1 - video[abnormal][:, None] + video[~abnormal][None], 0, None)
        found |= {
            f"{part}/normal_right": float((~some[~abnormal]).mean()),
            f"{part}/anomalies_right": float((own & some)[abnormal].mean()),
            f"{part}/top1": float(own[abnormal].mean()),
            f"{part}/s_abnormal": float(some[abnormal].mean()),
            f"{part}/s_normal": float(some[~abnormal].mean()),
            f"{part}/swap": float(effect[abnormal].mean()),
            f"{part}/logit_sd": float(logits.std()),
            f"{part}/mil": float(pairs.mean()),
        }
    for name in (
        "test/auc",
        "test/ano_auc",
        "test/ap",
        "val/ap",
        "val/auc",
        "train/mil",
        "shift/s_mean",
        "shift/s_span",
    ):
        found[name] = result.selected.get(name, 0.0)
    found["epoch"] = result.selected_epoch
    return job | {"metrics": found}


SHOWN = (
    *("held/normal_right", "held/anomalies_right", "held/s_abnormal", "held/s_normal"),
    *("held/swap", "held/logit_sd", "train/mil", "held/mil", "val/ap"),
    *("test/normal_right", "test/anomalies_right", "test/auc", "test/ano_auc", "test/ap"),
    *("shift/s_mean", "shift/s_span", "epoch"),
)
ENDS = ("metrics", "diverged")
"""What a run adds to its job."""
SPREAD = ("test/auc", "test/ano_auc", "test/ap")
"""Shown with their standard deviation over runs."""


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per variant: means over seeds and splits."""
    found = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row["metrics"] for row in rows if row["variant"] == variant]
        cells: dict[str, Any] = {"variant": variant, "runs": len(own)}
        for name in SHOWN:
            values = [metrics[name] for metrics in own]
            cells[name] = f"{statistics.fmean(values):.3f}"
            if name in SPREAD and len(values) > 1:
                cells[name] += f" ± {statistics.stdev(values):.3f}"
        found.append(cells)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", nargs="*", help="groups of the plan (default: all)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--stores", type=Path, default=Path("stores"))
    args = parser.parse_args()
    if "REFINEVAD_DATA" not in os.environ:
        print("bench_core: nothing was measured; REFINEVAD_DATA must name the folder of the data")
        return
    plan = json.loads((Path(__file__).parent / "core_plan.json").read_text())
    for group in args.groups or plan:
        rows = run_group(group, plan[group], args)
        publish(
            f"core_{group}",
            means(rows),
            command=f"python benchmarks/bench_core.py --groups {group} --seeds {args.seeds} "
            f"--splits {args.splits}",
        )


def run_group(
    group: str, content: dict[str, Any], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """All runs of a group; those that diverge are named and left out."""
    from refinevad.data.build import prepare
    from refinevad.run_config import load_config

    jobs = []
    for split, seed in itertools.product(range(args.splits), range(args.seeds)):
        for variant, own in content["variants"].items():
            data = content["data"] | own.get("data", {})
            space = Path(os.path.expandvars(data["file"]))
            config = load_config(space, [f"data.{k}={v}" for k, v in data.get("set", {}).items()])
            jobs.append(
                {
                    "variant": variant, "seed": 1000 + seed, "split": 42 + split,
                    "model": content["model"] | own.get("model", {}),
                    "train": content["train"] | own.get("train", {}),
                    "store": str(prepare(config.data, args.stores).path), "device": args.device,
                    "val_fraction": config.data.val_fraction,
                }
            )  # fmt: skip
    kept = args.stores / f"core_{group}.jsonl"
    earlier = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    rows = [row for row in earlier if {k: row[k] for k in row if k not in ENDS} in jobs]
    found = [{k: row[k] for k in row if k not in ENDS} for row in rows]
    left = [job for job in jobs if job not in found]
    with (
        ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool,
        kept.open("a") as file,
    ):
        futures = [pool.submit(run_one, job) for job in left]
        for done, future in enumerate(as_completed(futures), 1 + len(rows)):
            row = future.result()
            rows.append(row)
            print(json.dumps(row), file=file, flush=True)
            print(f"\r{group}: {done} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for row in rows:
        if "diverged" in row:
            print("diverged", row["variant"], row["seed"], row["split"], flush=True)
    rows = [row for row in rows if "metrics" in row]
    order = list(content["variants"])
    return sorted(rows, key=lambda row: order.index(row["variant"]))


if __name__ == "__main__":
    main()
