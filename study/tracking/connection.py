"""The connection to MLflow: its address, its first creation, and errors of reaching it.

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
from urllib.parse import unquote

from refinevad.errors import InputError
from study._private.mlflow import hard_delete, try_database_once

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
    "PGCONNECT_TIMEOUT": "30",  # of libpq, which else waits for minutes, or for ever
}

_DATABASES = ("postgresql", "mysql", "mssql")  # whose drivers MLflow does not bring along
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}
"""Module of a driver -> its package for `pip install`, where the names differ."""


class TrackingUnavailable(Exception):
    """MLflow could not be reached or refused to work now; trying again later is safe."""


def redact(uri: str) -> str:
    """The address without its secrets: the password and the query's values.

    Too little is shown rather than part of a password with ``/``, ``?``, ``#`` or ``@`` in it.
    """
    scheme, mark, rest = uri.partition("://")
    place, query_mark, query = rest.partition("?")
    if not mark or "@" in query:  # in a path; or the "?" is one of the password's
        return f"{scheme}://…" if mark else uri
    user_info, at, host = place.rpartition("@")
    if at and not place.startswith("/"):  # sqlite:///…: a file's name, with an @ in it
        place = f"{user_info.partition(':')[0]}:***@{host}" if ":" in user_info else f"***@{host}"
    return f"{scheme}://{place}{query_mark}{'…' if query else ''}"


def _secrets(uri: str) -> list[str]:
    """Secrets that no message may quote, the longest first: passwords, a token in place of the
    user, and the query's values except short ones such as ``sslmode=on``."""
    rest = uri.partition("://")[2]
    user_info = "" if rest.startswith("/") else rest.rpartition("@")[0]
    user, mark, password = user_info.partition(":")
    pairs = [pair.partition("=") for pair in rest.partition("?")[2].split("&")]
    secrets = [password if mark else user]
    secrets += [value for name, _, value in pairs if len(value) > 7 or _is_secret(name)]
    secrets += [os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("PASSWORD", "TOKEN")]
    return sorted({*secrets, *map(unquote, secrets)} - {""}, key=len, reverse=True)


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in ("pass", "pwd", "token", "secret", "key"))


def _is_server_database(uri: str) -> bool:
    return uri.partition("://")[0].partition("+")[0] in _DATABASES


def check_address(uri: str) -> None:
    """Checks an address for mistakes that no retry can fix.

    Raises:
        InputError: The address cannot be parsed, or the driver of its database is not installed.
    """
    if not _is_server_database(uri):
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    shown = redact(uri)
    try:
        make_url(uri).get_dialect().import_dbapi()
    except (ArgumentError, ValueError):
        raise InputError(
            f"the tracking address {shown} cannot be read; expected dialect://user:password@host:"
            "port/name, with special characters in the password percent-encoded (%40 for @)"
        ) from None
    except ImportError as error:
        module = error.name or str(error).strip().splitlines()[0]
        raise InputError(
            f"the tracking address {shown} needs the Python package {module}: "
            f"pip install '{_PACKAGES.get(module, module)}'"
        ) from None


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite address (absolute), or None for any other store."""
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(name).absolute() if name and name != ":memory:" else None


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``; an SQLite file is created first and switched to WAL.

    Raises:
        TrackingUnavailable: The store cannot be reached now.
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
        elif _is_server_database(uri):
            try_database_once()  # MLflow tries for 100 s in silence; we try again
        return MlflowClient(uri)


@contextlib.contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turns errors of reaching the store at ``uri`` into `TrackingUnavailable`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        # The original may quote the address with its password, so it is not chained; requests'
        # exceptions are OSErrors.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        for secret in _secrets(uri):
            reason = reason.replace(secret, "***")
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
    """Switches the file to WAL for good, in which readers (`mlflow ui`) and writers do not wait."""
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
    """Permanently removes a run marked as deleted, with its artifacts, if the store is a database.

    The command `mlflow gc --run-ids …` also empties the trash of every other experiment, so this
    function does the same for one run. A server hides the run until its own `mlflow gc`.
    """
    hard_delete(client, run)
