"""Trains one detector and scores a video with it.

python examples/1_train.py
"""

from __future__ import annotations

from pathlib import Path

import refinevad

OUT = Path("runs/examples")

config = refinevad.Config.model_validate(
    {
        "data": {"synthetic": "ucf-like"},  # generated: the numbers say nothing about real videos
        "model": {"name": "deepmil", "hidden": 64},
        "train": {"epochs": 5, "batch_size": 32, "lr": 1e-3},
    }
)
store = refinevad.prepare_data(config)
trained = refinevad.train_detector(
    config, store, seed=1, on_epoch=lambda r: print(f"epoch {r.epoch}: val AP {r.objective:.3f}")
)
print(f"test AUC {trained.metrics['test/auc']:.3f}")
print(f"video-label baseline {trained.metrics['floor/auc']:.3f}")

trained.save(OUT / "detector.safetensors")
detector = refinevad.load_checkpoint(OUT / "detector.safetensors")
first = slice(*store.test.offsets[:2])
video = refinevad.score_video(detector, store.test.features[first])
peak = int(video.scores.argmax())
print(f"{store.test.names[0]}: highest score {video.scores[peak]:.3f} at snippet {peak}")
