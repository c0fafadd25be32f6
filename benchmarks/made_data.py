"""Data sets of random features, for measuring: the shapes of a real one, and no signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refinevad.config.data import DataConfig, FeatureSource
from refinevad.data import Store, prepare

LONGEST, MEAN = 6749, 239
"""Snippets of UCF-Crime's test videos: 69,364 in all."""


def write_features(
    folder: Path, *, width: int, train: int, test: int, train_snippets: int | None = 32
) -> DataConfig:
    """Feature files, lists and annotations in csv layout; half of the videos are abnormal.

    Args:
        folder: To be made.
        width: Of the features.
        train: Training videos.
        test: Test videos, as long as a surveillance test set's.
        train_snippets: Length of a training video; None: as the test videos.
    """
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(4.6, 1.2, train + test).astype(int), 8, LONGEST)
    lengths = np.maximum(8, (lengths * MEAN / lengths.mean()).astype(int))
    if train_snippets is not None:
        lengths[:train] = train_snippets
    (folder / "features").mkdir(parents=True)
    lists: dict[str, list[str]] = {"train": [], "test": []}
    annotations = []
    for i, n in enumerate(lengths):
        split = "train" if i < train else "test"
        label = "Fighting" if i % 2 else "Normal"
        name = f"{split}_{label}_{i:04d}"
        features = rng.standard_normal((int(n), width), dtype=np.float32).astype(np.float16)
        np.save(folder / "features" / f"{name}.npy", features)
        lists[split].append(f"features/{name}.npy,{label}")
        if split == "test":
            span = "0  64" if i % 2 else "-1  -1"
            annotations.append(f"{name}  {label}  {span}  -1  -1")
    for split, lines in lists.items():
        (folder / f"{split}.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    (folder / "gt.txt").write_text("\n".join(annotations) + "\n")
    source = FeatureSource(
        layout="csv", root=folder, train_list=Path("train.csv"), test_list=Path("test.csv")
    )
    return DataConfig(taxonomy=("Fighting",), visual=source, annotations=folder / "gt.txt")


def make_store(folder: Path, *, width: int, train: int = 40, test: int = 290) -> Store:
    """The same, packed."""
    data = write_features(folder, width=width, train=train, test=test)
    return prepare(data, folder / "stores", progress=False)
