"""A wire between a client and a server that can be cut where it hurts: after so many events, or before an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Proxy", "proxy"]


class Proxy:
    """Passes bytes on. ``every``: each connection ends in the middle of the event after the ``every``-th that it carries;
    ``mute``: so many answers are thrown away, after the server has given them.

    ``port`` is where it listens, ``target`` the server's; ``connections`` and ``cuts`` count.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.every = 0
        self.mute = 0
        self.cuts = 0
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=60)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open |= {client, server}
            self._spawn(lambda client=client, server=server: self._pump(client, server))  # type: ignore[misc]
            self._spawn(lambda client=client, server=server: self._pump(server, client, answers=True))  # type: ignore[misc]

    def sever(self) -> None:
        """Cut every connection now."""
        with self._lock:
            cut = list(self._open)
        self.cuts += len(cut) // 2
        for end in cut:
            _reset(end)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.sever()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool = False) -> None:
        seen = 0
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self.mute:
                    self.mute -= 1
                    self.cuts += 1
                    break
                if answers and self.every:
                    kept, seen = _until(data, seen, self.every)
                    if kept is not None:
                        sink.sendall(data[:kept])
                        self.cuts += 1
                        break
                sink.sendall(data)
        for end in (source, sink):
            _reset(end)
            with self._lock:
                self._open.discard(end)


def _until(data: bytes, seen: int, most: int) -> tuple[int | None, int]:
    """How much of ``data`` may pass (None: all of it), and how many events have then passed."""
    position = 0
    while (found := data.find(b"\ndata: ", position)) >= 0:
        if seen == most:
            return found + 12, seen  # some bytes into the event that does not come through
        seen += 1
        position = found + 1
    return None, seen


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    made = Proxy(target)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(60)
