"""Retry a step when the network fails, and only then."""

from __future__ import annotations

from workflow_runtime import Retry, Step, StepInput, Workflow

calls = 0


def fetch(step_input: StepInput) -> str:
    global calls
    calls += 1
    if calls < 3:
        raise ConnectionError("no route")
    return f"fetched at attempt {calls}"


step = Step("fetch", executor=fetch, retry=Retry(attempts=4, delay=0.01, on=(ConnectionError,)))
print(Workflow(steps=[step]).run("x").content)

# prints:
# fetched at attempt 3
