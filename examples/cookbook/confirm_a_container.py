"""Ask once before several steps run, and skip all of them on a no."""

from __future__ import annotations

from workflow_runtime import HumanReview, Steps, Workflow


def prepare() -> str:
    return "parcel packed"


def send() -> str:
    return "parcel sent"


gate = HumanReview(requires_confirmation=True, confirmation_message="Ship it?", on_reject="skip")
workflow = Workflow(steps=[lambda: "order checked", Steps(name="ship", steps=[prepare, send], human_review=gate)])

for yes in (True, False):
    paused = workflow.run("order 7")
    (question,) = paused.steps_requiring_confirmation
    print(question.step_type, question.confirmation_message)
    question.answer({"confirmed": yes})
    output = workflow.continue_run(paused)
    print(output.content, [step.step_name for step in output.step_results[1].steps or ()])

# prints:
# Steps Ship it?
# parcel sent ['prepare', 'send']
# Steps Ship it?
# order checked []
