"""Store a workflow as JSON, and rebuild it."""

from __future__ import annotations

import json

from workflow_runtime import Registry, Step, StepInput, Workflow


def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


text = json.dumps(Workflow(name="Shout", steps=[Step("shout", executor=shout)]).to_dict())
print(Workflow.from_dict(json.loads(text), registry=Registry(shout)).run("hello").content)

# prints:
# HELLO
