"""What the workers of the fault tests do. Each function runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import uvicorn

from workflow_runtime import RunContext, Runtime, Step, StepInput, Webhook, Workflow
from workflow_runtime.model.errors import Fenced, QuestionWithdrawn, RunNotPaused
from workflow_runtime.server import workflow_app
from workflow_runtime.storage.base import BaseDb
from workflow_runtime.storage.registry import open_url

from . import mail, steered
from .workload import build, end_lease, kill_at, raced, talking

__all__ = [
    "add_keys",
    "cancel_a_branch",
    "exchange",
    "hold",
    "recover",
    "race",
    "run_until_killed",
    "serve",
    "take_over",
]


def run_until_killed(
    url: str, effects: str, run_id: str, seq: int, durability: str, seen: str, turns: int = 0, wait: bool = True
) -> None:
    """Run the workload and die at event ``seq``; every event that a live reader saw is a line of ``seen``."""

    async def main() -> None:
        workflow = build(open_url(url), Path(effects), durability=durability)
        kill_at(workflow, seq, turns)
        with open(seen, "ab", buffering=0) as file:
            async for event in workflow.arun("x", run_id=run_id, session_id="s", stream=True, stream_events=True):
                file.write(json.dumps([event.id, event.event, event.path]).encode() + b"\n")

    asyncio.run(main())


def recover(url: str, effects: str, run_id: str, durability: str, ahead: bool = True, wait: bool = True) -> None:
    """Take the run over and see it to its end; exit code 1 when it was not this process that got it."""

    async def main() -> None:
        db = open_url(url)
        if ahead:
            await end_lease(db, run_id)
        workflow = build(db, Path(effects), durability=durability)
        taken = await workflow.recover()
        if run_id not in taken:
            raise SystemExit(1)
        async for _ in workflow.subscribe(run_id):
            pass
        await db.aclose()

    asyncio.run(main())


def say(path: str, text: str) -> None:
    """Write ``text`` so that a reader sees all of it or no file."""
    Path(f"{path}.part").write_text(text)
    Path(f"{path}.part").rename(path)


def holding(url: str, started: str, release: str, lease: float) -> Workflow:
    """One step that says that it began (a file) and waits until another file is there; then a second step."""

    async def wait(step_input: StepInput, run_context: RunContext) -> str:
        Path(started).touch()
        while not Path(release).exists():
            await asyncio.sleep(0.01)  # what is waited for is another process
        return "waited"

    async def after(step_input: StepInput, run_context: RunContext) -> str:
        return f"after {step_input.previous_step_content}"

    return Workflow(
        name="holding",
        db=open_url(url),
        lease=lease,
        steps=[Step("wait", executor=wait), Step("after", executor=after)],
    )


def hold(
    url: str, run_id: str, started: str, release: str, verdict: str, lease: float = 15.0, wait: bool = True
) -> None:
    """Run the holding workflow; how it ended is written to ``verdict``."""

    async def main() -> None:
        workflow = holding(url, started, release, lease)
        try:
            output = await workflow.arun("x", run_id=run_id, session_id="s")
            say(verdict, output.status.value)
        except Fenced:
            say(verdict, "FENCED")
        assert workflow.db is not None
        await workflow.db.aclose()

    asyncio.run(main())


def take_over(url: str, run_id: str, started: str, release: str, verdict: str, wait: bool = True) -> None:
    """Recover the holding run until it is got or has ended; "WON" or "LOST" is written to ``verdict``."""

    async def main() -> None:
        workflow = holding(url, started, release, 15.0)
        won = run_id in await workflow.recover()
        if won:
            async for _ in workflow.subscribe(run_id):
                pass
        say(verdict, "WON" if won else "LOST")
        assert workflow.db is not None
        await workflow.db.aclose()

    asyncio.run(main())


def add_keys(url: str, process: int, runs: int, wait: bool = True) -> None:
    """Runs of one session, each adding a key of its own."""

    async def main() -> None:
        async def add(step_input: StepInput, run_context: RunContext) -> None:
            run_context.session_state[f"key-{process}-{step_input.input}"] = process

        workflow = Workflow(name="keys", db=open_url(url), steps=[Step("add", executor=add)])
        await asyncio.gather(*(workflow.arun(number, session_id="shared") for number in range(runs)))
        assert workflow.db is not None
        await workflow.db.aclose()

    asyncio.run(main())


def race(url: str, effects: str, does: str, evict_after: float = 300.0, wait: bool = True) -> None:
    """One part of a race with a cancel: "run" begins the run, "answer" continues it, "recover" takes it over."""

    async def main() -> None:
        db = open_url(url)
        workflow = raced(db, Path(effects), evict_after)
        with suppress(Fenced, RunNotPaused, QuestionWithdrawn):
            if does == "run":
                await workflow.arun("x", run_id="00_r", session_id="s")
                await asyncio.sleep(0 if evict_after > 1 else 4 * evict_after)  # it waits here, and is evicted
            elif does == "answer":
                for requirement in (questions := await workflow.alist_pending()):
                    requirement.answer({"user_input": {"value": True}})
                if questions:
                    await workflow.acontinue_run(run_id="00_r", step_requirements=questions)
            else:
                await end_lease(db, "00_r")
                for run_id in await workflow.recover():
                    async for _ in workflow.subscribe(run_id):
                        pass
        await db.aclose()

    asyncio.run(main())


def serve(url: str, listens: str, lease: float, wait: bool = True) -> None:
    """Serve the talking workflow until this process is killed; its port is written to ``listens``."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it tells of every connection that a reader has cut

    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        app = workflow_app(talking(open_url(url), lease))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        say(listens, str(listening.getsockname()[1]))
        await serving

    asyncio.run(main())


def cancel_a_branch(url: str, effects: str, write: int, after: bool) -> None:
    """See a run to its end of which a branch is cancelled; killed before, or after, its write number ``write`` (0: not at
    all)."""
    asyncio.run(steered.cancel_a_branch(url, Path(effects), write, after=after))


def deliver(url: str, hook: str, call: str, after: bool) -> None:
    """Run a workflow with a webhook, or take its run over, until all is sent; killed around the first ``call`` of the
    database that counts."""

    async def main() -> None:
        db = open_url(url)
        row = await db.load_run("r1")
        if row is not None and not row.status.is_final:
            await end_lease(db, "r1")
        workflow = Workflow(name="hooked", steps=[lambda: "done"], db=db, webhooks=[Webhook(url=hook)])
        kill_around(db, call, after)
        async with Runtime(workflow, interval=0.01):
            if row is None:
                await workflow.arun("x", run_id="r1")
            while not (found := await db.load_run("r1")) or not found.status.is_final or await db.list_deliveries():
                await anyio.sleep(0.01)
        await db.aclose()

    asyncio.run(main())


def kill_around(db: BaseDb, call: str, after: bool) -> None:
    """Die at the first call of this name that has to do with a delivery."""
    function = getattr(db, call, None)
    if function is None:
        return

    async def dies(*args: Any, **named: Any) -> Any:
        if call == "commit" and not args[0].deliveries:
            return await function(*args, **named)
        if not after and (call != "claim_deliveries" or await db.list_deliveries()):
            os.kill(os.getpid(), signal.SIGKILL)
        result = await function(*args, **named)
        if result:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(db, call, dies)


def exchange(url: str, effects: str, write: int, after: bool, wait: bool = True) -> None:
    """See ``mail.exchange``."""
    asyncio.run(mail.exchange(url, Path(effects), write, after=after))
