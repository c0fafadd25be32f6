"""Batches of training videos, and the split of held-out videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from refinevad.errors import InputError

if TYPE_CHECKING:  # prepare and --help import this package: they must not wait for torch
    import torch


class BalancedBatches:
    """Batches of which the first half is normal and the second half abnormal videos.

    Each class is a stream of permutations: a video comes again only after all others of its
    class have come, in this epoch or a later one. A class with fewer videos than half a batch
    repeats them inside a batch.

    Args:
        labels: (N, C) bool, array or tensor; all False marks a normal video.
        batch_size: Videos per batch, even.
        generator: Generator of the order and the crops; equal seeds give equal batches.
        crops: Crops per video; one is drawn for each video of a batch.

    Raises:
        InputError: No normal or no abnormal video.
    """

    def __init__(
        self, labels: Any, batch_size: int, generator: torch.Generator, crops: int = 1
    ) -> None:
        import torch

        abnormal = torch.as_tensor(labels).any(dim=1)
        self._classes = [(~abnormal).nonzero().flatten(), abnormal.nonzero().flatten()]
        for videos, kind in zip(self._classes, ("normal", "abnormal"), strict=True):
            if not len(videos):
                raise InputError(
                    f"no {kind} video to train on; training needs videos of both kinds"
                )
        self._half = batch_size // 2
        self._generator = generator
        self._crops = crops
        self._streams = [self._stream(videos) for videos in self._classes]

    @property
    def steps_per_epoch(self) -> int:
        """Batches until the smaller class has been seen once; at least one."""
        return max(1, min(len(videos) for videos in self._classes) // self._half)

    def epoch(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yields (videos (B,), crops (B,)), both int64 on the CPU."""
        import torch

        for _ in range(self.steps_per_epoch):
            videos = [next(stream) for stream in self._streams for _ in range(self._half)]
            crops = torch.randint(self._crops, (len(videos),), generator=self._generator)
            yield torch.tensor(videos), crops

    def _stream(self, videos: torch.Tensor) -> Iterator[int]:
        import torch

        while True:
            yield from videos[torch.randperm(len(videos), generator=self._generator)].tolist()


