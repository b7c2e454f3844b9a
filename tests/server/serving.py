"""A real uvicorn on a real socket, in a thread of its own: what the tests of this room talk to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn

from workflow_runtime.server import Service, workflow_app


class Served:
    """A server that runs. ``url`` is without a slash at its end; ``call`` runs a coroutine function on its loop."""

    def __init__(self, app: Any, service: Service | None, **config: Any) -> None:
        self.app = app
        self.service = service
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on", **config)
        )
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="uvicorn", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, function: Any, *args: Any) -> Any:
        """The result of ``await function(*args)`` in the server's loop."""
        return asyncio.run_coroutine_threadsafe(function(*args), self._loop).result(60)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(60), "uvicorn did not start"
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """As SIGTERM does, which only a main thread gets."""
        if self._thread.is_alive():
            if self.service is not None:
                self._loop.call_soon_threadsafe(self.service.stop)
            self._server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive(), "uvicorn did not stop"

    def _work(self) -> None:
        try:
            anyio.run(self._serve, backend_options={"use_uvloop": True})
        except BaseException as error:
            self._failed = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()

        async def tell() -> None:
            while not self._server.started:
                await anyio.sleep(0.005)
            self._started.set()

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            await self._server.serve()
            group.cancel_scope.cancel()


@contextmanager
def serving(workflows: Any, *, uvicorn_config: dict[str, Any] | None = None, **options: Any) -> Iterator[Served]:
    """A server of ``workflow_app(workflows, **options)`` while the block lasts."""
    app = workflow_app(workflows, **{"grace": 1.0, **options})
    served = Served(app, app.state.service, **(uvicorn_config or {}))
    served.start()
    try:
        yield served
    finally:
        served.stop()
