"""Cancelling a run from beside it."""

import asyncio

from agno.db.sqlite import SqliteDb
from agno.workflow import Step, StepInput, StepOutput, Workflow

started = None


async def first(step_input: StepInput) -> StepOutput:
    return StepOutput(content="first")


async def long(step_input: StepInput) -> StepOutput:
    started.set()
    await asyncio.sleep(1)
    return StepOutput(content="too late")


async def main(tape):
    global started
    started = asyncio.Event()
    workflow = Workflow(
        name="Cancelled",
        db=SqliteDb(db_file=tape.file("cancel.db")),
        steps=[first, Step(name="long", executor=long), first],
    )
    running = asyncio.create_task(workflow.arun("x", run_id="run-1", session_id="c"))
    await started.wait()
    tape.note("found", workflow.cancel_run("run-1"))
    output = tape.output("cancelled", await running)
    tape.note("is_cancelled", output.is_cancelled)
    tape.note("stored", workflow.get_run("run-1", "c").status)
    tape.note("unknown", workflow.cancel_run("no-such-run"))
