"""Backends that run trials: in this process, or on Ray Tune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from refinevad.errors import InputError

if TYPE_CHECKING:
    from study.backend.base import Backend

__all__ = ["BACKENDS", "BackendName", "open_backend"]

BackendName = Literal["ray", "serial"]
BACKENDS: tuple[BackendName, ...] = ("ray", "serial")


def open_backend(
    name: BackendName, *, address: str | None = None, workers: int | None = None
) -> Backend:
    """The backend of a name. Ray is imported only for the ``ray`` backend.

    Args:
        name: ``ray`` or ``serial``.
        address: A Ray cluster to join.
        workers: Trials at once that the user wants; None: any number.

    Raises:
        InputError: The backend does not support such an address or so many workers.
    """
    if name == "ray":
        from study.backend.tune import RayBackend

        return RayBackend(address)
    if address is not None:
        raise InputError("--address needs --backend ray: the serial backend runs without a cluster")
    if workers is not None and workers != 1:
        raise InputError(
            f"--workers {workers}: the serial backend runs one trial at a time; omit --workers, "
            "or use --backend ray"
        )
    from study.backend.serial import SerialBackend

    return SerialBackend()
