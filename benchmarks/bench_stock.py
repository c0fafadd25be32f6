"""What a trial costs with other stacks: trials that do nothing for five epochs, sides in turns.

``python benchmarks/bench_stock.py [--rounds 3]``: Ray Tune with ``OptunaSearch`` and
``MLflowLoggerCallback``, as one would put them together, without and with actor reuse; Ray Tune
with a custom searcher and nothing else; and this platform with its ledger and MLflow. Every side
runs in a process of its own, one after another, several rounds; the first trial, which starts the
workers, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import publish, spread

EPOCHS = 5
SIDES = {"stock": 30, "stock, actors reused": 120, "searcher alone": 400, "refinevad": 400}
"""Side -> trials of one round: about as long each."""


def stock(folder: Path, trials: int, *, reuse: bool, alone: bool = False) -> dict[str, float]:
    """Ray Tune with stock parts, two trials at once; ``alone``: only its scheduler."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search import Searcher
    from ray.tune.search.optuna import OptunaSearch

    class Nothing(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self._begin(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self._begin(config)
            return True

        def _begin(self, config: dict[str, Any]) -> None:
            self._value, self._epoch = 1 / (1 + abs(config["lambda_cat"] - 0.3)), 0

        def step(self) -> dict[str, Any]:
            self._epoch += EPOCHS if alone else 1
            done = self._epoch >= EPOCHS
            return {"ap": self._value, "train_loss": 1 / self._epoch, "done": done}

    class InOrder(Searcher):
        """Proposes the same thing over and over."""

        asked = 0

        def suggest(self, trial_id: str) -> Any:
            if self.asked == trials:
                return Searcher.FINISHED
            self.asked += 1
            return {"lambda_cat": 0.1}

        def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
            pass

        def save(self, checkpoint_path: str) -> None:
            pass

        def restore(self, checkpoint_path: str) -> None:
            pass

    class Clock(tune.Callback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
            self.ends.append(time.perf_counter())

    space = {
        "d_proj": tune.choice([64, 128, 256, 512]),
        "d_emb": tune.choice([32, 64, 128, 256, 512]),
        "lambda_cat": tune.loguniform(0.01, 2.0),
        "lambda_gmm": tune.loguniform(0.01, 1.0),
        "lambda_reg": tune.loguniform(1e-6, 1e-2),
        "lr": tune.loguniform(1e-5, 1e-2),
        "epochs": tune.randint(5, 51),
    }
    clock = Clock()
    callbacks: list[tune.Callback] = [clock]
    if alone:
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000000"
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        config = tune.TuneConfig(
            search_alg=InOrder(), num_samples=-1, max_concurrent_trials=2, reuse_actors=True
        )
    else:
        uri = f"sqlite:///{folder}/mlflow.db"
        callbacks.append(MLflowLoggerCallback(tracking_uri=uri, experiment_name="stock"))
        config = tune.TuneConfig(
            search_alg=OptunaSearch(metric="ap", mode="max"),
            num_samples=trials,
            max_concurrent_trials=2,
            reuse_actors=reuse,
        )
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    tune.Tuner(
        Nothing,
        param_space={} if alone else space,
        tune_config=config,
        run_config=tune.RunConfig(
            name="stock",
            storage_path=str(folder / "tune"),
            verbose=0,
            callbacks=callbacks,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    ray.shutdown()
    files = sum(len(names) for _, _, names in os.walk(folder / "tune"))
    seconds = (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1)
    return {"s per trial": seconds, "files per trial": files / trials}


def refinevad(folder: Path, trials: int) -> dict[str, float]:
    """This platform, everything on."""
    from bench_overhead import run_study

    study = run_study(folder, trials, workers=2)
    first, last = study.marks[0], study.marks[-1]
    seconds = (last.seconds - first.seconds) / (last.ended - first.ended)
    return {"s per trial": seconds, "files per trial": study.files / trials}


def measured(side: str, trials: int) -> dict[str, float]:
    """One round of one side, in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--trials", str(trials)]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise RuntimeError(f"{side}: {found.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(found.stdout.strip().splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        with tempfile.TemporaryDirectory() as scratch:
            if args.side == "refinevad":
                answer = refinevad(Path(scratch), args.trials)
            else:
                reuse, alone = "reused" in args.side, "alone" in args.side
                answer = stock(Path(scratch), args.trials, reuse=reuse, alone=alone)
        print(json.dumps(answer))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(args.rounds):
        for side, trials in SIDES.items():
            found[side].append(measured(side, trials))
    rows: list[dict[str, object]] = []
    for side, answers in found.items():
        seconds = spread([answer["s per trial"] for answer in answers])
        rows.append(
            {
                "side": side,
                "ms per trial": 1000 * seconds["median"],
                "q1": 1000 * seconds["q1"],
                "q3": 1000 * seconds["q3"],
                "files per trial": answers[-1]["files per trial"],
                "trials a round": SIDES[side],
                "rounds": args.rounds,
            }
        )
    publish("stock", rows, command=f"python benchmarks/bench_stock.py --rounds {args.rounds}")


if __name__ == "__main__":
    main()
