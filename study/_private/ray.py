"""What is used below the public face of Ray; ``study.backend`` alone imports this.

Nothing is imported from Ray before a function is called: Ray reads how to start from the
environment, which ``study.backend.cluster`` sets first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study._private.names import Name

NAMES = (
    Name(
        "ray._private.worker:print_to_stdstream",
        use="keep Ray's pages about its own processes off the screen",
        gone="they are printed between the lines of a study",
    ),
    Name(
        "ray._private.worker:_global_node",
        use="find the raylet's socket and the processes of a Ray that was started here",
        gone="no study starts (AttributeError)",
    ),
    Name(
        "ray._private.node:Node.raylet_socket_name",
        use="learn at once that the raylet has ended",
        gone="no study starts (AttributeError)",
    ),
    Name(
        "ray._private.node:Node.__init__",
        code=("all_processes",),
        use="kill what is left of a Ray that has ended in part",
        gone="what is left may take minutes to end",
    ),
    Name(
        "ray._private.services:ProcessInfo.process",
        use="kill what is left of a Ray that has ended in part",
        gone="what is left may take minutes to end",
    ),
    Name(
        "ray._private.ray_constants:ENABLE_RAY_CLUSTER",
        use="have a Ray that is started here listen on 127.0.0.1 alone",
        gone="no study starts on this machine: better than one that listens to the network",
    ),
    Name(
        "ray._private.ray_constants:ENABLE_RAY_CLUSTERS_ENV_VAR",
        use="have the processes of such a Ray listen there alone",
        gone="as without ENABLE_RAY_CLUSTER",
    ),
    Name(
        "ray._private.services:get_node_ip_address",
        code=("ENABLE_RAY_CLUSTER",),
        use="have a Ray that is started here listen on 127.0.0.1 alone: it is what reads the flag",
        gone="it would listen to the network without a word",
    ),
    Name(
        "ray._private.node:Node.start_head_processes",
        code=("start_monitor", "start_api_server"),
        use="leave out the autoscaler's monitor and the dashboard of a Ray that is started here",
        gone="they run, and every start costs a second and a half of processor more",
    ),
    Name(
        "ray._private.node:Node.start_ray_processes",
        code=("start_log_monitor",),
        use="leave out the log monitor of a Ray that is started here",
        gone="it runs, and every start costs most of a second of processor more",
    ),
    Name(
        "ray.air.execution._internal:RayActorManager._actor_task_failed",
        takes=("self", "tracked_actor_task", "exception"),
        use="make every way to lose a worker a lost attempt of one trial",
        gone="a worker that was killed for memory ends the study (or no study starts: ImportError)",
    ),
    Name(
        "ray.tune.execution.tune_controller:RayActorManager",
        use="put our manager in its place",
        gone="no study starts (AttributeError)",
    ),
    Name(
        "ray.tune.execution.tune_controller:TuneController.__init__",
        code=("RayActorManager",),
        use="have Tune make our manager",
        gone="a worker that was killed for memory ends the study",
    ),
    Name(
        "ray.tune.experiment:Trial.__init__",
        code=("_default_result_or_future",),
        use="make Tune forget the question that a dead worker never answered",
        gone="a worker that dies in its first moments may end the study",
    ),
    Name(
        "ray.tune.experiment:Trial.get_ray_actor_ip",
        takes=("self",),
        use="say on which host an attempt was lost",
        gone="the first lost attempt ends the study (AttributeError)",
    ),
    Name(
        "ray.tune.experiment:Trial.pickled_error_file",
        use="read why an attempt was lost",
        gone="the first lost attempt ends the study (AttributeError)",
    ),
    Name(
        "ray.tune.experiment:Trial.error_file",
        use="read why an attempt was lost, where its exception cannot be loaded",
        gone="the first lost attempt ends the study (AttributeError)",
    ),
)


def silence_processes() -> None:
    """Keeps Ray from printing what became of its processes, in pages."""
    import ray._private.worker

    ray._private.worker.print_to_stdstream = lambda *_, **__: None


def raylet_socket() -> str:
    """Path of the socket of this machine's raylet, once Ray has started or was joined."""
    return str(_node().raylet_socket_name)


def started_processes() -> list[int]:
    """Process numbers of what Ray started for this driver; their children are not among them."""
    groups = getattr(_node(), "all_processes", {}).values()
    return [
        started.process.pid for group in groups for started in group if hasattr(started, "process")
    ]


def _node() -> Any:
    import ray._private.worker

    return ray._private.worker._global_node


@contextmanager
def on_loopback() -> Iterator[None]:
    """Ray started meanwhile listens on 127.0.0.1 alone, as it does on Windows and macOS.

    Its own argument for that is overridden by Ray on Linux.
    """
    from ray._private import ray_constants

    name, before = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    variable = os.environ.get(name)
    os.environ[name] = "0"  # for the processes it starts
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if variable is None:
            del os.environ[name]
        else:
            os.environ[name] = variable


_UNUSED = ("start_monitor", "start_api_server", "start_log_monitor")
"""Processes of a head node that no study has a use for: the autoscaler's monitor, the dashboard,
and what copies workers' output to the driver. Three of nine, 270 MB."""


@contextmanager
def without_unused_processes() -> Iterator[None]:
    """Ray started meanwhile has only the processes that trials need."""
    from ray._private.node import Node

    before = {name: getattr(Node, name) for name in _UNUSED if hasattr(Node, name)}
    for name in before:
        setattr(Node, name, lambda self, *arguments, **options: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def translate_actor_errors(translate: Callable[[Exception], Exception]) -> None:
    """Has every Tune of this process take ``translate(error)`` for the error of an actor's task."""
    from ray.air.execution._internal import RayActorManager
    from ray.tune.execution import tune_controller

    class ActorManager(RayActorManager):
        def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
            super()._actor_task_failed(tracked_actor_task, translate(exception))

    if not hasattr(tune_controller, "RayActorManager"):
        raise AttributeError("ray.tune.execution.tune_controller has no RayActorManager")
    tune_controller.RayActorManager = ActorManager


def host_of(trial: Any) -> str:
    """Where Tune's trial ran; empty where its worker died before it could say."""
    from ray.exceptions import RayError

    try:
        return str(trial.get_ray_actor_ip() or "")
    except RayError:
        trial._default_result_or_future = None  # Tune would ask again, and end
        return ""


def error_files(trial: Any) -> tuple[Path | None, Path | None]:
    """Where Tune has just written down why a trial failed: pickled, and as text.

    Its ``get_pickled_error`` looks where they are copied to later.
    """
    pickled, text = trial.pickled_error_file, trial.error_file
    return Path(pickled) if pickled else None, Path(text) if text else None
