"""A person approves in the middle: the run pauses, the process may end, and another one continues it by its id.
Run it as ``python examples/human_approval.py [approve|reject]``.
"""

from __future__ import annotations

import sys

from workflow_runtime import Step, StepInput, Workflow

DB = "sqlite:///approvals.db"


def draft(step_input: StepInput) -> str:
    return f"Refund of {step_input.input} EUR"


def pay(step_input: StepInput) -> str:
    return f"paid: {step_input.get_step_content('draft')}"


def build() -> Workflow:
    """The code and the database, which both processes share."""
    approval = Step(
        "pay", executor=pay, requires_confirmation=True, confirmation_message="Pay this?", on_reject="cancel"
    )
    return Workflow(name="Refund", steps=[draft, approval], db=DB)


def ask() -> str:
    """The first process: runs until a person is needed."""
    output = build().run(120, session_id="refunds")
    assert output.is_paused
    print(f"{output.status.value} at {output.paused_step_name!r}")
    return str(output.run_id)


def answer(run_id: str, decision: str) -> None:
    """The second process: lists the open questions, answers, and continues the run."""
    workflow = build()
    (requirement,) = workflow.list_pending()
    print(f"{requirement.confirmation_message} {requirement.step_input.previous_step_content}: {decision}")
    if decision == "approve":
        requirement.confirm()
    else:
        requirement.reject("over the limit")
    output = workflow.continue_run(run_id=run_id, session_id="refunds", step_requirements=[requirement])
    print(f"{output.status.value}: {output.content}")


if __name__ == "__main__":
    answer(ask(), sys.argv[1] if len(sys.argv) > 1 else "approve")
