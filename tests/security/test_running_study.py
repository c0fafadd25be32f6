"""What others on the machine and in the network see of a running study."""

from __future__ import annotations

import ipaddress
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.small_data import study_text
from tests.support.workspace import SMALL_STUDY, Workspace, wait_for_results

PASSWORD, DECODED, TOKEN = "s3cr%40t-pw", "s3cr@t-pw", "t0ken-value"
ADDRESS = f"http://anna:{PASSWORD}@127.0.0.1:1/x?token={TOKEN}"
"""Nobody listens there, so that whatever fails has the address to complain about."""
LISTENING = "0A"  # of the states in /proc/net/tcp

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def workspace(tmp_path: Path, stores: Path, data: Path) -> Workspace:
    text = SMALL_STUDY.replace("trials: 10", "trials: 6")
    (tmp_path / "small.yaml").write_text(study_text(data, text))
    return Workspace(tmp_path, stores)


def listeners(processes: set[int]) -> dict[str, int]:
    """Every address and port that one of the processes listens on -> the process."""
    sockets: dict[str, int] = {}
    for process in processes:
        try:
            for handle in Path(f"/proc/{process}/fd").iterdir():
                if found := re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink())):
                    sockets[found[1]] = process
        except OSError:  # it has just ended
            continue
    found_addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and words[9] in sockets:
                address, _, port = words[1].partition(":")
                found_addresses[f"{_ip(address)} {int(port, 16)}"] = sockets[words[9]]
    return found_addresses


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The kernel writes whole words in the machine's own order of bytes."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    ip = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    return getattr(ip, "ipv4_mapped", None) or ip


def ray_session(workspace: Workspace) -> Path:
    """The folder in which Ray writes what it knows of this study's session."""
    lines = " ".join(workspace.processes().values())
    found = re.search(r"(/\S*/session_[0-9_-]+)/", lines)
    assert found, lines
    return Path(found[1])


@linux
def test_the_kernels_tables_are_understood() -> None:
    """Else the next test would show nothing."""
    code = (
        "import socket, sys\n"
        "kept = [socket.create_server((host, 0)) for host in ('127.0.0.1', '0.0.0.0')]\n"
        "kept.append(socket.create_server(('::', 0), family=socket.AF_INET6))\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        hosts = sorted(key.partition(" ")[0] for key in listeners({process.pid}))
    assert hosts == ["0.0.0.0", "127.0.0.1", "::"]


@linux
def test_a_local_study_listens_on_loopback_only(workspace: Workspace) -> None:
    study = workspace.start("--workers", "2", tracking="sqlite:///mlflow.db")
    wait_for_results(workspace, 2)
    processes = workspace.processes()
    found = listeners(set(processes))
    study.communicate(timeout=120)
    assert any("raylet" in line for line in processes.values())
    assert any("study.publish" in line for line in processes.values())
    assert len(found) > 3  # of Ray's processes among each other
    open_to_all = {
        address: processes[process]
        for address, process in found.items()
        if not ipaddress.ip_address(address.split()[0]).is_loopback
    }
    assert open_to_all == {}


@linux
@pytest.mark.parametrize("place", ["flag", pytest.param("environment", marks=pytest.mark.slow)])
def test_a_password_of_the_tracking_address_is_seen_nowhere(
    workspace: Workspace, place: str
) -> None:
    if place == "flag":
        study = workspace.start("--workers", "2", tracking=ADDRESS)
    else:
        command = workspace.command("--workers", "2")
        study = subprocess.Popen(
            command,
            cwd=workspace.folder,
            env=workspace.environment(
                MLFLOW_TRACKING_URI=ADDRESS,
                MLFLOW_TRACKING_PASSWORD=DECODED,
                MLFLOW_TRACKING_TOKEN=TOKEN,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    wait_for_results(workspace, 1)
    lines = workspace.processes()
    session = ray_session(workspace)
    output, _ = study.communicate(timeout=240)
    assert study.returncode == 0, output
    assert any("study.publish" in line for line in lines.values())
    log = workspace.study / "publisher.log"
    assert "cannot publish to http://anna:***@127.0.0.1:1/x" in log.read_text()

    seen = {"the screen": output}
    seen |= {f"the command line of process {pid}": line for pid, line in lines.items()}
    for folder in (workspace.folder, session):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                seen[str(path)] = path.read_bytes().decode("latin1")
    assert len(seen) > 30
    secrets = (PASSWORD, DECODED, TOKEN)
    assert [
        where for where, text in seen.items() if any(secret in text for secret in secrets)
    ] == []


def test_an_address_without_its_password_asks_for_it(workspace: Workspace) -> None:
    """What the screen shows of an earlier command, typed again."""
    run = workspace.run(tracking="http://anna:***@127.0.0.1:1/x")
    assert run.returncode == 2
    assert "put the full address into MLFLOW_TRACKING_URI" in run.stderr
