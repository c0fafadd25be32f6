"""Where MLflow keeps things: its address, its first creation, and what "not reachable" means.

MLflow takes seconds to import and sends usage reports unless told otherwise, so it is imported
inside functions only, and after `connect` has switched the reports off.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DEFAULT_URI = "sqlite:///mlflow.db"  # what a bare `mlflow ui` opens in the same directory
BUSY_SECONDS = 20.0  # how long to wait for another writer; MLflow's own sessions wait as long

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines and one request per run
    # MLflow repeats a failed POST by itself, and a repeated "create run" whose first answer was
    # lost makes a second run. We repeat instead, after looking at what has arrived.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


class TrackingUnavailable(Exception):
    """MLflow could not be reached or refused to work now; trying again later is safe."""


def redact(uri: str) -> str:
    """The address without what must not be printed: the password and the query's values."""
    parts = urlsplit(uri)
    user_info, at, host = parts.netloc.rpartition("@")
    if at:
        host = f"{user_info.partition(':')[0]}:***@{host}" if ":" in user_info else f"***@{host}"
    query = "…" if parts.query else ""
    if not parts.netloc and not query:  # sqlite:///…: urlunsplit would drop the empty host
        return uri
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite address (absolute), or None for any other store."""
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(name).absolute() if name and name != ":memory:" else None


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``; an SQLite file is created first and switched to WAL.

    Raises:
        TrackingUnavailable: there is no way to the store now.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with reaching(uri):
        from mlflow import MlflowClient

        # Its errors reach our own log, once and without passwords; Alembic's are its migrations.
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if file := sqlite_file(uri):
            _relax_sqlite()
            if not file.exists():
                _create_database(file)
            _switch_to_wal(file)
        return MlflowClient(uri)


@contextlib.contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turns what goes wrong between us and the store at ``uri`` into `TrackingUnavailable`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        # The original may quote the address with its password, so it is not chained; requests'
        # exceptions are OSErrors.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        password = urlsplit(uri).netloc.rpartition("@")[0]
        if password:
            reason = reason.replace(password, "***")
        raise TrackingUnavailable(reason) from None


def _create_database(file: Path) -> None:
    """MLflow's tables, complete or not at all.

    MLflow creates them by running every migration since 2019 in place; killed in the middle, it
    leaves a file that no later start can open. So they are made beside it and linked into place.
    """
    from mlflow import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        MlflowClient(f"sqlite:///{draft}")
        # A link never replaces a database that someone else made meanwhile. On a file system
        # without links MLflow itself makes the tables in place.
        with contextlib.suppress(OSError):
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _switch_to_wal(file: Path) -> None:
    """Readers (`mlflow ui`) and our writes no longer wait for each other; the file remembers it."""
    with contextlib.closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _relax_sqlite() -> None:
    """One fsync per checkpoint instead of several per trial, in this process.

    In WAL mode a power cut then loses the last writes but never corrupts; the ledger has them,
    and the next start publishes them again.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _on_connect):
        event.listen(Engine, "connect", _on_connect)


def _on_connect(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=NORMAL")


def remove_deleted(client: MlflowClient, run: Run) -> None:
    """Removes a run marked as deleted for good, with its artifacts, if the store is a database.

    The command `mlflow gc --run-ids …` also empties the trash of every other experiment, so this
    does what it does for one run. A server keeps the run out of sight until its own `mlflow gc`.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    hard_delete = getattr(client._tracking_client.store, "_hard_delete_run", None)
    if hard_delete is not None:
        artifacts: Any = get_artifact_repository(str(run.info.artifact_uri))
        artifacts.delete_artifacts()
        hard_delete(run.info.run_id)
