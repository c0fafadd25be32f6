"""Scoring a whole test set: batched at 32 segments, against one video at a time.

``python benchmarks/bench_scoring.py [--width 384]``: 290 test videos with the lengths of a
surveillance test set, scored by ``refinevad.scoring`` and, as the peers do, one video at a time
at full length with the scores repeated sixteen times for the metric. Needs torch alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import alternate, publish, spread
from plain import PlainRefineVAD
from sklearn.metrics import roc_auc_score

from refinevad.config import DataConfig, FeatureSource, ModelConfig
from refinevad.data import Store, prepare
from refinevad.evaluation import test_metrics
from refinevad.model import RefineVAD
from refinevad.scoring import score_test

VIDEOS, LONGEST, MEAN = 290, 6749, 239  # as UCF-Crime's test set: 69,364 snippets in all


def make_store(folder: Path, width: int) -> Store:
    """A csv data set of random features whose lengths are spread as a real one's."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(4.6, 1.2, VIDEOS).astype(int), 8, LONGEST)
    lengths = np.maximum(8, (lengths * MEAN / lengths.mean()).astype(int))
    (folder / "features").mkdir(parents=True)
    lists: dict[str, list[str]] = {"train": [], "test": []}
    annotations = []
    for split, count in (("train", 40), ("test", VIDEOS)):
        for i in range(count):
            n = 32 if split == "train" else int(lengths[i])
            label = "Fighting" if i % 2 else "Normal"
            name = f"{split}_{label}_{i:03d}"
            features = rng.standard_normal((n, width)).astype(np.float16)
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
    data = DataConfig(taxonomy=("Fighting",), text=source, annotations=folder / "gt.txt")
    return prepare(data, folder / "stores", progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        store = make_store(Path(scratch), args.width)
        config = ModelConfig(d_model=args.width)
        model = RefineVAD(config, store.widths, len(store.categories)).eval()
        plain = PlainRefineVAD(args.width, args.width, len(store.categories)).eval()
        test = store.test

        def ours(length: str) -> None:
            test_metrics(score_test(model, store, length=length), store)  # type: ignore[arg-type]

        @torch.no_grad()
        def peers() -> None:
            scores = []
            for start, stop in zip(test.offsets[:-1], test.offsets[1:], strict=True):
                x = torch.from_numpy(np.array(test.features[start:stop, 0], dtype=np.float32))
                scores.append(plain(x[None])[0][0].numpy())
            frames = np.repeat(np.concatenate(scores), 16)
            truth = np.concatenate([np.arange(16) < p for p in test.truth])
            roc_auc_score(truth, frames)

        seconds = alternate(
            {
                "32 segments, batched (default)": lambda: ours("segments"),
                "full length, batched": lambda: ours("full"),
                "one video at a time, frames repeated": peers,
            },
            repeats=args.repeats,
            warmup=1,
        )
        rows = [
            {"side": name, "s per test set": spread(values)["median"], "snippets": len(test.truth)}
            for name, values in seconds.items()
        ]
    publish(
        f"scoring_d{args.width}",
        rows,
        command=f"python benchmarks/bench_scoring.py --width {args.width}",
    )


if __name__ == "__main__":
    main()
