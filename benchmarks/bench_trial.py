"""A whole trial, beside a plain training loop of the same method; sides in turns.

``python benchmarks/bench_trial.py [--size small|xd]``: from the opened store to the test metrics.
The plain side is what one would write first: float32, a loop for the shift, torch's stock layers, a
``DataLoader``, and after each epoch the test set one video at a time with every score repeated
sixteen times. ``xd`` has XD-Violence's numbers (59 steps x 30 epochs, D = 768) and is for a GPU;
``small`` is the same with fewer of each, for a CPU. Needs torch alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from common import publish, spread
from made_data import make_store
from plain import PlainRefineVAD, plain_loss
from sklearn.metrics import average_precision_score
from torch.utils.data import DataLoader, TensorDataset

from refinevad.config.data import DataConfig
from refinevad.config.training import Runtime, TrainConfig
from refinevad.data import Store
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.run_config import Config
from refinevad.training.run import train


@dataclass(frozen=True)
class Size:
    """What a trial is made of."""

    train: int
    test: int
    features: int
    width: int
    epochs: int


SIZES = {
    "small": Size(train=320, test=60, features=512, width=256, epochs=3),
    "xd": Size(train=4442, test=800, features=1024, width=768, epochs=30),
}
"""``xd``: 3,776 training videos are left beside 15% held out, 59 batches of 64."""


def config_of(size: Size) -> Config:
    """A trial's configuration; of ``data`` only the share of the validation split is read."""
    return Config(
        data=DataConfig(synthetic="ucf-like"),
        model=RefineVADConfig(d_model=size.width),
        train=TrainConfig(epochs=size.epochs),
    )


def ours(store: Store, size: Size, runtime: Runtime) -> None:
    train(store, config_of(size), seed=0, split_seed=0, runtime=runtime)


def plain(store: Store, size: Size, device: torch.device) -> None:
    labels = torch.from_numpy(np.array(store.train.labels))
    features = torch.from_numpy(np.array(store.train.features[:, 0], dtype=np.float32))
    abnormal = labels.any(1)
    halves = [TensorDataset(features[half], labels[half]) for half in (~abnormal, abnormal)]
    model = PlainRefineVAD(size.features, size.width, labels.shape[1]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=False, foreach=False)
    test = store.test
    for _ in range(size.epochs):
        model.train()
        loaders = [DataLoader(half, batch_size=32, shuffle=True, drop_last=True) for half in halves]
        for (x0, y0), (x1, y1) in zip(*loaders, strict=False):
            x, y = torch.cat([x0, x1]).to(device), torch.cat([y0, y1]).to(device)
            loss = plain_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            loss.item()  # into the progress bar
        model.eval()
        scores = []
        with torch.no_grad():
            for start, stop in zip(test.offsets[:-1], test.offsets[1:], strict=True):
                video = torch.from_numpy(np.array(test.features[start:stop, 0], dtype=np.float32))
                scores.append(model(video[None].to(device))[0][0].cpu().numpy())
        frames = np.repeat(np.concatenate(scores), 16)
        truth = np.concatenate([np.arange(16) < positives for positives in test.truth])
        average_precision_score(truth, frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    name = args.size or ("xd" if on_gpu else "small")
    size, device = SIZES[name], torch.device("cuda" if on_gpu else "cpu")
    runtime = Runtime(threads=args.threads)
    torch.set_num_threads(args.threads)
    seconds: dict[str, list[float]] = {"refinevad": [], "plain": []}
    with tempfile.TemporaryDirectory() as scratch:
        store = make_store(Path(scratch), width=size.features, train=size.train, test=size.test)
        ours(store, size, runtime)  # kernels and caches
        for _ in range(args.repeats):
            started = time.perf_counter()
            ours(store, size, runtime)
            seconds["refinevad"].append(time.perf_counter() - started)
            started = time.perf_counter()
            plain(store, size, device)
            seconds["plain"].append(time.perf_counter() - started)
    rows = []
    base = spread(seconds["plain"])["median"]
    for side, values in seconds.items():
        found = spread(values)
        rows.append(
            {
                "side": side,
                "s per trial": found["median"],
                "q1": found["q1"],
                "q3": found["q3"],
                "times as fast": base / found["median"],
                "trials an hour, one at a time": 3600 / found["median"],
                "epochs": size.epochs,
            }
        )
    command = f"python benchmarks/bench_trial.py --size {name} --threads {args.threads}"
    publish(f"trial_{device.type}_{name}", rows, command=command)


if __name__ == "__main__":
    main()
