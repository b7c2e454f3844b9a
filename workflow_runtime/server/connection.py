"""A connection of uvicorn on which a request has to come whole: uvicorn itself waits for the rest of one for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["connection_class"]


class Connection(HttpToolsProtocol):
    """Closes itself where the head of a request, or the rest of one that was answered already, does not come in time.

    The body of a request that the app reads is the app's to wait for.
    """

    seconds = 30.0
    _deadline: asyncio.TimerHandle | None = None
    _is_in_message = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_message = True
        self._wait()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_message = False
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_in_message:
            self._wait()

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def connection_class(seconds: float) -> type[Connection]:
    """The class of connections that wait ``seconds`` for a request."""
    return type("Connection", (Connection,), {"seconds": seconds})
