"""Full training curves of many configurations, for `bench_selection.py` and `bench_pruning.py`.

``python benchmarks/record_curves.py --set ucf --configs 60 --splits 3`` trains the first
configurations of a space's Sobol sequence without pruning, each on several validation splits, and
keeps for every epoch what the held-out videos and the test set say, of the weights and of their
moving average over epochs. The data are those of ``REFINEVAD_DATA``. Every run is a line of
``curves_<set>.jsonl`` beside the packed data: a command that was interrupted goes on where it
stopped, and a larger one adds to what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

SPACE = {
    "d_proj": {"choice": [16, 32, 64]},
    "d_emb": {"choice": [16, 32, 64]},
    "lambda_cat": {"log_uniform": [0.05, 2.0]},
    "lambda_gmm": {"log_uniform": [0.01, 1.0]},
    "lambda_reg": {"log_uniform": [1e-5, 3e-2]},
    "lr": {"log_uniform": [5e-5, 3e-3]},
    "epochs": {"int": [5, 20]},
}
"""The seven hyperparameters of the paper's Appendix E, at widths that two cores can train."""
MODEL = {"d_model": 64, "encoder_feedforward": 128}
TRAIN = {"batch_size": 64, "warmup_epochs": 0, "schedule": "cosine"}
SETS: dict[str, dict[str, Any]] = {
    "ucf": {"file": "ucf_captions.yaml", "data": {}, "train": {}, "space": {}},
    "msad": {
        "file": "msad_captions.yaml",
        "data": {"val_fraction": 0.3},
        "train": {"batch_size": 32},
        "space": {"epochs": {"int": [10, 40]}},
    },
    "cctv": {
        "file": "cctv",
        "data": {"val_fraction": 0.25},
        "train": {"batch_size": 16},
        "space": {"epochs": {"int": [10, 40]}},
    },
}
AVERAGE = 0.5
"""Share of the old average that an epoch keeps in the moving average of weights."""


def run_one(job: dict[str, Any]) -> dict[str, Any]:
    """One training run, and what every epoch's weights score."""
    import torch

    from refinevad.config.training import ObjectiveConfig, Runtime
    from refinevad.data.store import open_store
    from refinevad.models.base import Task
    from refinevad.models.registry import detector_class
    from refinevad.run_config import Config
    from refinevad.training.run import TrainingRun

    torch.set_num_threads(1)
    store = open_store(Path(job["store"]))
    config = Config.model_validate(
        {"data": store.header.data | job["data"], "model": job["model"], "train": job["train"]}
    )
    run = TrainingRun(
        store, config, seed=job["seed"], split_seed=job["split"],
        objective=ObjectiveConfig(monitor=False), runtime=Runtime(device="cpu", precision="fp32"),
    )  # fmt: skip
    averaged = detector_class(config.model.name)(config.model, Task(store.widths, store.categories))
    epochs = []
    while not run.done:
        record = run.run_epoch()
        own = run.model.state_dict()
        if record.epoch == 1:
            averaged.load_state_dict(own)
        else:
            for name, tensor in averaged.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(own[name], 1 - AVERAGE)
                else:
                    tensor.copy_(own[name])
        if run._diverged:
            return job | {"diverged": True, "epochs": epochs}
        row = {"objective": record.objective, "loss": record.metrics["train/loss"]}
        row |= _scored(run, run.model, store)
        row |= {f"average/{k}": v for k, v in _scored(run, averaged, store).items()}
        epochs.append({name: round(value, 6) for name, value in row.items()})
    return job | {"epochs": epochs}


