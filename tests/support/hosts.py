"""Hosts of a cluster on one machine: network and mount namespaces of their own (Linux, root)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PORT = 6399


def possible() -> bool:
    """Whether this process may make network and mount namespaces."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    if not all(map(shutil.which, ("ip", "unshare"))):
        return False
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    return tried.returncode == 0


@dataclass
class Hosts:
    """A switch (bridge) in a namespace of its own and hosts plugged into it.

    Args:
        folder: For the hosts' own files.
        hidden: Folders of which every host but the first sees an empty one of its own.
        name: Prefix of the namespaces.
    """

    folder: Path
    hidden: Sequence[Path] = ()
    name: str = field(default_factory=lambda: f"rv{os.getpid()}")
    count: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._ip("netns", "add", self._switch)
        self._in(self._switch, "ip", "link", "add", "br0", "type", "bridge")
        self._in(self._switch, "ip", "link", "set", "br0", "up")
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            process.kill()
        names = [self._host(i) for i in range(self.count)] + [self._switch]
        for name in names:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for pid in pids.stdout.split():
                subprocess.run(["kill", "-9", pid], capture_output=True)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    @property
    def head(self) -> str:
        """Address of the cluster."""
        return f"{self.ip(0)}:{PORT}"

    def ip(self, host: int) -> str:
        return f"10.77.0.{host + 1}"

    def add(self) -> int:
        """Plugs in another host."""
        host = self.count
        self.count += 1
        name = self._host(host)
        self._ip("netns", "add", name)
        self._in(name, "ip", "link", "set", "lo", "up")
        inner, outer = "eth0", f"port{host}"
        self._ip(
            *("link", "add", inner, "netns", name, "type", "veth"),
            *("peer", "name", outer, "netns", self._switch),
        )
        self._in(self._switch, "ip", "link", "set", outer, "master", "br0", "up")
        self._in(name, "ip", "addr", "add", f"{self.ip(host)}/24", "dev", inner)
        self._in(name, "ip", "link", "set", inner, "up")
        self._in(name, "ip", "route", "add", "default", "dev", inner)
        return host

    def command(self, host: int, *words: str) -> list[str]:
        """``words`` as run on a host: its own network, and on any but the first its own disks."""
        inside = ["ip", "netns", "exec", self._host(host)]
        if host == 0:
            return [*inside, *words]
        hide = "".join(f"mount -t tmpfs none '{path}' && " for path in self.hidden)
        return [*inside, "unshare", "--mount", "sh", "-c", f'{hide}exec "$@"', "sh", *words]

    def start_ray(self, host: int, *, cpus: int, environment: dict[str, str]) -> None:
        """`ray start` on a host, in the foreground of a process of ours; the first is the head."""
        where = (
            ["--head", f"--port={PORT}", "--include-dashboard=false"]
            if host == 0
            else [f"--address={self.head}"]
        )
        ray = str(Path(sys.executable).with_name("ray"))
        command = [
            *(ray, "start", *where, f"--node-ip-address={self.ip(host)}", f"--num-cpus={cpus}"),
            *("--object-store-memory=200000000", "--block", "--disable-usage-stats"),
        ]
        if host == 0:
            command.append(f"--temp-dir={self._temporary(host)}")
        with (self.folder / f"host{host}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    self.command(host, *command),
                    cwd=self._temporary(host),
                    env=environment | {"TMPDIR": str(self._temporary(host))},
                    stdout=log,
                    stderr=log,
                )
            )

    def unplug(self, host: int) -> None:
        """Cuts a host off the network, as a pulled cable does."""
        self._in(self._switch, "ip", "link", "set", f"port{host}", "down")

    def wait_for_nodes(self, count: int, environment: dict[str, str]) -> None:
        """Until the cluster has ``count`` living nodes."""
        ask = (
            f"import ray, logging; ray.init(address='{self.head}', logging_level=logging.ERROR, "
            "log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        )
        for _ in range(30):
            asked = subprocess.run(
                self.command(0, sys.executable, "-c", ask),
                env=environment,
                capture_output=True,
                text=True,
            )
            if asked.stdout.strip() == str(count):
                return
            time.sleep(1)
        raise AssertionError(f"the nodes do not join: {asked.stdout}{asked.stderr}")

    def _temporary(self, host: int) -> Path:
        folder = self.folder / f"host{host}"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def _switch(self) -> str:
        return f"{self.name}s"

    def _host(self, host: int) -> str:
        return f"{self.name}h{host}"

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def _in(self, name: str, *words: str) -> None:
        self._ip("netns", "exec", name, *words)
