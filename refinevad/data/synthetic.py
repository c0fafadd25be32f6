"""The embedded benchmark: seeded, synthetic, in the file layout of the real ones.

Two kinds share their topics and differ in appearance, so that transfer between them can be
studied: ``ucf-like`` (13 categories, one per video, fixed cameras) and ``xd-like`` (6
categories, several per video, shots that cut). A category is a mixture of *words* ("violence",
"fire", …); a word has one direction in visual space, one in caption space and one rhythm, the
same for both kinds. An event adds its category's direction and oscillates at its rhythm on top of
the scene; benign events, in all videos, add other words. Nothing here resembles a real video.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from refinevad.config.data import DataConfig, FeatureSource
from refinevad.config.datasets import SYNTHETIC, UCF, XD
from refinevad.config.section import SNIPPET_FRAMES
from refinevad.data.annotations import Event
from refinevad.files import locked

Kind = str
"""A name of ``SYNTHETIC``."""
Array = npt.NDArray[np.float64]

VERSION = 1
"""Raise it when the generated files change: stores packed from older ones are packed again."""

SEED = 20260
VISUAL, TEXT = 64, 32
CROPS = 2
TRAIN, TEST = 200, 60  # half of them abnormal
AUTHOR = "/home/author/Desktop"  # lists carry their authors' paths, as the official ones do

WORDS = {
    "Abuse": "violence cruelty",
    "Arrest": "police crowd",
    "Arson": "fire damage",
    "Assault": "violence ambush",
    "Burglary": "theft night",
    "Explosion": "fire blast",
    "Fighting": "violence brawl",
    "RoadAccidents": "traffic crash",
    "Robbery": "theft weapon",
    "Shooting": "weapon shots",
    "Shoplifting": "theft shop",
    "Stealing": "theft street",
    "Vandalism": "damage night",
    "Riot": "crowd violence fire",
    "Car accident": "traffic crash",
}
BENIGN = ("sport crowd", "traffic street", "shop queue", "night street", "delivery", "play crowd")


@dataclass(frozen=True)
class _Video:
    name: str
    label: str
    categories: tuple[str, ...]
    split: Literal["train", "test"]
    folder: str


@dataclass(frozen=True)
class _Style:
    """The appearance of one kind, in which it differs from the other."""

    scenes: str
    offset: float  # of the whole domain
    shot: float  # mean snippets per shot
    strength: float  # of the strongest events, in standard deviations of the noise
    stream: int  # of random numbers
    lists: str  # what the names of its lists begin with
    root: str  # folder of its visual features
    annotations: str
    test_crop: int  # the official lists test one crop
    abnormal: Callable[[str, int, np.random.Generator], _Video]
    normal: Callable[[str, int], _Video]


def folder(kind: Kind, stores: Path) -> Path:
    """Folder in which ``prepare`` puts the files of a kind."""
    return stores / "synthetic" / kind


def data_config(config: DataConfig, path: Path) -> DataConfig:
    """A synthetic data section in terms of the generated files below ``path``."""
    assert config.synthetic is not None
    style, lists = STYLES[config.synthetic], path / "list"
    own = SYNTHETIC[config.synthetic].taxonomy.name
    return DataConfig(
        taxonomy=own if config.taxonomy == "auto" else config.taxonomy,
        visual=FeatureSource(
            layout="vadclip",
            root=path / style.root,
            train_list=lists / f"{style.lists}_CLIP_rgb.csv",
            test_list=lists / f"{style.lists}_CLIP_rgbtest.csv",
        ),
        text=FeatureSource(layout="tevad-text", root=path / "sent_emb_n"),
        annotations=lists / style.annotations,
        segments=config.segments,
    )


def generate(kind: Kind, path: Path, seed: int = SEED) -> Path:
    """Writes a benchmark's feature files, lists and annotations; does nothing if it is there.

    The folder appears complete or not at all.

    Args:
        kind: ``ucf-like`` or ``xd-like``.
        path: Folder to make. One that an older generator or another seed made is replaced.
        seed: Decides everything but the meaning of words, which both kinds share.

    Returns:
        ``path``.
    """
    with generated(kind, path, seed):
        return path


@contextmanager
def generated(kind: Kind, path: Path, seed: int = SEED) -> Iterator[None]:
    """As ``generate``; inside, no other process generates: whoever reads, reads whole files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stamp = {"kind": kind, "version": VERSION, "seed": seed, "synthetic": True}
    mark = path / "generator.json"
    with locked(path.parent / f".{path.name}.lock"):
        if not (mark.is_file() and json.loads(mark.read_text()) == stamp):
            for leftover in path.parent.glob(f".{path.name}.*.tmp"):
                shutil.rmtree(leftover)  # of a generator that died: the lock is ours
            new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            new.mkdir()
            _write(kind, new, np.random.default_rng([seed, STYLES[kind].stream]))
            (new / mark.name).write_text(json.dumps(stamp))
            shutil.rmtree(path, ignore_errors=True)
            new.rename(path)
        yield


