"""Let a person approve an agent's tool calls before they run."""

from __future__ import annotations

from typing import Any

from workflow_runtime import Step, Workflow
from workflow_runtime.testing import Reply, ScriptedAgent


def went_on(answered: list[dict[str, Any]]) -> str:
    return "refunded" if answered[0]["confirmation"] else f"not refunded: {answered[0]['confirmation_note']}"


# Any agent that stops to ask; this one plays a script, so that no model is needed.
tool = {"id": "t1", "tool_execution": {"tool_name": "refund", "tool_args": {"euros": 120}}}
agent = ScriptedAgent("clerk", Reply(asks=[tool], then=went_on))
workflow = Workflow(steps=[Step("clerk", agent=agent)])

for answer in ({"confirmed": True}, {"confirmed": False, "rejection_feedback": "ask the boss"}):
    paused = workflow.run("refund order 7")
    (question,) = paused.steps_requiring_executor_resolution
    (asked,) = question.executor_requirements or []
    print(asked["tool_execution"])
    question.answer(answer)
    print(workflow.continue_run(paused).content)

# prints:
# {'tool_name': 'refund', 'tool_args': {'euros': 120}}
# refunded
# {'tool_name': 'refund', 'tool_args': {'euros': 120}}
# not refunded: ask the boss
