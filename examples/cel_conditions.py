"""Conditions, routes and loop ends as expressions (CEL), as from a configuration. Needs workflow-runtime[cel]."""

from __future__ import annotations

import asyncio

from workflow_runtime import Condition, Loop, Router, RunContext, StepInput, Workflow


def priority(step_input: StepInput, run_context: RunContext) -> str:
    run_context.session_state["urgent"] = "outage" in str(step_input.input)
    return "ticket read"


def page_someone() -> str:
    return "someone was paged"


def collect(run_context: RunContext) -> int:
    run_context.session_state["logs"] = run_context.session_state.get("logs", 0) + 4
    return int(run_context.session_state["logs"])


def to_network() -> str:
    return "network team"


def to_helpdesk() -> str:
    return "help desk"


async def main() -> None:
    workflow = Workflow(
        name="Triage",
        steps=[
            priority,
            Condition(name="urgent?", evaluator="session_state.urgent", steps=[page_someone]),
            Loop(name="logs", steps=[collect], end_condition="session_state.logs >= 10", max_iterations=5),
            Router(
                name="team",
                selector="input.contains('outage') ? 'to_network' : 'to_helpdesk'",
                choices=[to_network, to_helpdesk],
            ),
        ],
    )
    for ticket in ("outage in building 3", "how do I print?"):
        output = await workflow.arun(ticket, session_id=ticket)
        urgent, logs = output.step_results[1], output.step_results[2]
        print(f"{ticket}: {urgent.content}")
        print(f"  {len(logs.steps or ())} rounds of logs, handled by the {output.content}")


if __name__ == "__main__":
    asyncio.run(main())
