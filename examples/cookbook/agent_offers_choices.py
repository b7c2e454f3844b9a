"""Choose from an agent's options: one of some, several of others."""

from __future__ import annotations

from typing import Any

from workflow_runtime import Step, Workflow
from workflow_runtime.testing import Reply, ScriptedAgent


def went_on(answered: list[dict[str, Any]]) -> str:
    chosen = answered[0]["user_feedback"]
    return f"a {chosen['Which room?'][0]} room with {' and '.join(chosen['What else?'])}"


# Any agent that stops to ask; this one plays a script, so that no model is needed.
asked = [
    {"question": "Which room?", "options": [{"label": "single"}, {"label": "double"}]},
    {"question": "What else?", "options": [{"label": "breakfast"}, {"label": "parking"}], "multi_select": True},
]
agent = ScriptedAgent("travel", Reply(asks=[{"id": "q1", "user_feedback_schema": asked}], then=went_on))
workflow = Workflow(steps=[Step("travel", agent=agent)])

paused = workflow.run("a weekend in Rome")
(question,) = paused.steps_requiring_executor_resolution
for room in ("royal", "double"):
    chosen = {"Which room?": [room], "What else?": ["breakfast", "parking"]}
    try:
        question.answer({"executor_requirements": [{"id": "q1", "user_feedback": chosen}]})
    except ValueError as error:
        print(str(error).splitlines()[1].partition("Which room?")[2])
print(workflow.continue_run(paused).content)

# prints:
# [0]' value 'royal' is not in allowed values: ['single', 'double']
# a double room with breakfast and parking