def _scored(run: Any, model: Any, store: Any) -> dict[str, float]:
    import torch

    from refinevad.data.device import as_tensor
    from refinevad.evaluation.metrics import brier, segment_auc, video_metrics
    from refinevad.evaluation.scores import score_segments, segments_to_snippets
    from refinevad.evaluation.splits import test_metrics
    from refinevad.layers.mil import top_k_mean

    judge = run.judge
    held = judge.held_out
    scores = score_segments(model, judge.features, torch.from_numpy(held)).scores
    abnormal = store.train.labels[held].any(axis=1)
    tensor = torch.from_numpy(scores)
    video = top_k_mean(tensor, torch.ones_like(tensor, dtype=torch.bool)).numpy()
    found = {f"val/{k}": v for k, v in video_metrics(video, abnormal).items()}
    found["val/seg_auc"] = segment_auc(scores, abnormal, scores.shape[1] // 16 + 1)
    found["val/brier"] = brier(video, abnormal)
    test = score_segments(model, as_tensor(store.test.segments)).scores
    on_test = test_metrics(segments_to_snippets(test, store.test.offsets), store)
    return found | {k: v for k, v in on_test.items() if k != "test/pr_auc_trapz"}


def jobs_of(name: str, configs: int, splits: int) -> list[dict[str, Any]]:
    """Runs in order: the first split of every configuration, then the second, …"""
    from refinevad.data import prepare
    from study.config.study_file import StudyFile
    from study.search import first_proposals
    from study.space.seeds import derived_seed

    plan = SETS[name]
    file = StudyFile.model_validate(study_of(name))
    store = prepare(file.data, Path(os.environ.get("REFINEVAD_STORES", "stores")))
    proposals = first_proposals(file, configs)
    return [
        {
            "set": name,
            "number": number,
            "split": split,
            "seed": derived_seed(42, 1000 * split + number, "training"),
            "params": params,
            "store": str(store.path),
            "data": plan["data"],
            "model": MODEL | {k: v for k, v in params.items() if k.startswith(("d_", "lambda_"))},
            "train": TRAIN | plan["train"] | {k: params[k] for k in ("lr", "epochs")},
        }
        for split in range(splits)
        for number, params in enumerate(proposals)
    ]


def study_of(name: str) -> dict[str, Any]:
    """The study file whose Sobol sequence is recorded."""
    import yaml

    from refinevad.config.document import read_document

    plan = SETS[name]
    if plan["file"] == "cctv":
        root = f"{os.environ['REFINEVAD_DATA']}/cctv-fights"
        data: dict[str, Any] = {
            "taxonomy": "auto",
            "annotations": f"{root}/Temporal_Anomaly_Annotation.txt",
            "groups": f"{root}/groups.csv",
            "visual": {
                "layout": "csv", "root": root,
                "train_list": "train.csv", "test_list": "test.csv",
            },
        }  # fmt: skip
    else:
        path = Path(__file__).parents[1] / "search_spaces" / plan["file"]
        data = read_document(path).data["data"]
    return {
        "study": {"name": f"curves_{name}", "trials": 4096, "seed": 42},
        "search": {"space_filling": 4096, "window": 4096},
        "data": yaml.safe_load(yaml.safe_dump(data)) | plan["data"],
        "model": MODEL,
        "train": TRAIN | plan["train"],
        "space": SPACE | plan["space"],
    }


def path_of(name: str) -> Path:
    """The file of a set's runs."""
    return Path(os.environ.get("REFINEVAD_STORES", "stores")) / f"curves_{name}.jsonl"


def recorded(name: str) -> list[dict[str, Any]]:
    """The runs that were recorded, by split and number."""
    path = path_of(name)
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(rows, key=lambda row: (row["split"], row["number"]))


def main() -> None:
    """Records what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--set", choices=[*SETS], required=True)
    parser.add_argument("--configs", type=int, default=60)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    known = {(row["split"], row["number"]) for row in recorded(args.set)}
    jobs = jobs_of(args.set, args.configs, args.splits)
    todo = [job for job in jobs if (job["split"], job["number"]) not in known]
    path = path_of(args.set)
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"{args.set}: {len(jobs)} runs, {len(todo)} to do; {path}", flush=True)
    context = get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=context) as pool, path.open("a") as file:
        futures = [pool.submit(run_one, job) for job in todo]
        for count, future in enumerate(as_completed(futures), 1):
            row = future.result()
            kept = {k: row[k] for k in ("set", "number", "split", "seed", "params", "epochs")}
            kept["diverged"] = row.get("diverged", False)
            file.write(json.dumps(kept) + "\n")
            file.flush()
            if count % 10 == 0 or count == len(todo):
                print(f"{count}/{len(todo)}", flush=True)


if __name__ == "__main__":
    main()
