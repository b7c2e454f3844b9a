"""A service takes orders and answers at once; those that need a person wait, and another process approves them.

    python examples/approval_service.py             # the service, and its approver as a second process

The two share the code and the database file, nothing else. The service owns its background runs with a Runtime.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio

from workflow_runtime import Condition, Runtime, Step, StepInput, Workflow

DB = "sqlite:///orders.db"


def price(step_input: StepInput) -> int:
    return int(step_input.input["euros"])


def ship(step_input: StepInput) -> str:
    return f"{step_input.input['item']} shipped"


def build() -> Workflow:
    approval = Step("approve", executor=price, requires_confirmation=True, on_reject="cancel")
    dear = Condition([approval], evaluator=lambda step_input: step_input.previous_step_content > 100, name="dear")
    return Workflow(name="Order", steps=[price, dear, ship], db=DB)


# -- the service ---------------------------------------------------------------------------------------------------------


async def post_order(workflow: Workflow, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The handler of a web framework: start the run, and return its id."""
    run = await workflow.arun(body, background=True)
    return 202, {"run_id": run.run_id}


async def get_order(workflow: Workflow, run_id: str) -> dict[str, Any]:
    """Its state now, and the form that a person has to fill in."""
    run = await workflow.aget_run(run_id)
    if run is None:
        raise LookupError(f"no order {run_id}")  # 404
    forms = [{"step": item.step_name, "schema": item.schema()} for item in run.active_step_requirements]
    return {"status": run.status.value, "content": run.content, "forms": forms if run.is_paused else []}


async def serve() -> None:
    workflow = build()
    async with Runtime(workflow):
        for body in ({"item": "book", "euros": 20}, {"item": "boat", "euros": 9000}):
            status, answer = await post_order(workflow, body)
            run_id = answer["run_id"]
            async for event in workflow.subscribe(run_id):
                if event.event in ("WorkflowPaused", "WorkflowCompleted"):
                    break
            order = await get_order(workflow, run_id)
            print(status, order["status"], [form["schema"]["title"] for form in order["forms"]])
        await anyio.run_process([sys.executable, __file__, "approve"], stdout=None)
        async for event in workflow.subscribe(run_id):
            if event.event == "WorkflowCompleted":
                break
        print("the service sees:", (await get_order(workflow, run_id))["content"])


# -- the approver: another process, which may be anywhere that reaches the database --------------------------------------


def approve() -> None:
    workflow = build()
    for question in workflow.list_pending():
        required = question.schema()["required"]
        print(f"approver: {question.step_input.input}, wants {json.dumps(required)}", flush=True)
        question.answer({"confirmed": True})
        output = workflow.continue_run(run_id=question.id.partition(":")[0], step_requirements=[question])
        print(f"approver: {output.status.value}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["approve"]:
        approve()
    else:
        anyio.run(serve)
