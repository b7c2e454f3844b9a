"""Containers in containers, as larger workflows have them."""

from agno.workflow import Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Steps, Workflow


def named(text):
    def executor(step_input: StepInput) -> StepOutput:
        return StepOutput(content=f"{text}({step_input.previous_step_content or step_input.input})")

    return Step(name=text, executor=executor)


def topic(step_input: StepInput) -> bool:
    return "tech" in step_input.input


def depth(step_input: StepInput) -> str:
    return "deep" if "deep" in step_input.input else "quick"


def twice(outputs) -> bool:
    return len(outputs) > 5


workflow = Workflow(
    name="Large",
    steps=[
        named("plan"),
        Condition(
            name="is tech",
            evaluator=topic,
            steps=[
                Steps(
                    name="tech", steps=[named("sources"), Loop(name="dig", steps=[named("dig in")], max_iterations=2)]
                )
            ],
            else_steps=[named("general")],
        ),
        Router(
            name="depth",
            choices=[
                named("quick"),
                Steps(name="deep", steps=[named("gather"), Condition(name="check", steps=[named("verify")])]),
            ],
            selector=depth,
        ),
        Loop(
            name="polish",
            steps=[Steps(name="pass", steps=[named("edit"), named("read")])],
            max_iterations=2,
            end_condition=twice,
        ),
        named("publish"),
    ],
)
gathering = Workflow(
    name="Gathering",
    steps=[
        Parallel(
            Steps(name="web", steps=[named("search"), named("fetch")]),
            Condition(name="papers", evaluator=topic, steps=[named("arxiv")]),
            Loop(name="retry", steps=[named("ask")], max_iterations=2),
            name="gather",
        ),
        named("merge"),
    ],
)


def main(tape):
    tape.modes(workflow, label="tech deep", input="tech deep")
    tape.run("other quick", workflow, input="art")
    tape.run("parallel", gathering, input="tech")
    tape.run("parallel, one not met", gathering, input="art")
