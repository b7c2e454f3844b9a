"""Ask a person what to do about a step that failed."""

from __future__ import annotations

from workflow_runtime import Step, StepInput, Workflow

tries = 0


def send(step_input: StepInput) -> str:
    global tries
    tries += 1
    if tries == 1:
        raise ConnectionError("no route to host")
    return "sent"


workflow = Workflow(steps=[Step("send", executor=send, on_error="pause")])
paused = workflow.run("x")
(problem,) = paused.error_requirements or []
print(problem.error_message)
problem.retry()
print(workflow.continue_run(paused).content)

# prints:
# no route to host
# sent
