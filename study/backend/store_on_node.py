"""The packed store on every node of a cluster: found there, or fetched once.

A node that sees the driver's folder (a shared path, or the driver's own machine) maps that folder.
Any other node fetches the files through Ray's object store into a folder named after the data's
fingerprint, checks them against it, and keeps them for the next study of the same data.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from refinevad.data import Store, open_store
from refinevad.data.store import DamagedStore, Stamp
from refinevad.errors import InputError
from refinevad.files import locked

CACHE = "REFINEVAD_CACHE"
"""Environment variable of a node: folder of fetched stores."""
_CHUNK_BYTES = 32 * 1024**2  # bytes of one object


@dataclass(frozen=True)
class Chunk:
    """A part of one file of a store, in the object store."""

    file: str
    content: ray.ObjectRef[bytes]


class _StoreServer:
    """Reads the store on the driver's machine, when the first node asks for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chunks: list[Chunk] | None = None

    def chunks(self) -> list[Chunk]:
        if self._chunks is None:
            self._chunks = [
                Chunk(file.name, ray.put(content))
                for file in sorted(self._path.iterdir())
                for content in _read(file)
            ]
        return self._chunks


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        yield from iter(lambda: content.read(_CHUNK_BYTES), b"")


@dataclass(frozen=True)
class RemoteStore:
    """A packed store that any worker of the cluster can open; pickled to the workers.

    Args:
        path: Folder on the driver's machine.
        fingerprint: Fingerprint of its content.
        stamp: Sizes and times of its files.
        server: Actor that hands out its chunks.
    """

    path: Path
    fingerprint: str
    stamp: Stamp
    server: Any = field(compare=False)

    def open(self) -> Store:
        """The store on this node, fetched if necessary; other processes of the node wait."""
        found = self._found(self.path)
        if found is not None:
            return found
        folder = cache_folder()
        place = folder / self.fingerprint[:32]
        with locked(folder / f".{place.name}.lock"):
            found = self._found(place)
            if found is None:
                self._fetch(place)
                found = open_store(place)
        return found

    def _found(self, path: Path) -> Store | None:
        """The store in ``path`` if it is the study's; copied files are read and checked."""
        try:
            store = open_store(path)
            if store.fingerprint != self.fingerprint:
                return None
            if store.stamp != self.stamp:
                store.verify()
        except InputError:
            return None
        return store

    def _fetch(self, place: Path) -> None:
        new = place.with_name(f".{place.name}.part")
        shutil.rmtree(new, ignore_errors=True)  # of a process that died; the lock is ours
        new.mkdir()
        for chunk in ray.get(self.server.chunks.remote()):
            with (new / Path(chunk.file).name).open("ab") as file:
                file.write(ray.get(chunk.content))
        fetched = open_store(new)
        fetched.verify()
        if fetched.fingerprint != self.fingerprint:
            raise DamagedStore(
                f"{self.path} changed while the study ran: its fingerprint is "
                f"{fetched.fingerprint[:12]}, the study began with {self.fingerprint[:12]}. "
                "Restore the data and run the same command to resume"
            )
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)


def offer(store: Store) -> RemoteStore:
    """Offers a packed store on the driver's machine to the cluster that Ray has joined."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    path = store.path.resolve()
    actor: Any = ray.remote(_StoreServer)
    server = actor.options(num_cpus=0, scheduling_strategy=here).remote(path)
    return RemoteStore(path, store.fingerprint, store.stamp, server)


def cache_folder() -> Path:
    """Folder of this node's fetched stores: ``$REFINEVAD_CACHE``, else a private one below the
    system's temporary folder.

    Raises:
        InputError: The folder belongs to another user, who could change its content.
    """
    given = os.environ.get(CACHE)
    folder = Path(given or Path(tempfile.gettempdir(), f"refinevad-{getpass.getuser()}"))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not given and folder.lstat().st_uid != os.getuid():
        raise InputError(f"{folder} belongs to another user; set {CACHE} to a folder of yours")
    return folder
