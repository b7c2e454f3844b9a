"""Steps that fail: attempts, skipping, failing, and failures inside each container."""

from agno.workflow import Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Steps, Workflow

attempts = []


def fine(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"fine after {step_input.previous_step_content}")


def boom(step_input: StepInput) -> StepOutput:
    attempts.append(step_input.input)
    raise ValueError("boom")


def second_time(step_input: StepInput) -> StepOutput:
    attempts.append(step_input.input)
    if attempts.count(step_input.input) < 2:
        raise RuntimeError("not yet")
    return StepOutput(content="at last")


def after(*steps):
    return Workflow(name="Failures", steps=[*steps, Step(name="after", executor=fine)])


def main(tape):
    tape.modes(after(boom), label="skipped", input="x")
    tape.note("attempts", len(attempts))
    tape.run("retried", after(second_time), input="again")
    tape.note("attempts when retried", attempts.count("again"))
    tape.modes(after(Step(name="must", executor=boom, on_error="fail", max_retries=0)), label="fail", input="x")
    tape.modes(after(Step(name="may", executor=boom, skip_on_failure=True, max_retries=0)), label="may fail", input="x")
    failing = Step(name="failing", executor=boom, max_retries=0)
    tape.modes(after(Steps(name="group", steps=[fine, failing, fine])), label="steps", input="x")
    tape.modes(after(Parallel(Step(name="ok", executor=fine), failing, name="both")), label="parallel", input="x")
    tape.modes(after(Loop(name="loop", steps=[failing], max_iterations=2)), label="loop", input="x")
    tape.modes(after(Condition(name="cond", steps=[fine, failing, fine])), label="condition", input="x")
    tape.modes(
        after(Router(name="route", choices=[fine, failing], selector=lambda step_input: ["failing", "fine"])),
        label="router",
        input="x",
    )
    tape.modes(after(Router(name="route", choices=[fine, failing], selector=boom)), label="selector", input="x")
