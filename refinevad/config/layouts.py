"""Feature layouts: how published feature sets name their files, and what shapes these have.

They stand beside the sections, for a study file is checked against them. Reading lists and folders
is the business of ``refinevad.data.layouts``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CROP = re.compile(r"__(\d+)$")  # the last "__" only: XD's names hold "__" inside

_FEATURES = re.compile(r"\.npy$", re.IGNORECASE)
_VIDEO = re.compile(r"\.(mp4|avi|mkv|mov|webm|mpe?g|m4v|wmv|flv)$", re.IGNORECASE)


def without_ending(name: str) -> str:
    """``Fire/te_a0.MP4.npy`` -> ``Fire/te_a0``: no ending of a feature file or a video."""
    return _VIDEO.sub("", _FEATURES.sub("", name))


ROWS = "(n, D)"
CROP_ARRAYS = ("(n, crops, D)", "(crops, n, D)")


@dataclass(frozen=True)
class Layout:
    """How a layout names a video's files.

    Args:
        doc: What it is for: whose features have it.
        files: Names below the root, of which the last part counts: ``<Video>`` is the video's,
            ``<crop>`` a number.
        shapes: Shapes that an array may have: ``ROWS``, and ``CROP_ARRAYS`` where one file has all
            crops.
        suffix: Ending of the stem that is not the video's name.
    """

    doc: str
    files: tuple[str, ...]
    shapes: tuple[str, ...] = (ROWS,)
    suffix: str = ""

    @property
    def crop_files(self) -> bool:
        """Whether ``__k`` at the end of the stem numbers the crop."""
        return any("__<crop>" in name for name in self.files)

    @property
    def crop_arrays(self) -> bool:
        """Whether a file may be 3-D, with a crop axis."""
        return any(shape in CROP_ARRAYS for shape in self.shapes)

    def parse(self, file_name: str) -> tuple[str, int]:
        """Video and crop of a file: ``a__#1_label_A__3.npy`` is crop 3 of ``a__#1_label_A``."""
        stem = without_ending(file_name)
        crop = _CROP.search(stem) if self.crop_files else None
        if crop:
            return stem[: crop.start()], int(crop[1])
        return stem.removesuffix(self.suffix), 0


LAYOUTS = {
    "csv": Layout(
        "your own features, whatever the list names", ("<Video>.npy",), (ROWS, *CROP_ARRAYS)
    ),
    "vadclip": Layout(
        "VadCLIP: CLIP features of UCF-Crime and XD-Violence", ("<Class>/<Video>__<crop>.npy",)
    ),
    "i3d": Layout(
        "DeepMIL, UR-DMU, PEL4VAD; RTFM, TEVAD, MGFN",
        ("<Video>__<crop>.npy", "<Video>.npy", "<Video>_i3d.npy"),
        (ROWS, *CROP_ARRAYS),
        suffix="_i3d",
    ),
    "tevad-text": Layout("TEVAD's caption embeddings", ("<Video>_emb.npy",), suffix="_emb"),
    "clip-tsa": Layout("CLIP-TSA", ("<split>/<Class>/<Video>.npy",)),
}
"""``layout`` of a feature source -> how its files are read."""


def layouts_table() -> str:
    """The table of docs/data.md, in Markdown."""
    rows = ["| `layout` | files | shape | for |", "|---|---|---|---|"]
    for name, layout in LAYOUTS.items():
        files = " or ".join(f"`{file}`" for file in layout.files)
        shapes = " or ".join(layout.shapes)
        if layout.crop_files:
            shapes = shapes.replace(ROWS, f"{ROWS} per crop")
        rows.append(f"| `{name}` | {files} | {shapes} | {layout.doc} |")
    return "\n".join(rows) + "\n"
