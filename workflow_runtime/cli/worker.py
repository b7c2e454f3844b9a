"""``wfr worker``: takes queued runs until it is told to end, and says how it is."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import anyio

from .. import Runtime, Workflow
from .codes import Code, Stop, Work
from .source import load_all
from .worker_health import Health, bind_health, serve_health

__all__ = ["work_on_queues"]

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


def work_on_queues(
    targets: Sequence[str],
    *,
    db: str | None,
    broker: str | None,
    queues: str,
    concurrency: int,
    grace: float,
    health_host: str,
    health_port: int | None,
    log_level: str,
) -> Work:
    """Load the workflows, and give the work. Stop names what is wrong before anything is opened."""
    if log_level not in LOG_LEVELS:
        raise Stop(Code.usage, f"--log-level {log_level!r} is not one of {', '.join(LOG_LEVELS)}")
    workflows = load_all(targets, db, broker)
    for target, workflow in zip(targets, workflows, strict=True):
        if workflow.db is None:
            raise Stop(Code.usage, f"{target} has no database to take runs from; pass --db")
    names = [name.strip() for name in queues.split(",") if name.strip()]
    if not names:
        raise Stop(Code.usage, f"--queues {queues!r} names no queue; write --queues default,slow")
    runtime = Runtime(
        *workflows,
        queues=names,
        concurrency=concurrency,
        recover_at_once=concurrency,
        grace=grace,
        on_exit="release",
    )
    listening = None if health_port is None else bind_health(health_host, health_port)
    return partial(_work, runtime, workflows, names, listening, log_level)


async def _work(
    runtime: Runtime, workflows: list[Workflow], queues: list[str], listening: socket.socket | None, log_level: str
) -> Code:
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    health = Health(runtime, workflows)
    async with AsyncExitStack() as stack:
        for workflow in workflows:
            assert workflow.db is not None
            stack.push_async_callback(workflow.db.aclose)
            if workflow.broker is not None:
                stack.push_async_callback(workflow.broker.aclose)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        if listening is not None:
            tasks.start_soon(serve_health, health, listening)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with runtime:
                health.is_draining = False
                at = "" if listening is None else f"; health at port {listening.getsockname()[1]}"
                _say(f"working on {', '.join(queues)} of {', '.join(item.id for item in workflows)}{at}")
                async for _ in signals:
                    break
                health.is_draining = True
                _say(f"ending: runs get {runtime.grace:g} s; then they are released to other workers")
            report = runtime.report
            _say(f"ended: {len(report.drained)} drained, {len(report.released)} released")
        tasks.cancel_scope.cancel()
    return Code.ok


def _say(message: str) -> None:
    sys.stderr.write(f"wfr: {message}\n")
    sys.stderr.flush()
