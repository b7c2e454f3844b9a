"""Answer some open questions now and others later, as JSON."""

from __future__ import annotations

from workflow_runtime import Map, Step, StepInput, Workflow


def pay(step_input: StepInput) -> str:
    return f"paid {step_input.input}"


def build() -> Workflow:
    each = Map(Step("pay", executor=pay, requires_confirmation=True), over="input", name="bills")
    return Workflow(name="Bills", steps=[each], db="sqlite:///runs.db")


output = build().run(["rent", "light", "yacht"])
print([item.path for item in output.active_step_requirements])
for answers in ({"#0": True, "#1": True}, {"#2": False}):  # two people, two processes
    waiting = build().list_pending()
    for item in waiting:
        for place, yes in answers.items():
            if place in item.path:
                item.answer({"confirmed": yes})
    output = build().continue_run(run_id=output.run_id, session_id=output.session_id, step_requirements=waiting)
    print(output.status.value)
print([step.content for step in output.step_results[0].steps or ()])

# prints:
# ['0.bills#0/0.pay', '0.bills#1/0.pay', '0.bills#2/0.pay']
# PAUSED
# COMPLETED
# ['paid rent', 'paid light', 'Step pay skipped: rejected by a person']
