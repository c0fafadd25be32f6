"""A data set and a study on it so small that start-up is most of a run's time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.workspace import SMALL_STUDY

DATA = """data:
  taxonomy: ucf
  annotations: {root}/annotations.txt
  segments: 8
  visual: {{layout: csv, root: {root}, train_list: train.csv, test_list: test.csv}}
"""

KINDS = ("Normal", "Arson", "Normal", "Fighting")
WIDTH = 8


def write_data(root: Path) -> None:
    """58 videos of 8 to 10 snippets; in an abnormal one the snippets 2 to 4 are shifted."""
    (root / "features").mkdir(parents=True)
    rng = np.random.default_rng(3)
    direction = {kind: rng.standard_normal(WIDTH) for kind in KINDS[1::2]}
    annotations = []
    for split, count in (("train", 48), ("test", 10)):
        lines = ["path,label"]
        for i in range(count):
            kind = KINDS[i % 4]
            name = f"{kind}{'_Videos_' if kind == 'Normal' else ''}{split}{i:03d}_x264"
            features = rng.standard_normal((8 + i % 3, WIDTH)).astype(np.float32)
            if kind != "Normal":
                features[2:5] += 0.8 * direction[kind]
            np.save(root / "features" / f"{name}.npy", features)
            lines.append(f"features/{name}.npy,{kind}")
            if split == "test":
                event = "-1  -1" if kind == "Normal" else "32  80"
                annotations.append(f"{name}  {kind}  {event}  -1  -1")
        (root / f"{split}.csv").write_text("\n".join(lines))
    (root / "annotations.txt").write_text("\n".join(annotations) + "\n")


def study_text(root: Path, text: str = SMALL_STUDY) -> str:
    """A study file on the data in ``root`` instead of the synthetic ones."""
    synthetic = "data: {synthetic: ucf-like}\n"
    assert synthetic in text
    return text.replace(synthetic, DATA.format(root=root))
