"""Sessions: state that outlives a run, concurrent runs of one session, and users isolated from each other."""

from __future__ import annotations

import asyncio

from workflow_runtime import RunContext, SessionOwnerError, StepInput, Workflow


async def remember(step_input: StepInput, run_context: RunContext) -> str:
    """Each run writes a key of its own: concurrent runs merge."""
    run_context.session_state[f"note-{step_input.input}"] = "kept"
    return "noted"


async def count(run_context: RunContext) -> int:
    """All runs change the same key: ``edit_state`` makes read, change and write one step."""
    async with run_context.edit_state() as state:
        state["visits"] = state.get("visits", 0) + 1
        return int(state["visits"])


async def main() -> None:
    workflow = Workflow(
        name="Notes", steps=[remember, count], db="sqlite:///sessions.db", session_state={"language": "en"}
    )
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(workflow.arun(number, session_id="ada-1", user_id="ada"))

    state = await workflow.aget_session_state("ada-1")
    notes = [key for key in state if key.startswith("note-")]
    print(f"visits {state['visits']}, notes {len(notes)}, language {state['language']}")

    await workflow.aset_session_name("ada-1", session_name="Ada's notes")
    session = await workflow.aget_session("ada-1", last_n_runs=3)
    assert session is not None
    print(f"{session.session_name}: user {session.user_id}, {len(session.runs or ())} runs loaded of 10")

    try:
        await workflow.arun("hello", session_id="ada-1", user_id="bob")
    except SessionOwnerError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    asyncio.run(main())
