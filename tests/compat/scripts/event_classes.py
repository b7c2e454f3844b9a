"""Events of the user's own, of agno's base classes; events from data."""

from dataclasses import dataclass

from agno.run.agent import BaseAgentRunEvent
from agno.run.base import BaseRunOutputEvent
from agno.run.team import BaseTeamRunEvent
from agno.run.workflow import (
    WORKFLOW_RUN_EVENT_TYPE_REGISTRY,
    BaseWorkflowRunOutputEvent,
    CustomEvent,
    WorkflowRunEvent,
    workflow_run_output_event_from_dict,
)
from agno.workflow import Step, StepInput, StepOutput, Workflow

EVENTS = set(WORKFLOW_RUN_EVENT_TYPE_REGISTRY) - {"WorkflowResumed", "WorkflowCompensating"}
BASES = {
    "custom": CustomEvent,
    "workflow": BaseWorkflowRunOutputEvent,
    "run": BaseRunOutputEvent,
    "agent": BaseAgentRunEvent,
    "team": BaseTeamRunEvent,
}


def main(tape):
    for label, base in BASES.items():

        @dataclass
        class Ordered(base):
            event: str = "Ordered"
            customer: str = ""
            amount: int = 0

        def work(step_input: StepInput):
            yield Ordered(customer="Ada", amount=2)
            yield StepOutput(content="done")

        workflow = Workflow(name=label, steps=[Step(name="work", executor=work)])
        seen = list(workflow.run("x", stream=True, stream_events=True))
        tape.note(
            label,
            [
                [item.event, item.customer, item.amount, isinstance(item, base), isinstance(item, BaseRunOutputEvent)]
                for item in seen
                if isinstance(item, Ordered)
            ],
        )
        kinds = sorted({item.event for item in seen if isinstance(item, BaseWorkflowRunOutputEvent)} - {"Ordered"})
        tape.note(f"{label}: of the workflow", kinds)
        event = Ordered(customer="Ada")
        event.amount = 5
        data = event.to_dict()
        tape.note(f"{label}: data", {name: data[name] for name in ("event", "customer", "amount")})
        tape.note(f"{label}: equal", event == Ordered(customer="Ada", amount=5))

    prefixes = ("Workflow", "StepStarted", "StepCompleted", "StepOutput", "StepPaused", "Loop", "Parallel", "Condition")
    names = [item.value for item in WorkflowRunEvent if item.value.startswith(prefixes)]
    known = {name: WORKFLOW_RUN_EVENT_TYPE_REGISTRY[name].__name__ for name in names if name in EVENTS}
    tape.note("registry", known)
    for name in ("WorkflowStarted", "StepStarted", "LoopIterationCompleted"):
        event = workflow_run_output_event_from_dict({"event": name, "run_id": "r"})
        same = WORKFLOW_RUN_EVENT_TYPE_REGISTRY[name].from_dict({"event": name, "run_id": "r"})
        tape.note(
            name,
            [type(event).__name__, event.run_id, type(same).__name__, event.is_error, event.is_paused, event.status],
        )
    try:
        workflow_run_output_event_from_dict({"event": "Nowhere"})
    except ValueError:
        tape.note("unknown", "ValueError")
