"""The Ray cluster that trials run on: started here for this study, or joined."""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

# Read by Ray when it is imported or started.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "60")
# Ray's own is 15: beside any other program of the user, a trial would hardly run.
os.environ.setdefault("RAY_worker_niceness", "0")

import psutil
import ray
from ray.exceptions import AuthenticationError

import refinevad
import study
from refinevad.errors import InputError, Stopped
from study._private.ray import (
    on_loopback,
    silence_processes,
    started_processes,
    without_unused_processes,
)

_OBJECT_STORE_BYTES = 512 * 1024**2


def start_ray(*, workers: int, threads: int, address: str | None) -> None:
    """Starts Ray on this machine, unreachable from others, or joins a cluster.

    Raises:
        InputError: There is no cluster at the address, or it requires another token.
        Stopped: Ray does not start on this machine.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    silence_processes()  # what one costs a trial, we say
    if address is None:
        _private_token()
        folder = short_folder(os.environ)
        if folder is not None:
            os.environ["RAY_TMPDIR"] = folder
            print(
                f"note: TMPDIR cannot hold Ray's sockets (too long, or not a folder that can be "
                f"written); Ray uses {folder}",
                file=sys.stderr,
            )
        local: dict[str, Any] = {
            "address": "local",  # also where RAY_ADDRESS is set or a cluster runs
            "num_cpus": workers * threads,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
        with on_loopback(), without_unused_processes():
            _patiently(lambda: ray.init(**local, **quiet))
        return
    require_listener(address)
    packages = [str(Path(package.__file__ or "").parent) for package in (refinevad, study)]
    with tempfile.TemporaryFile() as said:
        try:
            with _errors_into(said):  # Ray's C++ complains there, a line a second
                ray.init(address=address, runtime_env={"py_modules": packages}, **quiet)
        except AuthenticationError:
            raise _wrong_token(address) from None
        except (ConnectionError, ValueError, RuntimeError) as error:
            said.seek(0)
            if b"InvalidAuthToken" in said.read():
                raise _wrong_token(address) from None
            raise _no_cluster(address, str(error).strip().splitlines()[0]) from None


ATTEMPTS = 3
"""Starts of Ray that are tried where it is slow: Ray itself gives up after half a minute."""
SLOW = 15.0
"""Seconds after which a start of Ray is slow, which is said and said again."""


def _patiently(start: Callable[[], Any]) -> None:
    """Starts Ray, also on a machine so busy that Ray gives up on its own processes.

    Raises:
        Stopped: It failed at once, or each time.
    """
    begun = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        this = time.monotonic()
        try:
            with _sign_of_life("Ray is still starting: the machine is busy", begun):
                start()
            return
        except Exception as error:  # a machine under load, no memory, no /dev/shm, a full /tmp, …
            ray.shutdown()
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if attempt == ATTEMPTS or time.monotonic() - this < SLOW:
                raise Stopped(
                    f"Ray could not be started on this machine ({reason}). Run the same command "
                    "again when the machine is less busy, or run without Ray: --backend serial"
                ) from error
            print(
                f"note: Ray did not start in time ({reason}); it is started again "
                f"(attempt {attempt + 1} of {ATTEMPTS})",
                file=sys.stderr,
            )


@contextmanager
def _sign_of_life(text: str, begun: float) -> Iterator[None]:
    """Prints the text with the seconds since ``begun``, every :data:`SLOW` seconds."""
    done = threading.Event()

    def say() -> None:
        while not done.wait(SLOW):
            print(f"{text} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _errors_into(file: IO[bytes]) -> Iterator[None]:
    """Redirects standard error of this process and its libraries into a file."""
    sys.stderr.flush()
    before = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def require_listener(address: str) -> None:
    """Raises InputError where nobody listens; Ray itself would try for minutes."""
    if address.startswith("ray://"):
        raise InputError(
            f"--address {address}: a study cannot be driven through Ray Client; run this command "
            "on a machine of the cluster with --address auto (or by `ray job submit`)"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from None


LONGEST_FOLDER = 35
"""Characters of a temporary folder's path below which Ray's sockets fit into 107, the longest path
of a socket: Ray adds some seventy."""


def short_folder(environment: Mapping[str, str]) -> str | None:
    """The folder that Ray should use where that of ``TMPDIR`` will not do; None: it will do."""
    given = environment.get("RAY_TMPDIR") or environment.get("TMPDIR")
    if given is None or (
        len(given) <= LONGEST_FOLDER and Path(given).is_dir() and os.access(given, os.W_OK)
    ):
        return None
    usable = (f for f in ("/tmp", "/var/tmp", "/dev/shm") if os.access(f, os.W_OK))
    return next(usable, None)


def _private_token() -> None:
    """Gives Ray a token of its own where it cannot keep one in the home folder: containers and
    compute nodes have homes that cannot be written, or none."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    try:
        home: Path | None = Path.home()
    except RuntimeError:
        home = None
    if home is None or not (home.is_dir() and os.access(home, os.W_OK)):
        # Of the environment, which only processes of this user can read.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _wrong_token(address: str) -> InputError:
    return InputError(
        f"--address {address}: the cluster does not accept this machine's token; set "
        "RAY_AUTH_MODE=token, and put the cluster's token into ~/.ray/auth_token or RAY_AUTH_TOKEN"
    )


def _no_cluster(address: str, reason: str) -> InputError:
    return InputError(
        f"--address {address}: no Ray cluster there ({reason}); start one with "
        "`ray start --head`, or omit the flag to use this machine"
    )


def has_gpu() -> bool:
    """Whether the machine or cluster that Ray runs on has a GPU."""
    return any(node.get("GPU", 0.0) > 0 for node in _nodes())


def kinds_of_gpu() -> list[str]:
    """Kinds of GPU that Ray finds in the machine or cluster; may be empty."""
    names = (name for node in _nodes() if node.get("GPU", 0.0) > 0 for name in node)
    return sorted({name for name in names if name.startswith("accelerator_type:")})


def room_on_a_gpu(*, threads: int, workers: int | None) -> int:
    """Number of trials of ``threads`` CPUs that fit on the cores beside one GPU, on the best node;
    at most each GPU's part of ``workers``."""
    nodes = [node for node in _nodes() if node.get("GPU", 0.0) > 0]
    cores = max(int(node.get("CPU", 0.0) / max(1.0, node["GPU"]) // threads) for node in nodes)
    if workers is None:
        return cores
    return min(cores, math.ceil(workers / max(1.0, sum(node["GPU"] for node in nodes))))


def room(*, threads: int, gpu: float) -> int:
    """Number of trials of ``threads`` CPUs and ``gpu`` GPUs that the nodes can run at once now."""
    return sum(_room_of(node, threads, gpu) for node in _nodes())


def _room_of(node: dict[str, float], threads: int, gpu: float) -> int:
    by_cpu = int(node.get("CPU", 0.0) // threads)
    return min(by_cpu, int(node.get("GPU", 0.0) / gpu + 1e-9)) if gpu else by_cpu


def _nodes() -> list[dict[str, float]]:
    """Resources of each living node."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def stop_ray() -> None:
    """Leaves the cluster, or stops the one that :func:`start_ray` started."""
    ray.shutdown()


def kill_ray() -> None:
    """Kills all processes of the Ray that :func:`start_ray` started, whatever state it is in.

    Otherwise the surviving processes may take minutes to notice that the others have ended.
    """
    for pid in started_processes():
        with suppress(psutil.Error):  # it has ended already
            parent = psutil.Process(pid)
            for process in (*parent.children(recursive=True), parent):
                with suppress(psutil.Error):
                    process.kill()
