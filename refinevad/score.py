"""``python -m refinevad.score``: the anomaly scores of one video, as a table and a picture."""

from __future__ import annotations

import argparse
import csv
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from refinevad import cli
from refinevad.cli import add_runtime_arguments, make_folder, positive, runtime_of
from refinevad.config.data import AnnotationStyle, AnnotationTimes
from refinevad.config.section import MOST_SNIPPET_FRAMES, SNIPPET_FRAMES
from refinevad.data.annotations import Event, read_annotations, truth
from refinevad.data.npy_file import BadFile, crop_axes, inspect
from refinevad.errors import InputError

if TYPE_CHECKING:
    from refinevad.evaluation.scores import Length
    from refinevad.models.checkpoint import Meta

Array = NDArray[Any]

TOP_CATEGORIES = 3
TRAINED_ON_SYNTHETIC = "the model was trained on SYNTHETIC DATA"
_EXTRACTION = re.compile(r"(__\d+|_i3d|_emb|_languagebind)$")
"""Suffixes that feature extractors append to a video's name."""


def main(argv: list[str]) -> None:
    """Scores a video, writes `<video>.csv` and `<video>.png`."""
    args = parser().parse_args(argv)
    runtime = runtime_of(args)
    video = args.features.stem
    times = AnnotationTimes(args.annotation_style, args.fps)
    events = _events(args.annotations, video, times) if args.annotations else None

    from refinevad.evaluation.scores import score_video
    from refinevad.figures import save_png, score_curve
    from refinevad.models import checkpoint
    from refinevad.training.runtime import resolve_runtime

    model, meta = checkpoint.load(args.checkpoint)
    features = _features(args.features, args.text, meta)
    resolved = resolve_runtime(runtime)
    resolved.apply()
    scores, probs = score_video(
        model.to(resolved.device),
        features,
        segments=args.segments or checkpoint.trained_segments(meta, args.checkpoint),
        length=_length(args, meta),
    )
    out = make_folder(args.out)
    frames = _snippet_frames(args.checkpoint, meta)
    seconds = frames / args.fps
    _write_csv(out / f"{video}.csv", scores, args.fps, frames)
    categories = _categories(probs, meta)
    notes = [categories or meta.model.name, *([TRAINED_ON_SYNTHETIC] * _synthetic(meta))]
    figure = score_curve(
        scores,
        seconds,
        title=video,
        note="; ".join(notes),
        events=None if events is None else [(a / args.fps, b / args.fps) for a, b in events],
    )
    save_png(figure, out / f"{video}.png")

    if _synthetic(meta):
        print(f"note: {TRAINED_ON_SYNTHETIC}: its scores say nothing of real videos")
    peak = int(scores.argmax())
    print(f"{video}: {len(scores)} snippets, {len(scores) * seconds:.1f} s at {args.fps:g} fps")
    if categories:
        print(categories)
    print(f"highest score {scores[peak]:.3f} at {peak * seconds:.1f} s, mean {scores.mean():.3f}")
    if events:
        print(f"AUC inside the video, against its annotation: {_auc(scores, events, frames)}")
    print(f"written: {out / video}.csv, {out / video}.png")


def _synthetic(meta: Meta) -> bool:
    """Whether the checkpoint says that it was trained on synthetic data."""
    return bool(meta.extra.get("synthetic"))


def _categories(probs: Array | None, meta: Meta) -> str:
    """The most likely categories in a line; empty where the detector knows none."""
    if probs is None:
        return ""
    best = np.argsort(-probs, kind="stable")[:TOP_CATEGORIES]
    listed = ", ".join(f"{meta.categories[c]} {probs[c]:.1%}" for c in best)
    return f"most likely categories: {listed}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("refinevad.score"),
        description="Scores one video from its features: a CSV with a row per snippet, and "
        "a picture of the curve.",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="weights that refinevad.train or a study wrote",
    )
    parser.add_argument(
        "--features",
        type=Path,
        required=True,
        metavar="FILE",
        help="the video's features, a .npy of (snippets, width), with or without a crop axis, in "
        "the modality that the checkpoint reads (visual features if it reads two modalities)",
    )
    parser.add_argument(
        "--text",
        type=Path,
        metavar="FILE",
        help="the video's caption features, if the checkpoint reads visual and text features",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="temporal annotations (UCF-Crime or XD-Violence format); the video is looked up by "
        "the features' file name, and its events are shaded in the picture",
    )
    parser.add_argument(
        "--annotation-style",
        choices=get_args(AnnotationStyle),
        default="frames",
        help="what the numbers of the annotations are, as data.annotation_style (default: frames)",
    )
    parser.add_argument(
        "--fps", type=_fps, default=30.0, help="frames per second of the video (default: 30)"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="score each snippet, instead of segments spread over the snippets (default: as on the "
        "test set, data.test_length)",
    )
    parser.add_argument(
        "--segments",
        type=positive,
        metavar="T",
        help="score in this many segments (default: as in training)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/score"),
        metavar="DIR",
        help="folder of the CSV and the PNG (default: runs/score)",
    )
    add_runtime_arguments(parser, precision=False)
    return parser


