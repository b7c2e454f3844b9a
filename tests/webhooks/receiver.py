"""A receiver of webhooks on a real socket, in threads of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

__all__ = ["Received", "Receiver"]


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Answers the n-th request with the n-th of ``answers``: a status, or a function that may wait and gives one; after
    them with 200. ``got`` are the requests; ``wait(n)`` waits until there are so many."""

    def __init__(self, *answers: int | Callable[[], int]) -> None:
        self.got: list[Received] = []
        self._answers = list(answers)
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = receiver.take(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status = answer if isinstance(answer, int) else answer()
                try:
                    self.send_response(status)
                    if 300 <= status < 400:
                        self.send_header("location", f"{receiver.url}/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    pass  # the sender has left

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the test says what is wrong."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def take(self, request: Received) -> int | Callable[[], int]:
        with self._changed:
            self.got.append(request)
            self._changed.notify_all()
            return self._answers.pop(0) if self._answers else 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait(self, count: int) -> list[Received]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= count, 30), f"{len(self.got)} of {count} came"
            return list(self.got)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
