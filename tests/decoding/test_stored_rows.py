"""Whatever stands in a row: nothing runs, and what can be read is read, listed and shown."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import msgspec
import pytest

from workflow_runtime import (
    BaseDb,
    RunContext,
    Step,
    StepInput,
    Workflow,
    WorkflowRunOutput,
    WorkflowRuntimeError,
)
from workflow_runtime.server import workflow_app

from .hostile import nothing_runs, tags
from .rows import Rows, nodes, replaced

pytestmark = [pytest.mark.anyio]


async def give(step_input: StepInput, run_context: RunContext) -> dict[str, Any]:
    run_context.session_state["cart"] = {"items": [1, 2], "owner": "ada"}
    run_context.emit(pages={"read": [1]})
    await run_context.once("memo", lambda: {"once": [1]})
    return {"price": {"amount": 3}}


async def pay(step_input: StepInput) -> str:
    return "paid"


def shop(db: BaseDb, **options: Any) -> Workflow:
    options = {"store_events": True, "metadata": {"team": {"name": "blue"}}, **options}
    return Workflow(
        name="Shop", id="shop", db=db, steps=[give, Step("pay", executor=pay, requires_confirmation=True)], **options
    )


def plain(db: BaseDb) -> Workflow:
    return Workflow(name="Plain", id="plain", db=db, steps=[pay], store_events=True)


async def stored(rows: Rows) -> dict[tuple[str, ...], bytes]:
    """A paused run, a finished one and one of another workflow; the bytes of their rows."""
    workflow = shop(rows.db)
    options: dict[str, Any] = {"additional_data": {"more": [1]}, "metadata": {"m": {"n": 1}}, "user_id": "ada"}
    await workflow.arun({"item": ["lamp"]}, run_id="waits", session_id="s", **options)
    await workflow.arun({"item": ["lamp"]}, run_id="done", session_id="t", **options)
    (question,) = [item for item in await workflow.alist_pending() if item.id.startswith("done")]
    question.confirm()
    await workflow.acontinue_run(run_id="done", step_requirements=[question])
    await plain(rows.db).arun("x", run_id="other", session_id="u", user_id="ada")
    return await anyio.to_thread.run_sync(rows.read)


Verb = Callable[[Workflow], Awaitable[Any]]


async def followed(workflow: Workflow, run_id: str) -> list[Any]:
    """The stored events, to the final one or to where no more are stored."""
    found = []
    async with workflow.subscribe(run_id) as events:
        with anyio.move_on_after(0.5 if run_id == "waits" else 10):
            async for event in events:
                found.append(event)
    return found


READING: dict[str, Verb] = {
    "get_run waits": lambda w: w.aget_run("waits"),
    "get_run done": lambda w: w.aget_run("done"),
    "get_run_output": lambda w: w.aget_run_output("waits", "s"),
    "get_last_run_output": lambda w: w.aget_last_run_output("s"),
    "get_session": lambda w: w.aget_session("s"),
    "get_session_state": lambda w: w.aget_session_state("s"),
    "get_session_name": lambda w: w.aget_session_name("s"),
    "get_session_metrics": lambda w: w.aget_session_metrics("s"),
    "get_chat_history": lambda w: w.aget_chat_history("t"),
    "read_or_create_session": lambda w: w.aread_or_create_session("s"),
    "list_pending": lambda w: w.alist_pending(),
    "history waits": lambda w: w.history("waits"),
    "history done": lambda w: w.history("done"),
    "subscribe done": lambda w: followed(w, "done"),
    "recover": lambda w: w.recover(),
}


async def read_all(workflow: Workflow) -> dict[str, Any]:
    """What every reading verb gives, shown in every form that it has."""
    found: dict[str, Any] = {}
    for name, verb in READING.items():
        with anyio.fail_after(20):
            found[name] = await verb(workflow)
        for item in found[name] if isinstance(found[name], list) else [found[name]]:
            repr(item), str(item)
            if hasattr(item, "to_dict"):
                json.dumps(item.to_dict())
            if hasattr(item, "to_json"):
                json.loads(item.to_json())
            if isinstance(item, WorkflowRunOutput):
                item.get_content_as_string()
                item._repr_html_()
    return found


PAGES = [
    "/workflows/shop/runs", "/workflows/shop/runs/waits", "/workflows/shop/runs/done", "/workflows/shop/pending",
    "/workflows/shop/runs/waits/history", "/workflows/shop/runs/done/events", "/pending", "/sessions", "/sessions/s",
    "/sessions/s/state",
    "/workflows/plain/runs", "/workflows/plain/runs/other", "/inspector", "/inspector/runs/waits", "/inspector/runs/done",
    "/inspector/runs/waits/log", "/inspector/runs/done/log?q=lamp", "/inspector/runs/waits/detail?path=0.give",
    "/inspector/runs/done/detail?path=1.pay", "/inspector/runs/waits/events/2", "/inspector/runs/other",
]  # fmt: skip


async def read_pages(db: BaseDb) -> dict[str, int]:
    app = workflow_app([shop(db), plain(db)])
    found = {}
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        for page in PAGES:
            with anyio.fail_after(20):
                answer = await http.get(page)
            found[page] = answer.status_code
            if answer.headers["content-type"] == "application/json":
                answer.json()
    return found


def spoiled(
    before: dict[tuple[str, ...], bytes], tag: list[Any], chance: random.Random
) -> dict[tuple[str, ...], bytes]:
    """Every row of the shop with a few of its nodes replaced by tags, or damaged as a whole."""
    found: dict[tuple[str, ...], bytes] = {}
    for place, data in before.items():
        if place[2] in ("other", "u"):
            continue
        way = chance.random()
        if way < 0.15:
            found[place] = chance.choice(
                [b"", b"\xff\xfe", b"null", b"[]", b"{", b"[" * 5000, b"1e999", data[: len(data) // 2]]
            )
            continue
        value = json.loads(data)
        for _ in range(chance.choice([1, 1, 2, 5])):
            value = replaced(value, chance.choice(list(nodes(value))), chance.choice(tag))
        found[place] = msgspec.json.encode(value)
        if way > 0.8:
            found[place] = found[place].replace(b'"$"', b'"\\u0024"')
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("quiet")
async def test_no_row_runs_anything_or_breaks_a_list(rows: Rows, tmp_path: Path, seed: int) -> None:
    before = await stored(rows)
    other = await plain(rows.db).aget_run("other")
    chance = random.Random(seed)
    all_tags = list(tags(tmp_path))
    with nothing_runs(tmp_path):
        for _ in range(12):
            after = spoiled(before, all_tags, chance)
            await anyio.to_thread.run_sync(rows.write, {**before, **after})
            await read_all(shop(rows.db))
            assert await plain(rows.db).aget_run("other") == other
            now = await anyio.to_thread.run_sync(rows.read)
            assert {place: now[place] for place in after} == after
        statuses = await read_pages(rows.db)
        broken = {page: status for page, status in statuses.items() if status >= 500}
        assert not broken
        assert statuses["/workflows/shop/runs"] == statuses["/inspector"] == statuses["/pending"] == 200


async def attempt(verb: Callable[[], Awaitable[Any]]) -> str:
    """How it ended; it does end."""
    try:
        with anyio.fail_after(20):
            await verb()
    except (WorkflowRuntimeError, ValueError, LookupError, PermissionError) as error:
        return type(error).__name__
    return "done"


def going_on(db: BaseDb, number: int, pending: list[Any]) -> dict[str, Callable[[], Awaitable[Any]]]:
    workflow, looking_back = shop(db), shop(db, add_workflow_history_to_steps=True)
    return {
        "continue": lambda: workflow.acontinue_run(run_id="waits", step_requirements=pending),
        "fork": lambda: workflow.fork("done", "0.give", new_run_id=f"fork{number}"),
        "fork its end": lambda: workflow.fork("done", new_run_id=f"end{number}"),
        "cancel": lambda: workflow.acancel_run("waits"),
        "new run": lambda: plain(db).arun("x", session_id="s", user_id="ada"),
        "with history": lambda: looking_back.arun("x", session_id="t", user_id="ada"),
        "update state": lambda: workflow.aupdate_session_state({"k": 1}, "s"),
        "save session": lambda: saved(workflow),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("quiet")
async def test_no_row_runs_anything_when_runs_go_on_with_it(rows: Rows, tmp_path: Path, seed: int) -> None:
    before = await stored(rows)
    chance = random.Random(seed)
    all_tags = list(tags(tmp_path))
    ended: Counter[str] = Counter()
    with nothing_runs(tmp_path):
        for number in range(8):
            after = spoiled(before, all_tags, chance)
            await anyio.to_thread.run_sync(rows.write, {**before, **after})
            pending = await shop(rows.db).alist_pending()
            for item in pending:
                item.confirmed = True
            for name, verb in going_on(rows.db, number, pending).items():
                ended[f"{name}: {await attempt(verb)}"] += 1
    assert ended["new run: done"] == ended["with history: done"] == ended["update state: done"] == 8, ended
    assert "save session: done" in ended


async def saved(workflow: Workflow) -> None:
    session = await workflow.aget_session("s")
    assert session is not None
    session.session_name = "named"
    await workflow.asave_session(session)