def _write(kind: Kind, path: Path, rng: np.random.Generator) -> None:
    style, normal_listed = STYLES[kind], SYNTHETIC[kind].normal_listed
    (path / "list").mkdir()
    lists: dict[str, list[str]] = {"train": ["path,label"], "test": ["path,label"]}
    annotations: list[str] = []
    for video in _videos(style, rng):
        visual, text, events = _features(style, video, rng)
        for crop in [style.test_crop] if video.split == "test" else range(CROPS):
            file = Path(video.folder) / f"{video.name}__{crop}.npy"
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            np.save(path / file, visual[crop].astype(np.float16))
            lists[video.split].append(f"{AUTHOR}/{file.as_posix()},{video.label}")
        (path / "sent_emb_n").mkdir(exist_ok=True)
        np.save(path / "sent_emb_n" / f"{video.name}_emb.npy", text.astype(np.float32))
        if video.split == "test" and (events or normal_listed):
            line = _padded if normal_listed else _unpadded
            annotations.append(line(video, events, len(annotations)))
    for split, ending in (("train", ""), ("test", "test")):
        text_file = path / "list" / f"{style.lists}_CLIP_rgb{ending}.csv"
        text_file.write_text("\n".join(lists[split]) + "\n")
    # The official: no last newline.
    (path / "list" / style.annotations).write_text("\n".join(annotations))


def _padded(video: _Video, events: list[Event], line: int) -> str:
    """A line as UCF-Crime has it: two events, -1 where there is none."""
    numbers = [number for event in events for number in event]
    padded = [*numbers, -1, -1, -1, -1][:4]
    return "  ".join([video.name, video.label, *map(str, padded)]) + "  "


def _unpadded(video: _Video, events: list[Event], line: int) -> str:
    """A line as XD-Violence has it."""
    numbers = [number for event in events for number in event]
    ending = ".mp4" if line % 7 == 3 else ""  # 14 of the official 500 lines have it
    return " ".join([video.name + ending, *map(str, numbers)])


