"""Show a run as log lines; on a terminal the same call draws a live tree."""

from __future__ import annotations

import asyncio

from workflow_runtime import StepInput, Workflow


def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


asyncio.run(Workflow(name="Shout", steps=[shout]).aprint_response("hello", run_id="r1", show_time=False))

# prints:
# workflow Shout
# run      r1
# input
#          | hello
# start    shout
# done     shout
# completed 1 step
#          | HELLO
