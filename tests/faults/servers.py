"""Real servers to publish to: MLflow's, PostgreSQL, and one between that misbehaves."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.faults.processes import children, kill, until
from tests.support.workspace import REPOSITORY

PASSWORD = "s3cret-pass"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class MLflowServer:
    """``mlflow server`` on 127.0.0.1; its database is in ``folder`` unless said otherwise."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._database = database or f"sqlite:///{folder / 'server.db'}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                    *("--port", str(self.port), "--workers", "1"),
                ],
                cwd=self._folder,
                env=os.environ | {"MLFLOW_BACKEND_STORE_URI": self._database} | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """``kill -9`` of all its processes."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Unreliable(ThreadingHTTPServer):
    """Passes requests on to a server; one in ten answers 500, half of these are passed on first."""

    daemon_threads = True

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.chance = random.Random(seed)
        self.requests = 0
        self.refused = 0
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Unreliable
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.chance.random()
        self.server.requests += 1
        self.server.refused += fate < 0.1
        if fate < 0.05:
            self._send(500, b"not even looked at")
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        behind.request(self.command, self.path, body, headers)
        response = behind.getresponse()
        content = response.read()
        behind.close()
        if fate < 0.1:
            self._send(500, b"done, but the answer is lost")
        else:
            self._send(response.status, content)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        pass


class Silent:
    """Takes connections and never says a word."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=100)

    def close(self) -> None:
        self._socket.close()


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's server programs, where they are installed."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return debian[-1].parent if debian else None


class PostgreSQL:
    """A PostgreSQL server on 127.0.0.1 with the database ``mlflow`` and a password."""

    def __init__(self) -> None:
        programs = postgres_programs()
        assert programs is not None
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # short: a socket's path
        self._user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
        self.port = free_port()
        self._address = f"postgresql://mlflow:{PASSWORD}@127.0.0.1:{self.port}"
        self.uri = f"{self._address}/mlflow"
        if self._user:
            shutil.chown(self._folder, self._user)
        secret = self._folder / "password"
        secret.write_text(PASSWORD + "\n")
        self._run("initdb", "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={secret}")
        self._server: subprocess.Popen[bytes] | None = None
        self.start()
        self._sql("CREATE DATABASE mlflow")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._user)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "log").open("ab") as log:
            until(lambda: self._starts(log.fileno()))

    def _starts(self, log: int) -> bool:
        if self._server is None or self._server.poll() is not None:
            settings = [f"port={self.port}", "listen_addresses=127.0.0.1"]
            settings.append(f"unix_socket_directories={self._folder}")
            command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
            for setting in settings:
                command += ["-c", setting]
            self._server = subprocess.Popen(command, stdout=log, stderr=log, user=self._user)
        try:
            self._sql("SELECT 1")
        except OSError:
            return False
        return True

    def _sql(self, statement: str) -> None:
        import psycopg

        try:
            with psycopg.connect(
                f"{self._address}/postgres", autocommit=True, connect_timeout=5
            ) as connection:
                connection.execute(statement)  # type: ignore[call-overload]
        except psycopg.OperationalError as error:
            raise OSError(str(error)) from None

    def kill(self) -> None:
        """``kill -9`` of the server and of every process it has started."""
        if self._server:
            for pid in [self._server.pid, *children([self._server.pid], "postgres")]:
                kill(pid)
            self._server.wait()
            self._server = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)


def driver_path() -> str:
    """PYTHONPATH of a command that needs psycopg, wherever that was installed."""
    import psycopg

    return f"{REPOSITORY}{os.pathsep}{Path(psycopg.__file__).parents[1]}"
