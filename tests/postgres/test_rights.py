"""A user who owns nothing works with the rights that the page about deployment grants."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import anyio.to_thread
import pytest
from servers import TestServer

from workflow_runtime import Runtime, Step, Workflow
from workflow_runtime_postgres import PostgresDb

PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"

pytestmark = pytest.mark.anyio


async def test_a_user_with_the_documented_rights_runs_pauses_answers_and_deletes(postgres: TestServer) -> None:
    url = await anyio.to_thread.run_sync(postgres.new_database)
    role = f"desk_app_{os.getpid()}"
    block = re.search(r"^```sql\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    owner = PostgresDb(url)
    assert (await owner.check()).version
    await owner.aclose()
    parts = urlsplit(url)
    user_url = urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))

    def grant() -> None:
        postgres.execute(f"CREATE ROLE {role} LOGIN")
        for statement in block[1].replace("desk_app", role).split(";\n"):
            if statement.strip():
                postgres.execute(statement, url)

    def drop() -> None:
        postgres.execute(f"DROP OWNED BY {role}", url)
        postgres.execute(f"DROP ROLE {role}")

    await anyio.to_thread.run_sync(grant)
    try:
        db = PostgresDb(user_url)
        workflow = Workflow(
            name="Desk",
            db=db,
            steps=[Step("pay", executor=lambda: "paid", requires_confirmation=True)],
            store_events=True,
        )
        async with Runtime(workflow):
            paused = await workflow.arun(1, session_id="s")
            (question,) = await workflow.alist_pending()
            question.confirm()
            output = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[question])
            assert output.content == "paid"
            assert [event.event async for event in workflow.subscribe(output.run_id or "")][-1] == "WorkflowCompleted"
            assert await workflow.adelete_session("s")
        assert not (await db.check()).problems
        await db.aclose()
    finally:
        await anyio.to_thread.run_sync(drop)
