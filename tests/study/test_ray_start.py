"""A start of Ray that is slow is waited for; one that fails is one message."""

from __future__ import annotations

import time

import pytest

from refinevad.errors import Stopped
from study.backend import cluster


def test_a_slow_start_of_ray_is_said_waited_for_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "SLOW", 0.05)
    starts: list[float] = []

    def start() -> None:
        starts.append(time.monotonic())
        time.sleep(0.18)
        if len(starts) < 3:
            raise TimeoutError("the raylet did not answer\nmore")

    cluster._patiently(start)
    err = capsys.readouterr().err
    assert len(starts) == 3
    assert "Ray is still starting: the machine is busy (0 s)" in err
    assert "did not start in time (the raylet did not answer); it is started again" in err


def test_a_start_of_ray_that_is_slow_each_time_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "SLOW", 0.05)

    def never() -> None:
        time.sleep(0.06)
        raise TimeoutError("the raylet did not answer")

    with pytest.raises(Stopped, match=r"could not be started .*--backend serial"):
        cluster._patiently(never)


def test_a_start_of_ray_that_fails_at_once_is_not_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    starts: list[int] = []

    def start() -> None:
        starts.append(1)
        raise OSError("No space left on device")

    with pytest.raises(Stopped, match="No space left"):
        cluster._patiently(start)
    assert len(starts) == 1
    assert capsys.readouterr().err == ""
