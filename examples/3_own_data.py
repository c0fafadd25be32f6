"""Trains on features of one's own: two lists, a .npy file per video, an annotation file.

    python examples/3_own_data.py [FOLDER]

makes a tiny data set in FOLDER (default: runs/examples/data) in the layout `csv`, and trains on it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import refinevad

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples/data")
rng = np.random.default_rng(0)
(folder / "features").mkdir(parents=True, exist_ok=True)
events = []
for split, count in (("train", 40), ("test", 12)):
    lines = ["path,label"]
    for index in range(count):
        label = "Fighting" if index % 2 else "Normal"
        video = f"{label}_{split}{index:03d}"
        rows = rng.standard_normal((40, 16)).astype(
            np.float16
        )  # (snippets, width), 16 frames a row
        if label == "Fighting":
            rows[10:20] += 1.0
        np.save(folder / "features" / f"{video}.npy", rows)
        lines.append(f"features/{video}.npy,{label}")
        if split == "test":  # first and last frame of each event, -1 where there is none
            frames = "160  320" if label == "Fighting" else "-1  -1"
            events.append(f"{video}  {label}  {frames}  -1  -1")
    (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
(folder / "annotations.txt").write_text("\n".join(events) + "\n")

config = refinevad.Config.model_validate(
    {
        "data": {
            "visual": {
                "layout": "csv", "root": folder,
                "train_list": "train.csv", "test_list": "test.csv",
            },
            "annotations": folder / "annotations.txt",
            "segments": 16,
        },
        "model": {"name": "linear"},
        "train": {"epochs": 20, "batch_size": 16, "lr": 0.03},
    }
)  # fmt: skip
trained = refinevad.train_detector(config)
print({name: round(value, 3) for name, value in trained.metrics.items() if "/auc" in name})
