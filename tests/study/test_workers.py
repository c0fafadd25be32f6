"""How many trials run at once where nobody says it."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from study.backend import base, cluster


def groups(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "own", "cores"),
    [
        ({}, "", math.inf),
        ({"cpu.max": "200000 100000\n"}, "0::/\n", 2.0),
        ({"cpu.max": "max 100000\n"}, "0::/\n", math.inf),
        ({"a/b/cpu.max": "150000 100000", "a/cpu.max": "400000 100000"}, "0::/a/b", 1.5),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, "0::/a/b", 1.0),
        (
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/docker/x\n",
            0.5,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "", math.inf),
        (
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            "4:cpu,cpuacct:/job\n3:memory:/job\n",
            3.0,
        ),
        ({"cpu.max": "nonsense"}, "nonsense", math.inf),
    ],
)
def test_the_quota_of_a_container_is_read(
    tmp_path: Path, files: dict[str, str], own: str, cores: float
) -> None:
    root = groups(tmp_path / "cgroup", files)
    (tmp_path / "own").write_text(own)
    assert base.cpu_quota(root, tmp_path / "own") == cores


@pytest.mark.parametrize(("quota", "threads", "workers"), [(2.0, 1, 2), (0.5, 1, 1), (5.0, 2, 2)])
def test_workers_fit_into_it(
    monkeypatch: pytest.MonkeyPatch, quota: float, threads: int, workers: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(base, "cpu_quota", lambda: quota)
    assert base.default_workers(threads) == workers


@pytest.mark.parametrize(
    ("environment", "shortened"),
    [
        ({}, False),
        ({"TMPDIR": "/tmp"}, False),
        ({"TMPDIR": "/tmp/" + "long/" * 10}, True),
        ({"TMPDIR": "/nowhere"}, True),
        ({"RAY_TMPDIR": "/tmp", "TMPDIR": "/tmp/" + "long/" * 10}, False),
    ],
)
def test_a_temporary_folder_that_sockets_do_not_fit_in_is_replaced(
    environment: dict[str, str], shortened: bool
) -> None:
    found = cluster.short_folder(environment)
    assert (found is not None) == shortened
    assert found is None or len(found) <= cluster.LONGEST_FOLDER


def test_ray_has_a_token_of_its_own_where_there_is_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    cluster._private_token()
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.setenv("HOME", "/proc/nowhere")
    cluster._private_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    cluster._private_token()
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"
