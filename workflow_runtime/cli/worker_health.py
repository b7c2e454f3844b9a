"""What a worker tells a supervisor: ``/health``, ``/ready`` and ``/metrics``. The extra ``server``."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from .. import BrokerError, Runtime, StorageError, Workflow
from ..storage.base import QueueRow
from .codes import Code, Stop

__all__ = ["Health", "bind_health", "serve_health"]

_PATIENCE = 3.0  # seconds in which the database and the broker have to answer


class Health:
    """How a worker is. ``is_draining`` from its end on, and until it has begun: then no supervisor sends it anything."""

    def __init__(self, runtime: Runtime, workflows: list[Workflow]) -> None:
        self.is_draining = True
        self._runtime = runtime
        self._dbs = list({id(item.db): item.db for item in workflows if item.db is not None}.values())
        self._brokers = list({id(item.broker): item.broker for item in workflows if item.broker is not None}.values())

    async def trouble(self) -> str | None:
        """Why it is not ready: it begins or ends, or its database or broker does not answer. None: it is ready."""
        if self.is_draining:
            return "this worker takes no runs now: it begins or ends"
        try:
            with anyio.fail_after(_PATIENCE):
                for db in self._dbs:
                    await db.list_queues(now=time.time())
                for broker in self._brokers:
                    await broker.check()
        except TimeoutError:
            return f"the database or the broker did not answer within {_PATIENCE:g} s"
        except (StorageError, BrokerError) as error:
            return str(error)
        return None

    async def metrics(self) -> str:
        """In Prometheus' text format. StorageError where the database is away."""
        queues: list[QueueRow] = []
        now = time.time()
        with anyio.fail_after(_PATIENCE):
            for db in self._dbs:
                queues += await db.list_queues(now=now)
        report = self._runtime.report
        lines = [
            *_metric(
                "wfr_worker_slots", "gauge", "Runs that may work here at once.", [("", self._runtime.concurrency)]
            ),
            *_metric("wfr_worker_slots_used", "gauge", "Runs that work here.", [("", self._runtime.slots_used)]),
            *_metric("wfr_worker_taken_total", "counter", "Queued runs begun here.", [("", report.taken_total)]),
            *_metric("wfr_worker_recovered_total", "counter", "Runs taken over here.", [("", len(report.recovered))]),
            *_metric("wfr_worker_parked_total", "counter", "Runs parked here.", [("", len(report.parked))]),
        ]
        for name, said in (
            ("waiting", "Runs of a queue that may be taken now."),
            ("delayed", "Runs of a queue that wait for their time."),
            ("parked", "Runs of a queue that wait for a person."),
            ("running", "Runs of a queue that work, in all workers."),
        ):
            values = [(_label(row.queue), getattr(row, name)) for row in queues]
            lines += _metric(f"wfr_queue_{name}", "gauge", said, values)
        ages = [(_label(row.queue), 0 if row.oldest is None else max(0.0, now - row.oldest)) for row in queues]
        lines += _metric("wfr_queue_oldest_seconds", "gauge", "How long the oldest of them has waited.", ages)
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, said: str, values: list[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {said}"
    yield f"# TYPE {name} {kind}"
    for label, value in values:
        yield f"{name}{label} {value:g}" if isinstance(value, float) else f"{name}{label} {value}"


def _label(queue: str) -> str:
    text = queue.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{queue="{text}"}}'


def bind_health(host: str, port: int) -> socket.socket:
    """The socket at which the worker answers. Stop says why there can be none."""
    if importlib.util.find_spec("uvicorn") is None or importlib.util.find_spec("starlette") is None:
        raise Stop(Code.usage, "--health-port needs the extra: pip install 'workflow-runtime[cli,server]'")
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        why = error.strerror or str(error)
        raise Stop(Code.usage, f"cannot listen at {host}, port {port}: {why}; choose another --health-port") from None
    return listening


async def serve_health(health: Health, listening: socket.socket) -> None:
    """Answer until cancelled."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def alive(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> PlainTextResponse:
        trouble = await health.trouble()
        return PlainTextResponse(f"{trouble or 'ready'}\n", 503 if trouble else 200)

    async def metrics(_: Request) -> PlainTextResponse:
        try:
            text = await health.metrics()
        except (StorageError, TimeoutError) as error:
            return PlainTextResponse(f"the database does not answer: {error}\n", 503)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[Any]:
            yield  # they are the worker's

    routes = [Route("/health", alive), Route("/ready", ready), Route("/metrics", metrics)]
    config = uvicorn.Config(
        Starlette(routes=routes), log_level="warning", access_log=False, lifespan="off", server_header=False
    )
    with listening:
        await Server(config).serve(sockets=[listening])
