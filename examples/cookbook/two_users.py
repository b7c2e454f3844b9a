"""Keep users apart: a session belongs to the user who created it."""

from __future__ import annotations

from workflow_runtime import InMemoryDb, SessionOwnerError, StepInput, Workflow


def remember(step_input: StepInput, session_state: dict[str, str]) -> None:
    session_state["said"] = step_input.input


workflow = Workflow(steps=[remember], db=InMemoryDb())
workflow.run("my secret", session_id="s1", user_id="ada")
try:
    workflow.run("what is it?", session_id="s1", user_id="bob")
except SessionOwnerError as error:
    print(error)

# prints:
# session 's1' belongs to another user; use a session of user 'bob'