class MixedBatches:
    """Batches of videos of any kind, as a stream of permutations gives them.

    Arguments as of :class:`BalancedBatches`; ``labels`` say how many videos there are.
    """

    def __init__(
        self, labels: Any, batch_size: int, generator: torch.Generator, crops: int = 1
    ) -> None:
        self._videos, self._size = len(labels), batch_size
        self._generator, self._crops = generator, crops
        self._order = self._stream()

    @property
    def steps_per_epoch(self) -> int:
        """Batches until all videos but a rest have been seen once; at least one."""
        return max(1, self._videos // self._size)

    def epoch(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yields (videos (B,), crops (B,)), both int64 on the CPU."""
        import torch

        for _ in range(self.steps_per_epoch):
            videos = [next(self._order) for _ in range(self._size)]
            crops = torch.randint(self._crops, (self._size,), generator=self._generator)
            yield torch.tensor(videos), crops

    def _stream(self) -> Iterator[int]:
        import torch

        while True:
            yield from torch.randperm(self._videos, generator=self._generator).tolist()


BATCHES: Mapping[str, type[BalancedBatches | MixedBatches]] = {
    "balanced": BalancedBatches,
    "mixed": MixedBatches,
}
"""``train.batches`` -> what draws them."""


def steps_of_an_epoch(
    labels: npt.NDArray[np.bool_], batch_size: int, batches: str = "balanced"
) -> int:
    """Gradient steps of an epoch on videos with labels (N, C): no video of the rarer kind twice, of
    mixed batches no video at all, and at least one step."""
    if batches == "mixed":
        return max(1, len(labels) // batch_size)
    abnormal = int(labels.any(axis=1).sum())
    return max(1, min(abnormal, len(labels) - abnormal) // (batch_size // 2))


def validation_split(
    labels: npt.NDArray[np.bool_], fraction: float, seed: int, groups: Sequence[str] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Holds out a share of the training videos, stratified by category.

    A video of several categories counts for its rarest one; normal videos are a stratum of their
    own. Each stratum gives its share rounded down, and the largest remainders fill up to the
    share of all abnormal videos. Both kinds are held out, and every category keeps a training
    video.

    Args:
        labels: (N, C) bool.
        fraction: Share to hold out.
        seed: Decides which; independent of anything else.
        groups: (N,) group of each video; a group is held out whole. None or empty: no groups.

    Returns:
        Indices of the training and of the held-out videos, ascending.

    Raises:
        InputError: Fewer than two normal or two abnormal videos, or groups of which none can be
            held out.
    """
    rng = np.random.default_rng(seed)
    if groups is not None and len(groups):
        return _split_groups(labels, fraction, rng, np.unique(groups, return_inverse=True)[1])
    counts = labels.sum(axis=0)
    abnormal = labels.any(axis=1)
    rarest = np.where(labels, counts, len(labels) + 1).argmin(axis=1)
    stratum = np.where(abnormal, rarest, -1)
    held: list[int] = []
    for kind, name in ((~abnormal, "normal"), (abnormal, "abnormal")):
        if name == "abnormal" and not kind.any():
            raise InputError(
                "all training videos are normal: a weakly-supervised detector needs abnormal ones "
                "too; add some to the training list, or use a detector that learns from normal "
                "videos alone, model: {name: ocsvm}, with objective.split: test (refinevad.train: "
                "--split test)"
            )
        if kind.sum() < 2:
            raise InputError(
                f"{int(kind.sum())} {name} training videos cannot be split; a validation split "
                f"needs two of each kind (or objective.split = test)"
            )
        strata = [np.flatnonzero(kind & (stratum == s)) for s in np.unique(stratum[kind])]
        held.extend(_hold_out(strata, fraction, rng, labels))
    validation = np.array(sorted(held), dtype=np.int64)
    training = np.setdiff1d(np.arange(len(labels), dtype=np.int64), validation)
    return training, validation


_DRAWS = 100
"""Orders of the groups that are tried."""
_NEAR = 0.3
"""The first draw that costs at most this much more than the best is taken: other seeds should hold
out other groups."""


def _split_groups(
    labels: npt.NDArray[np.bool_],
    fraction: float,
    rng: np.random.Generator,
    groups: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Holds out whole groups, whose mix of categories and share of videos are close to what was
    asked for; training keeps a video of every category."""
    table = np.column_stack([labels, ~labels.any(axis=1)]).astype(float)
    mix = table.sum(axis=0) / table.sum()
    count = int(groups.max()) + 1
    draws: list[tuple[float, npt.NDArray[np.bool_]]] = []
    for _ in range(_DRAWS):
        held = np.zeros(len(labels), dtype=bool)
        for group in rng.permutation(count):
            with_it = held | (groups == group)
            nearer = abs(with_it.mean() - fraction) < abs(held.mean() - fraction)
            if nearer and (table[~with_it].sum(axis=0) > 0)[table.any(axis=0)].all():
                held = with_it
        abnormal: npt.NDArray[np.bool_] = np.asarray(labels.any(axis=1))
        if held.any() and abnormal[held].any() and not abnormal[held].all():
            own = table[held].sum(axis=0)
            cost = abs(held.mean() - fraction) / fraction + np.abs(own / own.sum() - mix).sum()
            draws.append((float(cost), held))
    if not draws:
        raise InputError(
            f"the {count} groups of training videos cannot be split: no choice of them holds "
            "normal and abnormal videos out and leaves every category in training; give finer "
            "groups, or none"
        )
    best = min(cost for cost, _ in draws)
    held = next(held for cost, held in draws if cost <= best + _NEAR)
    return np.flatnonzero(~held), np.flatnonzero(held)


def _hold_out(
    strata: list[npt.NDArray[np.int64]],
    fraction: float,
    rng: np.random.Generator,
    labels: npt.NDArray[np.bool_],
) -> list[int]:
    """Draws a share of each stratum; a category's last video is never taken."""
    shares = np.array([fraction * len(videos) for videos in strata])
    quota = np.floor(shares).astype(np.int64)
    wanted = max(1, round(fraction * sum(len(videos) for videos in strata)))
    for i in np.argsort(-(shares - quota), kind="stable"):
        if quota.sum() < wanted:
            quota[i] += 1
    left = labels.sum(axis=0)
    held: list[int] = []
    for videos, share in zip(strata, quota, strict=True):
        taken = 0
        for video in rng.permutation(videos):
            if taken < share and (left[labels[video]] > 1).all():
                left = left - labels[video]
                held.append(int(video))
                taken += 1
    return held
