"""Run an agent's external tool elsewhere and return its result; the process that started the run may be gone."""

from __future__ import annotations

from typing import Any

from workflow_runtime import Step, Workflow
from workflow_runtime.testing import Reply, ScriptedAgent


def went_on(answered: list[dict[str, Any]]) -> str:
    return f"The disk is {answered[0]['external_execution_result']} full."


def build() -> Workflow:
    # Any agent that stops to ask; this one plays a script, so that no model is needed.
    call = {"tool_name": "shell", "tool_args": {"command": "df /"}, "external_execution_required": True}
    agent = ScriptedAgent("admin", Reply(asks=[{"id": "t1", "tool_execution": call}], then=went_on))
    return Workflow(name="Admin", steps=[Step("admin", agent=agent)], db="sqlite:///runs.db")


run_id = build().run("how full is the disk?").run_id

waiting = build().list_pending()  # the program that may run commands lists the open questions
for question in waiting:
    for asked in question.executor_requirements or []:
        print("to do:", asked["tool_execution"]["tool_args"]["command"])
        question.answer({"executor_requirements": [{"id": asked["id"], "external_execution_result": "83%"}]})
print(build().continue_run(run_id=run_id, step_requirements=waiting).content)

# prints:
# to do: df /
# The disk is 83% full.
