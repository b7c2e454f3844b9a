"""Let a person decide after each iteration whether it is good enough."""

from __future__ import annotations

from workflow_runtime import Loop, Step, StepInput, Workflow


def improve(step_input: StepInput) -> str:
    return f"{step_input.previous_step_content or step_input.input}!"


# A yes accepts the output; a no starts another iteration.
loop = Loop(
    [Step("improve", executor=improve)],
    name="polish",
    max_iterations=5,
    forward_iteration_output=True,
    requires_iteration_review=True,
    on_reject="retry",
)
workflow = Workflow(steps=[loop])
output = workflow.run("buy now")
for verdict in (False, False, True):
    (question,) = [item for item in output.active_step_requirements if not item.is_resolved]
    assert question.step_output is not None
    (made,) = question.step_output.steps or []
    print(made.content, verdict)
    question.answer({"confirmed": verdict})
    output = workflow.continue_run(output)
print(output.content)

# prints:
# buy now! False
# buy now!! False
# buy now!!! True
# buy now!!!
