"""Expressions instead of functions."""

from agno.workflow import Condition, Loop, Router, Step, StepInput, StepOutput, Workflow


def say(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"said {step_input.input}")


def shout(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"SHOUTED {step_input.input}")


condition = Workflow(
    name="Condition",
    steps=[
        Condition(
            name="urgent",
            evaluator="input.contains('urgent')",
            steps=[Step(name="shout", executor=shout)],
            else_steps=[Step(name="say", executor=say)],
        )
    ],
)
previous = Workflow(
    name="Previous",
    steps=[
        say,
        Condition(
            name="long", evaluator="previous_step_content.size() > 8", steps=[Step(name="shout", executor=shout)]
        ),
    ],
)
state = Workflow(
    name="State",
    steps=[
        Condition(name="on", evaluator="session_state.on == true", steps=[Step(name="shout", executor=shout)]),
        Condition(name="more", evaluator="additional_data.level == 'high'", steps=[Step(name="say", executor=say)]),
    ],
)
loop = Workflow(
    name="Loop",
    steps=[
        Loop(
            name="twice",
            steps=[Step(name="say", executor=say)],
            max_iterations=5,
            end_condition="current_iteration >= 2 && all_success",
        )
    ],
)
router = Workflow(
    name="Router",
    steps=[
        Router(
            name="pick",
            choices=[Step(name="say", executor=say), Step(name="shout", executor=shout)],
            selector="input.contains('loud') ? 'shout' : 'say'",
        )
    ],
)
broken = Workflow(
    name="Broken",
    steps=[Condition(name="bad", evaluator="session_state.missing.deeper == 1", steps=[say]), say],
)


def main(tape):
    tape.run("condition yes", condition, input="urgent mail")
    tape.run("condition no", condition, input="mail")
    tape.run("previous", previous, input="something long")
    tape.run("state", state, input="x", session_state={"on": True}, additional_data={"level": "high"})
    tape.run("loop", loop, input="x")
    tape.run("router", router, input="loud")
    tape.run("router else", router, input="soft")
    tape.run("broken", broken, input="x")
