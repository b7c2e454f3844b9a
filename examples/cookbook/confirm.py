"""Ask a person before money moves; the answer may come from another process."""

from __future__ import annotations

from workflow_runtime import Step, StepInput, Workflow


def pay(step_input: StepInput) -> str:
    return f"{step_input.input} EUR paid"


def build() -> Workflow:
    gate = Step("pay", executor=pay, requires_confirmation=True, confirmation_message="Pay this?", on_reject="cancel")
    return Workflow(name="Pay", steps=[gate], db="sqlite:///runs.db")


paused = build().run(120)
print(paused.status.value)
(question,) = build().list_pending()
print(question.confirmation_message)
question.confirm()
print(build().continue_run(run_id=paused.run_id, session_id=paused.session_id, step_requirements=[question]).content)

# prints:
# PAUSED
# Pay this?
# 120 EUR paid
