"""Fill in the missing arguments of an agent's tool; an invalid value is rejected before the agent continues."""

from __future__ import annotations

from typing import Any

from workflow_runtime import Step, Workflow
from workflow_runtime.testing import Reply, ScriptedAgent


def went_on(answered: list[dict[str, Any]]) -> str:
    return "mailed {to}, {copies} copies".format(**answered[0]["user_input"])


# Any agent that stops to ask; this one plays a script, so that no model is needed.
fields = [{"name": "to", "field_type": "str", "description": "Whose address?"}, {"name": "copies", "field_type": "int"}]
tool = {"id": "t1", "tool_execution": {"tool_name": "mail", "user_input_schema": fields}}
workflow = Workflow(steps=[Step("clerk", agent=ScriptedAgent("clerk", Reply(asks=[tool], then=went_on)))])

paused = workflow.run("mail the report")
(question,) = paused.steps_requiring_executor_resolution
for copies in ("two", 2):
    answer = {"id": "t1", "user_input": {"to": "ada@example.org", "copies": copies}}
    try:
        question.answer({"executor_requirements": [answer]})
    except ValueError as error:
        print(str(error).splitlines()[1].strip())
print(workflow.continue_run(paused).content)

# prints:
# - Field 'executor_requirements[0].user_input.copies' expected int, got str
# mailed ada@example.org, 2 copies