def _fps(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames per second")
    return value


def _snippet_frames(path: Path, meta: Meta) -> int:
    """Frames of a snippet in training."""
    frames = meta.extra.get("snippet_frames", SNIPPET_FRAMES)
    if type(frames) is not int or not 0 < frames <= MOST_SNIPPET_FRAMES:
        raise InputError(
            f"{path}: its header says snippet_frames = {frames!r:.40}; expected 1 to 255"
        )
    return frames


def _length(args: argparse.Namespace, meta: Meta) -> Length:
    """Test length of the flags, else that of the checkpoint's test scores."""
    if args.full:
        return "full"
    from refinevad.models.checkpoint import scored_in_full

    return "full" if scored_in_full(meta) and args.segments is None else "segments"


def _features(first: Path, text: Path | None, meta: Meta) -> Array:
    """(n, crops, D): the files' features in the order in which the checkpoint reads them."""
    from refinevad.models.checkpoint import describe_widths

    reads = f"the checkpoint reads {describe_widths(meta.widths)}"
    if len(meta.widths) == 2 and text is None:
        raise InputError(f"{reads}: give the text features too, with --text FILE")
    if len(meta.widths) == 1 and text is not None:
        raise InputError(f"{reads} only: omit --text, and give that modality as --features")
    paths = [first] if text is None else [first, text]
    parts = []
    for path, (name, width) in zip(paths, meta.widths.items(), strict=True):
        rows = _read(path)
        if rows.shape[-1] != width:
            raise InputError(
                f"{path}: features are {rows.shape[-1]} wide, but {reads}; "
                f"give {name} features of the extraction it was trained on"
            )
        parts.append(rows)
    lengths = [len(part) for part in parts]
    if max(lengths) - min(lengths) > 1:  # extractors differ by one snippet at the end
        raise InputError(
            f"{paths[0]} has {lengths[0]} snippets, {paths[1]} {lengths[1]}: "
            "they are not of the same video"
        )
    crops = max(part.shape[1] for part in parts)
    if any(part.shape[1] not in (1, crops) for part in parts):
        counts = " and ".join(str(part.shape[1]) for part in parts)
        raise InputError(f"{paths[0]} and {paths[1]} have {counts} crops; give equal numbers, or 1")
    n = min(lengths)
    tiled = [np.broadcast_to(part[:n], (n, crops, part.shape[2])) for part in parts]
    return np.concatenate(tiled, axis=2)


def _read(path: Path) -> Array:
    """(n, crops, width) float32."""
    if not path.is_file():
        raise InputError(f"{path}: no such file of features")
    try:
        file = inspect(path)
        (axis,) = crop_axes([file.shape])
        if isinstance(axis, str):
            raise InputError(f"{path}: {file.shape}: {axis}")
        rows = type(file)(file.path, file.shape, file.dtype, file.offset, file.fortran, axis)
        return rows.read(0, rows.rows).astype(np.float32)
    except BadFile as error:
        raise InputError(f"{error.offender}: {error.problem}") from None


def _events(path: Path, video: str, times: AnnotationTimes) -> list[Event]:
    names = (video, _EXTRACTION.sub("", video))
    annotations = read_annotations(path, times, known=names)
    by_stem = {name.rpartition("/")[2]: events for name, events in annotations.events.items()}
    for name in names:
        if name in by_stem:
            return by_stem[name]
    if annotations.lists_normal:
        raise InputError(
            f"{path} has no line for {video}; name the features after the video, or omit "
            "--annotations"
        )
    return []  # XD-Violence: only abnormal videos are listed


def _auc(scores: Array, events: list[Event], frames: int) -> str:
    from refinevad.evaluation.metrics import weighted_auc

    positive_frames = truth(events, len(scores), frames).astype(np.int64)
    value = weighted_auc(scores, positive_frames, frames - positive_frames)
    return "undefined (every frame is annotated)" if math.isnan(value) else f"{value:.3f}"


def _write_csv(path: Path, scores: Array, fps: float, frames: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["snippet", "start_frame", "end_frame", "start_s", "end_s", "score"])
        for index, score in enumerate(scores.tolist()):
            start, end = frames * index, frames * (index + 1)
            times = [f"{start / fps:.3f}", f"{end / fps:.3f}"]
            writer.writerow([index, start, end, *times, f"{score:.6f}"])


if __name__ == "__main__":
    cli.run(main)
