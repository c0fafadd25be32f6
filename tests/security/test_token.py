"""A cluster that wants a token lets nobody in without it, and `study.run` says so in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workspace import SMALL_STUDY, Workspace

RAY = Path(sys.executable).with_name("ray")


@pytest.fixture
def workspace(tmp_path: Path, stores: Path) -> Workspace:
    (tmp_path / "small.yaml").write_text(SMALL_STUDY.replace("trials: 10", "trials: 2"))
    return Workspace(tmp_path, stores)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of a cluster of one node, and the home of whoever has its token."""
    home = tmp_path / "home"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = os.environ | {"HOME": str(home), "RAY_AUTH_MODE": "token"}
    subprocess.run(
        [RAY, "get-auth-token", "--generate"], env=environment, check=True, capture_output=True
    )
    head = subprocess.Popen(
        [
            *(RAY, "start", "--head", "--block", "--include-dashboard=false", "--num-cpus=1"),
            *("--node-ip-address=127.0.0.1", f"--port={address.partition(':')[2]}"),
            *("--object-store-memory=100000000", "--disable-usage-stats"),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert head.stdout
    try:
        assert any("Ray runtime started" in line for line in head.stdout)
        yield address, home
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.communicate()


@pytest.mark.slow
def test_a_cluster_with_a_token_refuses_whoever_has_none(
    workspace: Workspace, cluster: tuple[str, Path], tmp_path: Path
) -> None:
    address, home = cluster
    nobody = tmp_path / "nobody"
    nobody.mkdir()
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": 64 * "0"}
    for environment in ({"RAY_AUTH_MODE": "token"}, wrong):
        run = workspace.run("--address", address, **{"HOME": str(nobody), **environment})
        assert run.returncode == 2, run.stdout + run.stderr
        (line,) = (line for line in run.stderr.splitlines() if not line.startswith("packing"))
        assert "the cluster does not accept this machine's token" in line
    token = (home / ".ray" / "auth_token").read_text()
    assert token not in run.stdout + run.stderr
    run = workspace.run(
        "--address", address, "--workers", "1", HOME=str(home), RAY_AUTH_MODE="token"
    )
    assert run.returncode == 0, run.stdout + run.stderr