def _videos(style: _Style, rng: np.random.Generator) -> Iterator[_Video]:
    """Abnormal first, then normal, as the official lists."""
    for split, count in (("train", TRAIN), ("test", TEST)):
        for number in range(count // 2):
            yield style.abnormal(split, number, rng)
        for number in range(count // 2):
            yield style.normal(split, number)


def _ucf_normal(split: str, number: int) -> _Video:
    inner = "" if split == "train" else "_"
    directory = f"{split.capitalize()}ing_Normal_Videos_Anomaly"
    return _Video(
        f"Normal_Videos{inner}{number + 1:03}_x264",
        "Normal",
        (),
        "train" if split == "train" else "test",
        f"UCFClipFeatures/{directory}",
    )


def _xd_normal(split: str, number: int) -> _Video:
    return _film(split, f"quiet.day.{1990 + number % 30}__#{number:02}", "A", ())


def _ucf(split: str, number: int, rng: np.random.Generator) -> _Video:
    category = UCF.categories[number % len(UCF.categories)]
    index = number // len(UCF.categories) + (1 if split == "train" else 51)
    return _Video(
        f"{category}{index:03}_x264",
        category,
        (category,),
        "train" if split == "train" else "test",
        f"UCFClipFeatures/{category}",
    )


def _xd(split: str, number: int, rng: np.random.Generator) -> _Video:
    several = 1 + int(rng.random() < 0.2)
    indices = [number % len(XD.categories)]
    indices += [int(i) for i in rng.permutation(len(XD.categories)) if i not in indices]
    label = "-".join([*(XD.codes[i] for i in indices[:several]), *["0"] * (3 - several)])
    name = f"v=s{number:02}{split[:2]}__#00-{number:02}-00_00-{number:02}-59"
    return _film(split, name, label, tuple(XD.categories[i] for i in indices[:several]))


def _film(split: str, name: str, label: str, categories: tuple[str, ...]) -> _Video:
    return _Video(
        f"{name}_{split}_label_{label}" if label == "A" else f"{name}_label_{label}",
        label,
        categories,
        "train" if split == "train" else "test",
        "XDTrainClipFeatures" if split == "train" else "XDTestClipFeatures",
    )


STYLES = {
    "ucf-like": _Style(
        "street", 0.0, 1e9, 10.5, stream=0, lists="ucf", root="UCFClipFeatures",
        annotations="Temporal_Anomaly_Annotation.txt", test_crop=CROPS - 1,
        abnormal=_ucf, normal=_ucf_normal,
    ),
    "xd-like": _Style(
        "film", 0.6, 40.0, 9.5, stream=1, lists="xd", root=".",
        annotations="annotations.txt", test_crop=0, abnormal=_xd, normal=_xd_normal,
    ),
}  # fmt: skip
"""The look of each of ``SYNTHETIC``."""


def _features(
    style: _Style, video: _Video, rng: np.random.Generator
) -> tuple[Array, Array, list[Event]]:
    """(crops, n, 64), (n, 32) and the events in frames."""
    n = int(np.clip(rng.lognormal(np.log(64), 0.6), 12, 300))
    visual, text = _scenes(style, n, rng)
    abnormal = _intervals(n, video.categories, rng)
    benign = [(s, e, BENIGN[rng.integers(len(BENIGN))]) for s, e, _ in _intervals(n, ("",), rng)]
    for start, end, words in [*((s, e, WORDS[c]) for s, e, c in abnormal), *benign]:
        strength = style.strength * rng.uniform(0.35, 1.0)
        ramp = np.minimum(
            1.0, np.minimum(np.arange(1, end - start + 1), np.arange(end - start, 0, -1)) / 3
        )
        for word in words.split():
            t = np.arange(start, end)
            beat = np.sin(2 * np.pi * _rhythm(word) * t + rng.uniform(0, 2 * np.pi))
            share = strength / np.sqrt(len(words.split()))
            push = _direction(word, VISUAL) + 0.8 * beat[:, None] * _direction(f"{word}~", VISUAL)
            visual[start:end] += share * ramp[:, None] * push
            text[start:end] += 0.8 * share * ramp[:, None] * _direction(word, TEXT)
    crops = np.stack([visual + 0.5 * rng.standard_normal(visual.shape) for _ in range(CROPS)])
    events = [_frames(start, end, n, rng) for start, end, _ in abnormal]
    return crops * 0.05, _captions(text, rng), events


def _scenes(style: _Style, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Slow noise around the shot's scene: (n, 64), (n, 32), standard deviation about 1."""
    visual = _wander(n, VISUAL, rng) + style.offset * np.sqrt(VISUAL) * _direction(
        style.scenes, VISUAL
    )
    text = 0.5 * rng.standard_normal((n, TEXT))
    start = 0
    while start < n:
        end = min(n, start + max(6, int(rng.exponential(style.shot))))
        scene = f"{style.scenes} {rng.integers(6)}"
        visual[start:end] += 2.0 * _direction(scene, VISUAL) + 0.3 * rng.standard_normal(VISUAL)
        text[start:end] += _direction(scene, TEXT)
        start = end
    return visual, text


def _wander(n: int, width: int, rng: np.random.Generator) -> Array:
    """First-order autoregressive noise of unit variance."""
    noise = rng.standard_normal((n, width))
    for t in range(1, n):
        noise[t] = 0.7 * noise[t - 1] + np.sqrt(1 - 0.7**2) * noise[t]
    return noise


def _intervals(
    n: int, kinds: tuple[str, ...], rng: np.random.Generator
) -> list[tuple[int, int, str]]:
    """Disjoint intervals in snippets, at least one per kind, sometimes one more."""
    wanted = [*kinds, *([kinds[0]] if kinds and rng.random() < 0.25 and n > 40 else [])]
    slots = np.linspace(0, n, len(wanted) + 1).astype(int)
    intervals = []
    for kind, low, high in zip(wanted, slots[:-1], slots[1:], strict=True):
        length = int(np.clip((high - low) * rng.uniform(0.1, 0.5), 3, high - low))
        start = int(rng.integers(low, high - length + 1))
        intervals.append((start, start + length, kind))
    return intervals


def _frames(start: int, end: int, n: int, rng: np.random.Generator) -> Event:
    """Annotators do not work in snippets; some events run past the features' end."""
    jitter = int(rng.integers(0, SNIPPET_FRAMES // 2))
    past = 5 if end == n else 0
    return start * SNIPPET_FRAMES + jitter, end * SNIPPET_FRAMES - jitter + past


def _captions(meaning: Array, rng: np.random.Generator) -> Array:
    """One sentence covers 6 to 16 snippets and says what they mean on average, roughly."""
    captions = np.empty_like(meaning)
    start = 0
    while start < len(meaning):
        end = start + int(rng.integers(6, 17))
        noise = 0.4 * rng.standard_normal(meaning.shape[1])
        captions[start:end] = meaning[start:end].mean(axis=0) + noise
        start = end
    return captions * 0.1


@cache
def _direction(word: str, width: int) -> Array:
    """The unit vector of a word; the same in every benchmark."""
    vector = np.random.default_rng(_number(word, width)).standard_normal(width)
    unit: Array = vector / np.sqrt((vector**2).sum())
    return unit


def _rhythm(word: str) -> float:
    """Cycles per snippet of a word's motion."""
    return 0.05 + 0.4 * (_number(word, 0) % 1000) / 1000


def _number(word: str, salt: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{word}/{salt}".encode()).digest()[:8], "big")
