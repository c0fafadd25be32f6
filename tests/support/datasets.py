"""Small data sets on disk, written as their publishers lay them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from refinevad.config.data import DataConfig, FeatureSource

AUTHOR = "/home/somebody/Desktop"
Layout = Literal["csv", "vadclip", "i3d", "i3d-arrays", "i3d-arrays-first", "clip-tsa"]
LAYOUTS: tuple[Layout, ...] = (
    "csv",
    "vadclip",
    "i3d",
    "i3d-arrays",
    "i3d-arrays-first",
    "clip-tsa",
)
LABELS = {
    "train": {
        "Arson001_x264": "Arson",
        "Fighting002_x264": "Fighting",
        "Normal_Videos004_x264": "Normal",
    },
    "test": {"Arson009_x264": "Arson", "Normal_Videos_005_x264": "Normal"},
}
ROWS = {
    "Arson001_x264": 40,
    "Fighting002_x264": 10,  # as many snippets as crops: the ambiguous shape
    "Normal_Videos004_x264": 33,
    "Arson009_x264": 50,
    "Normal_Videos_005_x264": 7,
}


@dataclass
class Benchmark:
    """Five UCF-like videos in one layout; ``arrays`` holds what was written: (n, crops, D)."""

    root: Path
    layout: Layout
    crops: int
    width: int = 6
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def write(self) -> Benchmark:
        rng = np.random.default_rng(5)
        for split, labels in LABELS.items():
            lines = []
            for name, label in labels.items():
                rows = rng.standard_normal((ROWS[name], self.crops, self.width))
                self.arrays[name] = rows.astype(np.float32)
                for file, array in self.files(split, name, label):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    np.save(file, array)
                    where = f"{AUTHOR}/{file.relative_to(self.root).as_posix()}"
                    lines.append(f"{where},{label}" if self.has_labels else where)
            header = ["path,label"] if self.has_labels else []
            # The official lists end without a newline.
            self.list_of(split).write_text("\n".join([*header, *lines]))
        self.annotations.write_text(
            "Arson009_x264  Arson  100  200  -1  -1  \n"
            "Normal_Videos_005_x264  Normal  -1  -1  -1  -1  "
        )
        return self

    @property
    def has_labels(self) -> bool:
        return self.layout in ("csv", "vadclip")

    @property
    def annotations(self) -> Path:
        return self.root / "annotations.txt"

    def list_of(self, split: str) -> Path:
        return self.root / f"{split}.list"

    def file(self, name: str) -> Path:
        """The first file of a video."""
        return sorted(self.root.rglob(f"{name}*.npy"))[0]

    def files(self, split: str, name: str, label: str) -> list[tuple[Path, npt.NDArray[Any]]]:
        array = self.arrays[name]
        if self.layout in ("vadclip", "i3d"):
            folder = self.root / label
            return [(folder / f"{name}__{k}.npy", array[:, k]) for k in range(self.crops)]
        if self.layout == "i3d-arrays":
            return [(self.root / split / f"{name}_i3d.npy", array)]
        if self.layout == "i3d-arrays-first":
            return [(self.root / split / f"{name}_i3d.npy", np.moveaxis(array, 1, 0).copy())]
        return [(self.root / split / label / f"{name}.npy", array[:, 0])]

    def source(self) -> FeatureSource:
        layout: Any = "i3d" if self.layout.startswith("i3d") else self.layout
        return FeatureSource(
            layout=layout,
            root=self.root,
            train_list=self.list_of("train"),
            test_list=self.list_of("test"),
        )

    def config(self, **fields: Any) -> DataConfig:
        given = {"taxonomy": "ucf", "visual": self.source(), "annotations": self.annotations}
        return DataConfig.model_validate({**given, **fields})


def benchmark(root: Path, layout: Layout = "csv", crops: int | None = None) -> Benchmark:
    """Writes a benchmark: ten crops where the layout has crops."""
    many = layout not in ("csv", "clip-tsa")
    root.mkdir(parents=True, exist_ok=True)
    return Benchmark(root, layout, crops or (10 if many else 1)).write()


def write_text_features(
    bench: Benchmark, root: Path, *, extra: dict[str, int] | None = None
) -> FeatureSource:
    """TEVAD's caption features of a benchmark's videos: one array a video, no list."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(6)
    for name, array in bench.arrays.items():
        n = len(array) + (extra or {}).get(name, 0)
        np.save(root / f"{name}_emb.npy", rng.standard_normal((n, 3)).astype(np.float32))
    return FeatureSource(layout="tevad-text", root=root)
