"""A run in the background, polled until it has ended."""

import asyncio

from agno.db.sqlite import SqliteDb
from agno.workflow import Step, StepInput, StepOutput, Workflow

released = None


async def slow(step_input: StepInput) -> StepOutput:
    await released.wait()
    return StepOutput(content=f"slowly {step_input.input}")


async def fails(step_input: StepInput) -> StepOutput:
    raise ValueError("boom")


async def ended(workflow, run_id, session_id):
    for _ in range(1000):
        run = workflow.get_run(run_id, session_id)
        if run is not None and run.has_completed():
            return run
        await asyncio.sleep(0.01)
    raise TimeoutError(run_id)


async def main(tape):
    global released
    released = asyncio.Event()
    db = SqliteDb(db_file=tape.file("background.db"))
    workflow = Workflow(name="Background", db=db, steps=[Step(name="slow", executor=slow)])
    response = await workflow.arun("work", session_id="b", background=True)
    tape.note("at once", [response.status.value, response.content, bool(response.run_id)])
    released.set()
    tape.output("polled", await ended(workflow, response.run_id, "b"))
    tape.note("unknown", workflow.get_run("no-such-run", "b"))
    failing = Workflow(name="Failing", db=db, steps=[Step(name="f", executor=fails, on_error="fail", max_retries=0)])
    response = await failing.arun("work", session_id="f", background=True)
    tape.note("failed", (await ended(failing, response.run_id, "f")).status)
