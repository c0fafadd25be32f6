"""Scoring a whole test set: batched at 32 segments, against one video at a time.

``python benchmarks/bench_scoring.py [--width 384]``: 290 test videos with the lengths of a
surveillance test set, scored by ``refinevad.evaluation.scores`` and, as the peers do, one video at
a time at full length with the scores repeated sixteen times for the metric. Needs torch alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import alternate, publish, spread, task
from made_data import make_store
from plain import PlainRefineVAD
from sklearn.metrics import roc_auc_score

from refinevad.evaluation.scores import Length, score_test
from refinevad.evaluation.splits import test_metrics
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.model import RefineVAD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        store = make_store(Path(scratch), width=args.width)
        config = RefineVADConfig(d_model=args.width)
        model = RefineVAD(config, task(store.widths, len(store.categories))).eval()
        plain = PlainRefineVAD(args.width, args.width, len(store.categories)).eval()
        test = store.test

        def ours(length: Length) -> None:
            test_metrics(score_test(model, store, length=length), store)

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
