"""A sequence of functions; each reads what the one before it made."""

from agno.workflow import Step, StepInput, StepOutput, Workflow


def research(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"Facts about {step_input.input}")


def outline(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"Outline of: {step_input.previous_step_content}")


def count_words(step_input: StepInput):
    return {"words": len(str(step_input.previous_step_content).split())}


def nothing(step_input: StepInput):
    return None


workflow = Workflow(
    name="Article Pipeline",
    description="From a topic to an outline",
    steps=[research, Step(name="outline", executor=outline, description="Make an outline"), count_words, nothing],
)


def main(tape):
    tape.modes(workflow, input="AI agents")
    tape.run("dict input", workflow, input={"topic": "AI"})
    tape.run("list input", workflow, input=["a", "b"])
    tape.run("no input", workflow)
    tape.run("empty", Workflow(name="empty", steps=[]), input="x")
    tape.note("id", workflow.id)
